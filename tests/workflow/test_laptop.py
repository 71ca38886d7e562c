"""The preset of natural pictures: fetched, then every row and score, run whole at tiny size."""

import csv
import gzip
import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import yaml
from scipy.io import savemat

from bood_tasks.config.load import laid_over, load
from bood_tasks.plan import plan as planning
from tests.workflow.conftest import ROOT

PRESET = "cifar10-laptop"
TINY = {  # counts alone: everything else is the preset's
    "seeds": [0],
    "datasets": {
        "cifar10": {"train_per_class": 20, "validation_per_class": 10, "test_count": 40},
        "noise": {"count": 50},
    },
    "gan_generator": {"train": {"channels": 4, "steps": 3}},
    "gan_images": {"count": 50, "shard": 50},
    "detector": {
        "width": 4, "epochs": 2, "batch_size": 32, "gan": {"width": 4},
        "vos": {"queue": 15, "candidates": 50},
        "npos": {"queue": 15, "neighbours": 3, "boundary": 5, "candidates": 20},
    },
    "rows": {"ce": {"set": {"detector": {"epochs": 2}}}},
    "scoring": {"knn": {"neighbours": 5}},
}  # fmt: skip
RNG = np.random.default_rng(0)


def coloured(labels):
    """Pictures of one colour a class in noise, uint8 [n, 32, 32, 3]."""
    colours = np.random.default_rng(1).integers(60, 196, (10, 3))
    return (
        colours[labels][:, None, None] + RNG.integers(-60, 60, (len(labels), 32, 32, 3))
    ).astype(np.uint8)


def write_published(data):
    """Every set of the preset in its published format, below one folder."""
    for kind, folder, names, files in (
        ("cifar10", "cifar-10-batches-bin", "batches.meta.txt",
         [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]),
        ("cifar100", "cifar-100-binary", "fine_label_names.txt", ["train", "test"]),
    ):  # fmt: skip
        place = data / kind / folder
        place.mkdir(parents=True)
        (place / names).write_text("".join(f"name{k}\n" for k in range(10)))
        for file in files:
            labels = np.arange(60) % 10
            pixels = coloured(labels).transpose(0, 3, 1, 2).reshape(60, -1)
            columns = [labels[:, None].astype(np.uint8)] * (2 if kind == "cifar100" else 1)
            (place / f"{file}.bin").write_bytes(np.concatenate([*columns, pixels], 1).tobytes())
    (data / "svhn").mkdir()
    digits = RNG.integers(0, 256, (32, 32, 3, 30), dtype=np.uint8)
    savemat(data / "svhn/test_32x32.mat", {"X": digits, "y": np.arange(30)[:, None] % 10 + 1})
    (data / "mnist").mkdir()
    header = np.array([2051, 30, 28, 28], ">u4").tobytes()
    grey = RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    (data / "mnist/t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + grey.tobytes()))
    for name in ("dtd/dtd/images/banded/{}.jpg", "places365/val_256/{}.jpg",
                 "tinyimagenet/tiny-imagenet-200/train/n01443537/images/{}.JPEG"):  # fmt: skip
        for k in range(30):
            path = data / name.format(k)
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(path)


def test_everything_it_needs_can_be_fetched(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = laid_over(ROOT / "config.yaml", [ROOT / f"workflow/presets/{PRESET}.yaml"])
    assert len(planning.absent(load(given))) == 7
    given["run"] = {"download": True}
    assert planning.absent(load(given)) == []
    plan = planning.make(load(given))
    assert {"generator", "encoder", "images"}.isdisjoint(spec.stage for spec in plan.specs.values())
    sources = {
        spec.name: spec.settings.get("test_count") or spec.settings.get("count")
        for spec in plan.specs.values()
        if spec.name in ("noise", "tinyimagenet")
    }
    assert set(sources.values()) == {given["gan_images"]["count"]}  # so that numbers weigh alike


@pytest.mark.long
def test_every_row_and_score_at_tiny_size(tmp_path):
    write_published(tmp_path / "data")
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(TINY))
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(tmp_path), "--cores", "2",
        "--configfile", str(ROOT / f"workflow/presets/{PRESET}.yaml"), "overlay.yaml",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "results/tables/summary.csv").open(newline="") as handle:
        cells = list(csv.DictReader(handle))
    preset = yaml.safe_load((ROOT / f"workflow/presets/{PRESET}.yaml").read_text())
    assert {cell["method"] for cell in cells} == {
        "ce", "godin", "gan", "vos", "npos", "bood", "oe", "pixel_statistics",
    }  # fmt: skip
    assert {cell["variant"] for cell in cells} >= {"uniform-noise", "noise", "gan", "natural"}
    sets = {cell["ood_dataset"] for cell in cells}
    assert {*preset["test"], "corrupted", "resampled"} <= sets
    finite = [cell for cell in cells if cell["ood_dataset"] in preset["test"]]
    assert all(cell["mean"] for cell in finite)
    facts = {
        json.loads(path.read_text())["name"]: json.loads(path.read_text())["counts"]
        for path in tmp_path.glob("artifacts/dataset/*/*/dataset.json")
    }
    assert facts["cifar10"] == {"train": 200, "validation": 100, "test": 40}
    assert facts["cifar100"] == {"train": 60, "test": 60}
