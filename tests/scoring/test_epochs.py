"""The metrics after every epoch: epoch 0 is the classifier that the training started from."""

import csv

import numpy as np
import torch

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.detectors.model import DESCRIPTION, build
from bood_tasks.networks.weights import save_weights
from bood_tasks.scoring import epochs
from tests import fake_artifacts

NETWORK = {"network": "wideresnet", "depth": 10, "width": 1, "dropout": 0.0, "classes": 3}


def data(root, name, seed):
    images = np.random.default_rng(seed).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    return fake_artifacts.make(
        root, "dataset", settings={"name": name},
        arrays={"test/images": images, "test/labels": np.arange(12) % 3,
                "test/index": np.arange(12)},
        files={"dataset.json": {"classes": ["a", "b", "c"], "size": 32}},
    )  # fmt: skip


def trained(root, method, settings, seeds, stage):
    """A detector with random weights of the last seed, and of each seed as an epoch's."""
    description = NETWORK | {"method": method, "settings": settings}
    spec = fake_artifacts.identity(stage, {"seeds": seeds})
    folder = root / "artifacts" / stage / "fake" / fake_artifacts.digest_of(spec)
    with Draft(folder / "manifest.json", spec) as draft:
        (draft.folder / "epochs").mkdir()
        for number, seed in enumerate(seeds, 1):
            torch.manual_seed(seed)
            model = build(description)
            save_weights(model, draft.folder / "epochs" / f"{number:02d}.safetensors")
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / DESCRIPTION, description)
        draft.finish()
    return Artifact(draft.folder / "manifest.json")


def values(made):
    with (made.folder / "epochs.csv").open(newline="") as handle:
        return {
            (int(row["epoch"]), row["score"], row["metric"], row["convention"]): row["value"]
            for row in csv.DictReader(handle)
        }


def test_epoch_0_is_the_start_and_others_are_their_own_weights(tmp_path):
    oe = {"loss_weight": 0.5, "weighting": "batch"}
    detector = trained(tmp_path, "outlier_exposure", oe, [1, 2], "detector")
    start = trained(tmp_path, "cross_entropy", {}, [2], "pretrained")
    named = ["cats", "dogs"]
    settings = {
        "datasets": named, "id": "cats", "test": ["dogs"], "crop": None,
        "scores": ["msp", "energy"], "threshold": "first",
    }  # fmt: skip
    sets = [data(tmp_path, name, seed) for seed, name in enumerate(named)]
    inputs = {"detector": detector, "datasets": sets}
    plain = values(fake_artifacts.run_stage(tmp_path, epochs.main, "epochs", settings, inputs))
    assert {key[0] for key in plain} == {1, 2}
    inputs["start"] = start
    found = values(fake_artifacts.run_stage(tmp_path, epochs.main, "epochs", settings, inputs))
    assert {key[0] for key in found} == {0, 1, 2}
    assert {key: value for key, value in found.items() if key[0]} == plain
    rest = {key[1:] for key in found}
    assert all(found[0, *key] == found[2, *key] for key in rest)  # the same seed, so weights
    assert any(found[0, *key] != found[1, *key] for key in rest)
