"""The preset of natural pictures: fetched, then every row and score, run whole at tiny size."""

import csv
import json

import pytest
import yaml

from bood_tasks.config.fields import merged
from bood_tasks.config.load import laid_over, load
from bood_tasks.plan import plan as planning
from tests import published_files as files
from tests.workflow.conftest import ROOT, run_presets

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


STACK = ["natural-generator", PRESET, "cifar10-laptop-bood"]
WITH_GENERATOR = {
    "generator": {
        "train": {
            "vae_steps": 3, "unet_steps": 3, "batch_size": 8, "vae_channels": [8, 16],
            "unet_channels": [16, 32],
        }
    },
    "encoder": {"width": 4, "epochs": 2, "batch_size": 32},
    "ood_features": {  # after two epochs most are classified wrongly
        "misclassified": "keep", "uncrossed": "keep",
        "dreamood": {"neighbours": 3, "boundary": 5, "candidates": 20, "vectors": 2},
    },
    "images": {"per_class": 2, "shard": 2, "steps": 2},
    "control": [],
    "only": {"rows": ["ce", "dreamood", "bood"]},
}  # fmt: skip


def write_published(data):
    """Write every set of the preset in its published format, below one folder."""
    files.write_cifar(data / "cifar10", "cifar10", edition="binary", train=30, test=6)
    files.write_cifar(data / "cifar100", "cifar100", edition="binary", train=1, test=1)
    files.write_svhn(data / "svhn", 30)
    files.write_mnist(data / "mnist", 30)
    for kind in ("dtd", "places365"):
        files.write_folder(data / kind, kind, 30)
    files.write_folder(data / "tinyimagenet", "tinyimagenet", 30)


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
    done = run_presets(tmp_path, [PRESET], TINY)
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
    assert facts["cifar100"] == {"train": 100, "test": 100}


def test_the_generator_learns_no_test_set_and_only_where_its_preset_is_laid_below():
    paths = [ROOT / f"workflow/presets/{name}.yaml" for name in STACK]
    learned = load(laid_over(ROOT / "config.yaml", paths)).generator.train
    assert (learned.also, learned.minutes) == (["natural"], 8)
    alone = load(laid_over(ROOT / "config.yaml", paths[1:])).generator
    assert (alone.source, alone.train.also) == ("train", [])


@pytest.mark.long
def test_bood_and_dreamood_with_a_generator_trained_here(tmp_path):
    """On real pictures where BOOD_REALDATA names them, in bfloat16 and by the clock."""
    write_published(tmp_path / "data")
    done = run_presets(tmp_path, STACK, merged(TINY, WITH_GENERATOR))
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "results/tables/summary.csv").open(newline="") as handle:
        cells = list(csv.DictReader(handle))
    test = yaml.safe_load((ROOT / f"workflow/presets/{PRESET}.yaml").read_text())["test"]
    for method in ("bood", "dreamood"):
        shown = {x["ood_dataset"] for x in cells if x["method"] == method and x["mean"]}
        assert set(test) <= shown
    (made,) = (path.parent for path in tmp_path.glob("artifacts/generator/trained/*/manifest.json"))
    facts = json.loads((made / "run.json").read_text())
    assert (facts["autoencoder_steps"], facts["denoiser_steps"]) == (3, 3)
    index = json.loads((made / "manifest.json").read_text())["spec"]["inputs"]
    assert len(index["also"]) == 1
    vocabulary = json.loads((made / "pipeline/tokenizer/vocab.json").read_text())
    assert "airplane</w>" in vocabulary
