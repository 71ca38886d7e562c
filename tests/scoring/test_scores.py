"""The stage `scores` on stored outputs; the scores themselves: test_posthoc, test_odin."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import logsumexp
from torch import nn

from bood_tasks.catalogue.methods import METHODS, PACKAGED
from bood_tasks.catalogue.scores import SCORES, chooses
from bood_tasks.config.scoring import Scoring
from bood_tasks.detectors.model import as_layer, build
from bood_tasks.networks.pixels import to_input
from bood_tasks.networks.weights import initialised, save_weights
from bood_tasks.scoring import outputs, scores
from bood_tasks.scoring.outputs import run_outputs
from bood_tasks.scoring.posthoc.base import Score
from bood_tasks.scoring.posthoc.table import score_named
from tests import fake_artifacts
from tests.tiny_detector import SETTINGS


def stored(root, parts, *, seed=0, extra=(), **settings):
    """Outputs of 2 classes and 3 channels; labels for the ID data set alone."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in parts.items():
        arrays |= {
            f"{part}/logits": rng.normal(0, 3, (count, 2)).astype("float32"),
            f"{part}/features": rng.normal(0, 1, (count, 3)).astype("float32"),
            f"{part}/stage0": rng.normal(0, 1, (count, 2)).astype("float32"),
            f"{part}/index": np.arange(count)[::-1],
        }
        arrays |= {f"{part}/{name}": rng.normal(0, 1, count).astype("float32") for name in extra}
        if part.startswith("pets"):
            arrays[f"{part}/labels"] = np.arange(count) % 2
    return fake_artifacts.make(root, "outputs", arrays=arrays, settings=settings, rows=parts)


PARTS = {"pets/test": 9, "pets/validation": 6, "near/test": 5, "blurred/test": 7}


def test_a_score_of_logits_follows_the_rows(tmp_path):
    given = {"outputs": stored(tmp_path, PARTS)}
    settings = {"score": "energy", "id": "pets"}
    made = fake_artifacts.run_stage(tmp_path, scores.main, "scores", settings, given)
    for part in PARTS:
        logits = given["outputs"][f"{part}/logits"][:]
        np.testing.assert_allclose(made[f"{part}/score"][:], logsumexp(logits, 1), rtol=1e-6)
        assert made[f"{part}/index"][:].tolist() == given["outputs"][f"{part}/index"][:].tolist()
    right = given["outputs"]["pets/test/logits"][:].argmax(1) == np.arange(9) % 2
    assert made["pets/test/correct"][:].tolist() == right.tolist()
    assert "near/test/correct" not in made


def test_a_fitted_score_reads_the_training_split_and_keeps_its_state(tmp_path):
    training = stored(tmp_path, {"pets/train": 20}, seed=1, training=True)
    given = {"outputs": stored(tmp_path, PARTS), "training": training}
    settings = {"score": "knn", "id": "pets", "neighbours": 2}
    made = fake_artifacts.run_stage(tmp_path, scores.main, "scores", settings, given)

    def unit(artifact, part):
        rows = artifact[f"{part}/features"][:].astype(float)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    near, bank = unit(given["outputs"], "near/test"), unit(training, "pets/train")
    distances = np.sort(np.linalg.norm(near[:, None] - bank, axis=2), 1)[:, 1]
    np.testing.assert_allclose(made["near/test/score"][:], -distances, atol=1e-3)
    assert load_file(made.folder / "state.safetensors")["rows"].shape == (20, 3)


def test_the_ensemble_is_weighted_on_validation_sets_alone(tmp_path):
    training = stored(tmp_path, {"pets/train": 20}, seed=1, training=True)
    settings = {"score": "mahalanobis_ensemble", "id": "pets", "validation": ["blurred"]}
    found = []
    for count in (5, 8):  # another near set must not move the others' scores
        root = tmp_path / str(count)
        parts = {**PARTS, "near/test": count}
        parts["near/test"] = parts.pop("near/test")  # drawn last: the others stay as they are
        given = {"outputs": stored(root, parts), "training": training}
        made = fake_artifacts.run_stage(root, scores.main, "scores", settings, given)
        found.append(made["pets/test/score"][:])
    np.testing.assert_array_equal(*found)


def test_an_output_that_is_a_score_is_taken_as_it_is(tmp_path):
    given = {"outputs": stored(tmp_path, PARTS, extra=["id_logit"])}
    settings = {"score": "npos", "id": "pets"}
    made = fake_artifacts.run_stage(tmp_path, scores.main, "scores", settings, given)
    expected = given["outputs"]["near/test/id_logit"][:]
    np.testing.assert_array_equal(made["near/test/score"][:], expected)


def test_every_score_of_the_registry_is_computed_in_one_of_three_ways():
    """Off stored outputs, off moved pictures, or as its method says it."""
    posthoc = {name for name, entry in SCORES.items() if entry.module}
    assert {name for name, entry in SCORES.items() if entry.method} == set(SCORES) - posthoc
    scores = {name: score_named(name) for name in posthoc}
    assert all(isinstance(score, Score) for score in scores.values())
    for name, score in scores.items():
        entry = SCORES[name]
        assert bool(score.moved) == entry.gradients
        assert score.score or entry.gradients
        assert bool(score.fit) == (entry.fits or entry.held_out)
        assert bool(score.statistic) == (entry.held_out and entry.gradients)
    weighed = {name for name in posthoc if chooses(name, {"magnitudes": [0.0]})}
    assert weighed == {name for name in posthoc if score_named(name).weigh}
    assert all(set(entry.scores) <= set(SCORES) for entry in METHODS.values())


def test_every_declared_fact_of_a_score_is_there():
    sections = {name for name, entry in SCORES.items() if entry.settings}
    assert sections == set(Scoring.model_fields)
    assert all(entry.method in ("", *PACKAGED) for entry in SCORES.values())


class Brightness(nn.Module):
    """Mean and spread of each channel: one output of two numbers and one of one."""

    def outputs(self, x):
        return {"logits": x.mean((2, 3))[:, :2], "id_logit": x.amax((1, 2, 3))}


def test_outputs_follow_the_rows_and_keep_their_shapes():
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    found = outputs.run_outputs(Brightness(), images, batch_size=3, device="cpu")
    x = to_input(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(found["logits"], x.mean((2, 3))[:, :2].numpy(), rtol=1e-5)
    np.testing.assert_allclose(found["id_logit"], x.amax((1, 2, 3)).numpy())


def test_outputs_that_are_not_finite_are_refused():
    class Broken(nn.Module):
        def outputs(self, x):
            return {"logits": x.mean((2, 3)) * float("nan")}

    images = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="logits are not finite for 2 pictures"):
        outputs.run_outputs(Broken(), images, batch_size=2, device="cpu")


OWN_LAYER = """import torch
from torch import nn
from bood_tasks import Method


class OwnLayer(Method):
    def __init__(self, network, *, classes, scaled):
        super().__init__(network, classes=classes)
        width = network.head.in_features
        self.last, self.scaled = nn.Linear(width, classes), scaled
        network.head = nn.Identity()

    def outputs(self, x):
        features = self.network.stages(x)[-1]
        logits = self.last(features)
        if self.scaled:
            logits = nn.functional.normalize(logits)
        return {"features": features, "logits": logits}


METHOD = OwnLayer
"""


@pytest.mark.parametrize("score", ["vim", "react", "dice"])
@pytest.mark.parametrize("scaled", [False, True], ids=["linear", "scaled"])
def test_a_method_s_own_last_layer_is_the_one_that_is_read(tmp_path, score, scaled):
    """The network's head, of which these methods leave nothing, is not asked."""
    (tmp_path / "own.py").write_text(OWN_LAYER)
    shape = {"network": "resnet", "depth": 18, "width": 2, "stem": "strided", "classes": 3}
    description = shape | {"method": "own", "settings": {"scaled": scaled}}
    source = str(tmp_path / "own.py")
    model = initialised(lambda: build(description, source), 0).eval()
    save_weights(model, tmp_path / "model.safetensors")
    detector = fake_artifacts.make(
        tmp_path, "detector", files={"method.json": description},
        folders={}, settings={"method": "own"},
    )  # fmt: skip
    shutil.copy(tmp_path / "model.safetensors", detector.folder)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)
    found = run_outputs(model, pixels, batch_size=40, device="cpu")
    parts = {"id/train": slice(0, 100), "id/test": slice(100, 110), "far/test": slice(110, 120)}
    arrays: dict = {}
    for part, rows in parts.items():
        arrays |= {f"{part}/{name}": values[rows] for name, values in found.items()}
        arrays |= {f"{part}/index": np.arange(rows.stop - rows.start)}
        arrays |= {f"{part}/labels": np.arange(rows.stop - rows.start) % 3}
    made = fake_artifacts.make(
        tmp_path, "outputs", arrays=arrays, rows={"id/test": 10, "far/test": 10}
    )
    settings = {"score": score, "id": "id"} | SETTINGS[score]
    inputs = {"outputs": made, "training": made, "detector": detector}
    if scaled:
        with pytest.raises(ValueError, match="logits are not one linear layer of its features"):
            fake_artifacts.run_stage(tmp_path, scores.main, "scores", settings, inputs)
        return
    got = fake_artifacts.run_stage(tmp_path, scores.main, "scores", settings, inputs)
    head = as_layer(model.last.weight.detach(), model.last.bias.detach())
    training = {name: torch.from_numpy(values[:100]) for name, values in found.items()}
    test = {name: torch.from_numpy(values[110:]) for name, values in found.items()}
    entry = score_named(score)
    kept = {key: value for key, value in SETTINGS[score].items() if key != "magnitudes"}
    expected = entry.score(
        scores.as_outputs(test), entry.fit(scores.as_outputs(training, head), **kept)
    )
    np.testing.assert_allclose(got["far/test/score"][:], expected, rtol=1e-3, atol=1e-3)
