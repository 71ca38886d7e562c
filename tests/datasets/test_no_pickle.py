"""No pickle is written, and none is read but by read_cifar's own unpickler of plain data."""

import ast
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bood_tasks.artifacts.spec import digest_of
from bood_tasks.config.load import effective_config
from bood_tasks.datasets import dataset
from bood_tasks.generators.text_to_image.diffusion import load_pipeline
from bood_tasks.generators.text_to_image.generator import copy_pipeline
from tests import fake_artifacts

pytestmark = pytest.mark.usefixtures("nobodys_plan")

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "bood_tasks").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")])
PICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
REFUSED = {"read_pickle", "to_pickle", "unsafe_load", "full_load", "torch.save", "yaml.load"}


def complaints(text: str) -> list[str]:
    """Return what a module does that may read or write a pickle."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in PICKLERS]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {node.module.split(".")[0], *(a.name for a in node.names)}
            found += sorted(names & (PICKLERS | REFUSED))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if given.get("allow_pickle", "False") != "False":
                found.append(f"{name}(allow_pickle)")
            if given.get("use_safetensors", "True") != "True":
                found.append(f"{name}(use_safetensors)")
            if name == "torch.load" and given.get("weights_only") != "True":
                found.append("torch.load without weights_only")
            if name in REFUSED or name.split(".")[-1] in REFUSED:
                found.append(name)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "from torch import save as s, load\nfrom pandas import read_pickle",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.save({}, 'x')",
        "import yaml\nyaml.load('x')",
        "table.to_pickle('x')",
    ],
)
def test_the_check_finds_what_it_looks_for(text):
    assert complaints(text)


def test_no_module_reads_or_writes_pickles():
    assert len(SOURCES) > 50
    found = {path.name: complaints(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name: lines for name, lines in found.items() if lines} == {"read_cifar.py": ["pickle"]}


class Malice:
    """Creates the file `pwned` in the working folder when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("pwned").exists()


def test_an_array_of_objects_is_refused_unread(tmp_path):
    images = np.empty(2, object)
    images[:] = Malice()
    np.savez("bad.npz", x=images, y=np.zeros(2, np.int64))
    settings = {
        "kind": "npz", "name": "bad", "test": ["x", "y"], "train": None, "classes": None,
        "train_per_class": None, "validation_per_class": 0,
        "image": {"size": 8, "fit": "pad", "kernel": "bilinear"}, "content": "0" * 16,
    }  # fmt: skip
    spec = fake_artifacts.identity("dataset", settings)
    out = tmp_path / "artifacts/dataset/bad" / digest_of(spec) / "manifest.json"
    command = ["--out", str(out), "--spec", json.dumps(spec), "--source", "bad.npz"]
    with pytest.raises(ValueError, match=r"bad\.npz"):
        dataset.main(command)
    assert not out.exists()


def poisoned(tmp_path: Path, suffix: str) -> Path:
    """Return the shipped pipeline with the U-Net's weights as a malicious pickle."""
    folder = tmp_path / "model"
    copy_pipeline(ROOT / "bood_tasks/embedded/generator", folder)
    (weights,) = (folder / "unet").glob("*.safetensors")
    torch.save({"conv_in.weight": Malice()}, weights.with_suffix(suffix))
    weights.unlink()
    return folder


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".ckpt"])
def test_weights_in_a_pickle_are_refused_unread(tmp_path, suffix):
    with pytest.raises((ValueError, OSError), match="safetensors"):
        load_pipeline(poisoned(tmp_path, suffix))


def test_yaml_that_would_build_objects_is_refused(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("seeds: !!python/object/apply:os.system ['touch pwned']\n")
    with pytest.raises(ValueError, match=r"bad\.yaml is no YAML"):
        effective_config([path])
