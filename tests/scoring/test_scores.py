"""The stage `scores` on stored outputs; the scores themselves: test_posthoc, test_odin."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import logsumexp
from torch import nn

from bood_tasks.catalogue.methods import METHODS, PACKAGED
from bood_tasks.catalogue.scores import SCORES, chooses
from bood_tasks.config.scoring import Scoring
from bood_tasks.networks.pixels import to_input
from bood_tasks.scoring import outputs, scores
from bood_tasks.scoring.posthoc.base import Score
from bood_tasks.scoring.posthoc.table import score_named
from tests import fake_artifacts


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
    gradients = {name for name, entry in SCORES.items() if entry.gradients and not entry.fits}
    outputs = {name for name, entry in SCORES.items() if entry.output}
    posthoc = set(SCORES) - gradients - outputs
    assert not gradients & outputs
    assert all(isinstance(score_named(name), Score) for name in posthoc)
    assert all(bool(score_named(name).fit) == SCORES[name].fits for name in posthoc)
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
