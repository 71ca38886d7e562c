"""The presets of the papers: planned without data, stopped without data, run whole at tiny size."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from bood_tasks.artifacts.store import Artifact
from bood_tasks.config.fields import merged

ROOT = Path(__file__).parents[2]
WORDS = {"boot": 9, "coat": 4, "trouser": 1, "tshirt": 0}
TINY = {  # what the shipped generator and two cores need; everything else is the preset's
    "datasets": {"cifar100": {"path": "cifar"}, "svhn": {"path": "digits"}},
    "test": ["svhn"],
    "generator": {"source": "local", "path": "embedded:generator"},
    "anchors": {"aliases": "none"},
    "image": {"size": 32, "crop": 28},
    "encoder": {"width": 4, "depth": 18, "epochs": 2, "batch_size": 32, "augment": "resized_crop"},
    "distances": {"step_size": 0.05},
    "ood_features": {"dreamood": {"neighbours": 9, "boundary": 10, "candidates": 30, "vectors": 7}},
    "images": {
        "per_class": 9, "shard": 5, "steps": 2, "dtype": "bfloat16", "resolution": 32,
        "saved_size": 16, "scheduler": "unipc",
    },
    "detector": {
        "width": 4, "depth": 18, "epochs": 2, "batch_size": 32, "lr": 0.01, "stem": "strided",
        "start": "ce",
    },
    "rows": {
        "ce": {"scores": ["msp", "energy"], "set": {"detector": {"start": None}}},
    },
}  # fmt: skip


def snakemake(folder, preset, *arguments, overlay=None):
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay or {"seeds": [0]}))
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(folder), "--cores", "2", *arguments,
        "--configfile", str(ROOT / f"workflow/presets/{preset}.yaml"), "overlay.yaml",
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def write_cifar(folder):
    """Shipped garments in CIFAR-100's binary edition: a coarse and a fine label, then pixels."""
    folder.mkdir()
    (folder / "fine_label_names.txt").write_text("\n".join(WORDS))
    with np.load(ROOT / "bood_tasks/embedded/fashion_mnist.npz") as file:
        for split, count in (("train", 40), ("test", 20)):
            rows = []
            for fine, label in enumerate(WORDS.values()):
                found = file[f"x_{split}"][file[f"y_{split}"] == label][:count]
                padded = np.pad(found, ((0, 0), (2, 2), (2, 2))).reshape(len(found), -1)
                labels = np.tile(np.array([[7, fine]], np.uint8), (len(found), 1))
                rows.append(np.concatenate([labels, np.tile(padded, (1, 3))], axis=1))
            order = np.random.default_rng(0).permutation(len(WORDS) * count)
            (folder / f"{split}.bin").write_bytes(np.concatenate(rows)[order].tobytes())


def write_svhn(folder):
    from scipy.io import savemat

    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 30), dtype=np.uint8)
    savemat(folder / "test_32x32.mat", {"X": images, "y": np.arange(1, 31)[:, None] % 10 + 1})


@pytest.mark.parametrize(
    ("preset", "shards"),  # 40 of each row with images, and the ID decodes
    [("bood-imagenet100", 81), pytest.param("dreamood-cifar100", 41, marks=pytest.mark.long)],
)
def test_a_dry_run_of_paper_scale_needs_no_data(tmp_path, preset, shards):
    done = snakemake(tmp_path, preset, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^images +{shards}$", done.stdout + done.stderr, re.MULTILINE)
    assert not (tmp_path / "artifacts").exists()


def test_missing_data_are_all_named_before_the_first_job(tmp_path):
    done = snakemake(tmp_path, "bood-cifar100")
    assert done.returncode != 0
    for name in ("cifar100", "svhn", "places365", "lsun", "isun", "dtd"):
        assert f"datasets.{name} (" in done.stdout + done.stderr
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.long
@pytest.mark.parametrize("method", ["bood", "dreamood"])
def test_the_papers_path_runs_whole_at_tiny_size(tmp_path, method):
    write_cifar(tmp_path / "cifar")
    write_svhn(tmp_path / "digits")
    overlay = merged(TINY, {"image": {"fit": "resize"}})
    if method == "bood":
        overlay = merged(overlay, {"ood_features": {"rate": 0.2}, "only": {"rows": ["ce", "bood"]}})
    done = snakemake(tmp_path, f"{method}-cifar100", overlay=overlay)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "results/tables/summary.csv").open(newline="") as handle:
        found = {row["method"] for row in csv.DictReader(handle)}
    assert found == {"ce", method, "pixel_statistics"}
    shards = [Artifact(p) for p in sorted(tmp_path.glob("artifacts/images/*/*/manifest.json"))]
    made = [shard for shard in shards if shard.settings["decode"] == "outliers"]
    assert [(s.settings["start"], s.settings["stop"]) for s in made] == [(0, 5), (5, 9)]
    assert all(shard["images"].shape[1:] == (16, 16, 3) for shard in made)
    facts = json.loads((made[0].folder / "run.json").read_text())
    assert facts["images_per_second"] > 0
    assert facts["tflops"] > 0
    (encoder,) = tmp_path.glob("artifacts/encoder/*/*/encoder.json")
    assert list(json.loads(encoder.read_text())["accuracy"]) == ["test"]  # all rows trained
    (distances,) = [Artifact(p) for p in tmp_path.glob("artifacts/distances/*/*/manifest.json")]
    assert distances.settings["rows"] == ("nearest" if method == "bood" else "all")
