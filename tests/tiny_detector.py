"""Detectors with random weights and every score of them, through the real stages."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.catalogue.scores import SCORES, chooses, moves
from bood_tasks.datasets.pictures import fit_picture
from bood_tasks.detectors.model import DESCRIPTION, build
from bood_tasks.networks.weights import initialised, save_weights
from bood_tasks.scoring import outputs, scores
from tests import fake_artifacts

CLASSES = ["cat", "dog", "newt"]
IMAGE = {"size": 20, "fit": "resize", "kernel": "bicubic"}
CROP = 16
COUNTS = {"pets/train": 40, "pets/validation": 21, "pets/test": 12, "near/test": 5, "far/test": 15}
VOS = {"queue": 4, "candidates": 4, "selected": 1, "weight": 0.1, "start": 0.5}
NPOS = {
    "embedding": 6, "temperature": 0.1, "prototype_momentum": 0.9, "dispersion_weight": 1.0,
    "queue": 4, "neighbours": 2, "boundary": 2, "points": 1, "candidates": 4, "kept": 2,
    "sigma": 0.1, "outlier_weight": 0.1, "phi_lr": 1.0, "start": 0.5,
}  # fmt: skip
METHODS = {"cross_entropy": {}, "godin": {}, "vos": VOS, "npos": NPOS}
SETTINGS = {
    "odin": {"temperature": 10.0, "magnitudes": [0.02, 0.04]},
    "godin": {"magnitudes": [0.04, 0.02]},
    "mahalanobis": {"magnitudes": [0.0]},
    "knn": {"neighbours": 3},
    "vim": {"dimension": None},
    "react": {"percentile": 90.0},
    "dice": {"sparsity": 70.0},
    "iodin": {"temperature": 10.0, "magnitudes": [0.02, 0.04]},
    "gen": {"gamma": 0.1, "classes": 2},
    "nnguide": {"neighbours": 3, "share": 0.5},
    "ash": {"variant": "s", "percentile": 70.0},
    "scale": {"percentile": 70.0},
    "adascale": {
        "variant": "a", "lowest": 60.0, "highest": 80.0, "magnitude": 0.5, "pixels": 0.05,
        "shifted": 5.0, "corrected": 10.0, "weight": 10.0,
    },
}  # fmt: skip


def pictures(part: str) -> list[PIL.Image.Image]:
    """Return a split's pictures in sizes and modes of their own, smooth, unlike one another."""
    rng = np.random.default_rng(sorted(COUNTS).index(part))
    found = []
    for i in range(COUNTS[part]):
        coarse = PIL.Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8))
        picture = coarse.resize((18 + i % 7, 30 - i % 5), PIL.Image.Resampling.BILINEAR)
        found.append(picture.convert("L") if i % 4 == 0 else picture)
    return found


def _dataset(root: Path, name: str) -> Artifact:
    arrays = {}
    for part, count in COUNTS.items():
        if part.startswith(f"{name}/"):
            split = part.split("/")[1]
            arrays |= {
                f"{split}/images": np.stack([fit_picture(p, **IMAGE) for p in pictures(part)]),
                f"{split}/labels": np.arange(count) % len(CLASSES),
                f"{split}/index": np.arange(count),
            }
    return fake_artifacts.make(
        root, "dataset", arrays=arrays, files={"dataset.json": {"classes": CLASSES}},
        settings={"name": name, "image": IMAGE},
    )  # fmt: skip


def _detector(root: Path, method: str) -> Artifact:
    shape = {"network": "resnet", "depth": 18, "width": 8, "stem": "strided"}
    description = shape | {
        "classes": len(CLASSES), "method": method, "settings": METHODS[method]
    }  # fmt: skip
    model = initialised(lambda: build(description), 0)
    if method == "npos":
        model.prototypes.copy_(torch.eye(len(CLASSES), NPOS["embedding"]))
    elif method != "godin":
        model.network.head.weight.data *= 30  # as sure of itself as a trained one
    spec = fake_artifacts.identity("detector", {"method": method})
    manifest = root / "artifacts/detector" / method / digest_of(spec) / "manifest.json"
    with Draft(manifest, spec) as draft:
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / DESCRIPTION, description)
        draft.finish()
    return Artifact(manifest)


@dataclass
class Tiny:
    """All artifacts below `root`/artifacts; data sets are pets (ID), near and far (validation)."""

    root: Path

    def __post_init__(self):
        names = ("pets", "near", "far")
        self.datasets = [_dataset(self.root, name) for name in names]
        self.detectors = {method: _detector(self.root, method) for method in METHODS}
        self.over = {"datasets": list(names), "id": "pets", "crop": CROP}
        self.made: dict[str, Artifact] = {}

    def _run(self, main, stage: str, settings: dict, inputs: dict) -> Artifact:
        key = fake_artifacts.digest_of(fake_artifacts.identity(stage, settings, inputs))
        if key not in self.made:
            made = fake_artifacts.run_stage(self.root, main, stage, settings, inputs)
            self.made[key] = made
        return self.made[key]

    def outputs(self, method: str, *, training: bool = False) -> Artifact:
        """Return a detector's outputs: of all data sets, or of the training split."""
        settings, data = self.over, self.datasets
        if training:
            settings, data = settings | {"datasets": ["pets"], "training": True}, data[:1]
        given = {"detector": self.detectors[method], "datasets": data}
        return self._run(outputs.main, "outputs", settings, given)

    def scores(self, method: str, score: str, **more) -> Artifact:
        """Return one score, made as plan.py plans it; `more` overrides settings."""
        entry, given = SCORES[score], {"outputs": self.outputs(method)}
        settings = {"score": score, "id": "pets"} | SETTINGS.get(score, {}) | more
        moved = moves(score, settings)
        if chooses(score, settings):
            settings["validation"] = ["far"]
        if entry.fits:
            given["training"] = self.outputs(method, training=True)
        if entry.linear or moved:
            given["detector"] = self.detectors[method]
        if moved:
            given["datasets"] = self.datasets
            settings |= {"datasets": self.over["datasets"], "crop": CROP}
        return self._run(scores.main, "scores", settings, given)
