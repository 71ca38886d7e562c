"""Classifiers of somebody else's in a configuration: what they lack is said before any job."""

import json
from pathlib import Path

import pytest

from bood_tasks.plan import networks
from bood_tasks.plan import plan as planning
from tests.plan.test_plan import config

OWN = """from torch import nn


def build(classes):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), {end})
"""
UNIT = {"mean": [0, 0, 0], "std": [1, 1, 1]}


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    networks._asked.cache_clear()
    (tmp_path / "linear.py").write_text(OWN.format(end="nn.Linear(4, classes)"))
    (tmp_path / "scaled.py").write_text(OWN.format(end="nn.Linear(4, classes), nn.Tanh()"))
    (tmp_path / "w.pt").touch()
    return tmp_path


def run(network, *, rows=None, method="ce", scores=("msp",), **detector):
    row = {"method": method, "scores": list(scores)}
    return config(
        rows={"mine": row}, only={"rows": ["mine"], "variants": [], "sweeps": []},
        detector={"network": network, **detector},
    )  # fmt: skip


def own(file: str) -> dict:
    return {"python": f"{file}:build", **UNIT}


def stages(plan) -> dict:
    found: dict = {}
    for spec in plan.specs.values():
        found.setdefault(spec.stage, []).append(spec)
    return found


def test_own_code_is_known_by_its_content_and_asked_once(work, monkeypatch):
    wanted = run(own("linear.py"), scores=("msp", "dice", "knn"), pretrained="w.pt", epochs=0)
    first = stages(planning.make(wanted))
    (made,), (files,) = first["pretrained"], first["network"]
    assert made.settings["network"] == {
        "python": "linear.py:build", "size": 32, "head": "3", "mean": [0, 0, 0], "std": [1, 1, 1],
    }  # fmt: skip
    assert made.inputs["network"].digest == files.digest
    assert str(work) not in json.dumps(made.settings)
    monkeypatch.setattr(networks.subprocess, "run", None)  # nobody is asked a second time
    networks._asked.cache_clear()
    assert set(planning.make(wanted).specs) == {s.digest for x in first.values() for s in x}
    monkeypatch.undo()
    monkeypatch.chdir(work)
    (work / "linear.py").write_text((work / "linear.py").read_text() + "# another\n")
    (other,) = stages(planning.make(wanted))["pretrained"]
    assert other.digest != made.digest


def test_what_a_network_lacks_is_said_before_any_job(work):
    wanted = run(own("scaled.py"), scores=("msp", "knn", "dice"), pretrained="w.pt", epochs=0)
    with pytest.raises(ValueError, match="scores must fit") as error:
        planning.make(wanted)
    lines = str(error.value).splitlines()
    assert [line.split("got ")[1].split(":")[0] for line in lines] == ["'knn'", "'dice'"]
    assert "not one linear layer of anything it computes" in lines[0]
    with pytest.raises(ValueError, match=r"rows\.mine\.method must not read penultimate.*vos"):
        planning.make(run(own("scaled.py"), method="vos"))


def test_the_size_that_a_network_takes_is_named(work):
    with pytest.raises(ValueError, match=r"image\.size must be 224 for timm: vit_tiny.*got 32"):
        planning.make(run({"timm": "vit_tiny_patch16_224"}))
    made = stages(planning.make(run({"timm": "resnet18"}, epochs=1)))["detector"][0]
    assert made.settings["network"]["mean"] == [0.485, 0.456, 0.406]
    assert "network" not in made.inputs  # nothing of it lies outside


def test_a_name_that_a_library_lacks_is_refused_with_the_nearest(work):
    with pytest.raises(ValueError, match=r"torchvision must name.*did you mean resnet18"):
        planning.make(run({"torchvision": "resnet19"}))
    with pytest.raises(FileNotFoundError, match=r"detector\.network\.python must name something"):
        planning.make(run(own("absent.py")))


@pytest.mark.parametrize(
    ("network", "more", "words"),
    [
        ({"tim": "resnet18"}, {}, "detector.network.tim is no setting; did you mean 'timm'"),
        ({}, {}, "detector.network must have one of timm.*got none"),
        ({"timm": "a", "onnx": "b"}, {}, "got timm and onnx"),
        ({"timm": "a", "mean": [0, 0, 0]}, {}, "mean and std must be given together"),
        ({"onnx": "b.onnx"}, {}, "mean and std must be given for an ONNX file"),
        ({"onnx": "b.onnx", **UNIT}, {"epochs": 2}, "an ONNX file cannot be trained"),
        ({"python": "b.py"}, {}, "python must be `file.py:function`"),
        ({"python": "b.py:build"}, {}, "must be given for a network of a Python file"),
        ("resnet19", {}, "detector.network must be 'resnet'.*got 'resnet19'"),
        ({"timm": "resnet18"}, {"epochs": 0}, "at least 1 without pretrained"),
    ],
)
def test_a_network_that_cannot_be_meant_is_refused(network, more, words):
    with pytest.raises(ValueError, match=words):
        run(network, **more)
