"""Classifiers of somebody else's through the stages: as they are, fine-tuned, scored, deployed."""

import json
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bood_tasks.artifacts.store import Artifact
from bood_tasks.deploy.export import Graph
from bood_tasks.deploy.trained import ScoredNetwork
from bood_tasks.detectors import detector, network, pretrained
from bood_tasks.detectors.model import load_model, stored_layer
from bood_tasks.networks.libraries import original
from bood_tasks.networks.pixels import to_input
from bood_tasks.scoring.outputs import run_outputs
from bood_tasks.training.predict import as_input
from tests import fake_artifacts
from tests.networks.test_given import BERT, FAMILIES, items, of_network, settle
from tests.networks.test_given import described as of_family

SIDE = 8
UNIT = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
CODE = """from torch import nn
from parts import WIDTH


def build(classes):
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, classes),
    )
"""
DESCRIPTION = {"python": "net.py:build", "size": SIDE, "head": "5", **UNIT}
RECIPE = {
    "epochs": 1, "batch_size": 8, "lr": 0.05, "weight_decay": 0.0, "crop_padding": 1, "flip": True,
    "clip_norm": None, "seed": 0, "snapshots": False, "method": "cross_entropy",
    "method_settings": {}, "start": True, "crop": None,
}  # fmt: skip


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def inside(root: Path, classes=("cat", "dog", "newt")) -> Artifact:
    arrays = {}
    for split in ("train", "validation", "test"):
        arrays |= {
            f"{split}/images": pictures(24), f"{split}/labels": np.arange(24) % len(classes),
            f"{split}/index": np.arange(24),
        }  # fmt: skip
    facts = {"classes": list(classes), "size": SIDE, "kernel": "bilinear"}
    return fake_artifacts.make(
        root, "dataset", arrays=arrays, files={"dataset.json": facts}, settings={"name": "pets"}
    )


@pytest.fixture
def files(tmp_path) -> Artifact:
    (tmp_path / "parts.py").write_text("WIDTH = 6\n")
    (tmp_path / "net.py").write_text(CODE)
    settings = {"kind": "python", "file": "net.py"}
    return fake_artifacts.run_stage(
        tmp_path, network.main, "network", settings, {}, source=str(tmp_path / "net.py")
    )


def theirs(files: Artifact, classes: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return original(DESCRIPTION, classes, files.folder / "network").eval()


def as_it_is(root: Path, files: Artifact, weights: Path, **more) -> Artifact:
    settings = {"network": DESCRIPTION, "new_head": False} | more
    return fake_artifacts.run_stage(
        root, pretrained.main, "pretrained", settings,
        {"dataset": inside(root), "network": files}, source=str(weights),
    )  # fmt: skip


def test_a_python_file_s_network_is_used_as_it_is_and_whole_without_the_file(tmp_path, files):
    net = theirs(files)
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, tmp_path / "w.pth.tar")
    made = as_it_is(tmp_path, files, tmp_path / "w.pth.tar")
    (tmp_path / "net.py").unlink()
    (tmp_path / "parts.py").unlink()
    x = torch.from_numpy(pictures(5)).movedim(-1, 1)
    model = load_model(made, "cpu")
    mean, std = (torch.tensor(UNIT[key]).view(3, 1, 1) for key in ("mean", "std"))
    expected = net((x.float() / 255 - mean) / std)
    torch.testing.assert_close(model(to_input(x)), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(stored_layer(made).weight, net[5].weight.detach())


def test_names_bring_the_logits_into_the_data_set_s_order(tmp_path, files, capsys):
    net, x = theirs(files), to_input(torch.from_numpy(pictures(5)).movedim(-1, 1))
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    plain = load_model(as_it_is(tmp_path, files, tmp_path / "w.safetensors"), "cpu")(x)
    assert "in this order: cat, dog, newt" in capsys.readouterr().err
    named = as_it_is(tmp_path, files, tmp_path / "w.safetensors", names=["newt", "cat", "dog"])
    torch.testing.assert_close(load_model(named, "cpu")(x), plain[:, [1, 2, 0]])
    with pytest.raises(ValueError, match=r"classes must be.*lack 'newt' and have also 'eel'"):
        as_it_is(tmp_path, files, tmp_path / "w.safetensors", names=["eel", "cat", "dog"])


def test_a_head_for_other_classes_is_refused_or_new(tmp_path, files):
    save_file(theirs(files, 7).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"of 7 logits, and the data set has 3.*new_head: true"):
        as_it_is(tmp_path, files, tmp_path / "w.safetensors")
    made = as_it_is(tmp_path, files, tmp_path / "w.safetensors", new_head=True, seed=0)
    assert load_model(made, "cpu").network.head.out_features == 3


def test_weights_of_another_network_are_told_by_their_names(tmp_path, files):
    save_file({"conv1.weight": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"lacks body.*has also body\.conv1\.weight"):
        as_it_is(tmp_path, files, tmp_path / "w.safetensors")


def test_it_is_fine_tuned_from_its_weights(tmp_path, files):
    save_file(theirs(files).state_dict(), tmp_path / "w.safetensors")
    start = as_it_is(tmp_path, files, tmp_path / "w.safetensors")
    inputs = {"dataset": inside(tmp_path), "network": files, "start": start}
    settings = RECIPE | {"network": DESCRIPTION}
    made = fake_artifacts.run_stage(tmp_path, detector.main, "detector", settings, inputs)
    (tmp_path / "net.py").unlink()
    before, after = (load_model(item, "cpu").state_dict() for item in (start, made))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"network.body.0.weight", "network.head.weight"} <= moved
    near = (before["network.head.weight"] - after["network.head.weight"]).abs().max()
    assert near < 0.5  # it went on from there


def written(net: nn.Module, x: torch.Tensor, path: Path, shapes: dict | None, **names) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own code
        program = torch.onnx.export(
            net, (x,), dynamic_shapes=shapes, dynamo=True, verbose=False, **names
        )
    program.save(path)


def exported(model: nn.Module, x: torch.Tensor, path: Path) -> list[np.ndarray]:
    graph = Graph(ScoredNetwork(model, {"score": "energy"}, {}, 0.0), None).eval()
    shapes = {"samples": {0: torch.export.Dim("n")}}
    written(graph, x[:2], path, shapes, input_names=["samples"], output_names=["score", "logits"])
    return onnxruntime.InferenceSession(path).run(None, {"samples": x.numpy()})


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_of_every_family_is_exported(family, tmp_path):
    from bood_tasks.detectors.model import build

    description = {
        "network": of_family(family), "classes": 3, "method": "cross_entropy", "settings": {}
    }  # fmt: skip
    torch.manual_seed(0)
    (tmp_path / "config.json").write_text(json.dumps(BERT))
    model = build(description, folder=tmp_path)
    settle(model, family)
    x = torch.from_numpy(of_network(items(family, 5, 1))).contiguous()
    score, logits = exported(model, x, tmp_path / "m.onnx")
    with torch.no_grad():
        expected = model(as_input(x))
    np.testing.assert_allclose(logits, expected, atol=1e-3, rtol=1e-3)
    np.testing.assert_allclose(score, expected.logsumexp(1), atol=1e-3, rtol=1e-3)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        features = self.body(x)
        return features, self.head(features)


@pytest.mark.parametrize("fixed", [False, True], ids=["any batch", "one picture"])
def test_an_onnx_file_has_logits_and_a_named_output_as_features(tmp_path, fixed):
    torch.manual_seed(0)
    net = Two().eval()
    shapes = None if fixed else {"x": {0: torch.export.Dim("n")}}
    count = 1 if fixed else 2
    written(
        net, torch.zeros(count, 3, SIDE, SIDE), tmp_path / "any.onnx", shapes,
        input_names=["x"], output_names=["pooled", "said"],
    )  # fmt: skip
    files = fake_artifacts.run_stage(
        tmp_path, network.main, "network", {"kind": "onnx"}, {}, source=str(tmp_path / "any.onnx")
    )
    told = {"onnx": "", "size": SIDE, "head": "", "features": "pooled", **UNIT}
    settings = {"network": told, "new_head": False, "names": ["newt", "cat", "dog"]}
    made = fake_artifacts.run_stage(
        tmp_path, pretrained.main, "pretrained", settings,
        {"dataset": inside(tmp_path), "network": files},
    )  # fmt: skip
    found = run_outputs(load_model(made, "cpu"), pictures(5), batch_size=4, device="cpu")
    x = torch.from_numpy(pictures(5)).movedim(-1, 1).float() / 255
    mean, std = (torch.tensor(UNIT[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        features, logits = net((x - mean) / std)
    np.testing.assert_allclose(found["logits"], logits[:, [1, 2, 0]], atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(found["features"], features, atol=1e-5, rtol=1e-4)
    assert stored_layer(made) is None


def test_a_transformers_folder_brings_its_weights_and_its_names(tmp_path):
    import transformers

    folder = tmp_path / "bert"
    names = {"0": "dog", "1": "newt", "2": "cat"}
    config = transformers.BertConfig(
        **{k: v for k, v in BERT.items() if k not in ("architectures", "model_type")},
        id2label=names,
    )
    torch.manual_seed(0)
    theirs = transformers.BertForSequenceClassification(config).eval()
    theirs.save_pretrained(folder)
    files = fake_artifacts.run_stage(
        tmp_path, network.main, "network", {"kind": "transformers"}, {}, source=str(folder)
    )
    told = {"transformers": "", "size": 12, "head": "classifier", "pad": 3}
    settings = {"network": told, "new_head": False, "names": list(names.values())}
    made = fake_artifacts.run_stage(
        tmp_path, pretrained.main, "pretrained", settings,
        {"dataset": inside(tmp_path), "network": files}, source=str(folder),
    )  # fmt: skip
    rows = torch.from_numpy(items("bert", 4, 0))
    full = rows[(rows != 0).all(1)][:1].long()
    if not len(full):
        full = torch.full((1, 12), 7)
    expected = theirs(input_ids=full).logits[:, [2, 0, 1]]
    torch.testing.assert_close(load_model(made, "cpu")(full), expected, atol=1e-5, rtol=1e-4)
    assert json.loads((made.folder / "network/config.json").read_text())["id2label"] == names
