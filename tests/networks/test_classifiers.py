"""The further classifiers: pytorch-ood's wide ResNet, torchvision's ResNet-101, the GRU."""

import hashlib
import json
import math
from collections import Counter

import numpy as np
import pytest
import torch
import torchvision
from pytorch_ood.model import WideResNet as Theirs

from bood_tasks.catalogue.weights import WEIGHTS, Released
from bood_tasks.detectors import detector, pretrained
from bood_tasks.detectors.model import load_model
from bood_tasks.networks.build import network
from bood_tasks.networks.gru import GRUClassifier, stretches
from bood_tasks.networks.pixels import MEAN, STD, renormalised, to_input
from bood_tasks.networks.vit_layouts import as_timm
from bood_tasks.networks.wide_resnet import MEAN as CIFAR_MEAN
from bood_tasks.networks.wide_resnet import STD as CIFAR_STD
from tests import fake_artifacts

pytestmark = pytest.mark.usefixtures("nobodys_plan")

WIDE = {"network": "wideresnet", "depth": 10, "width": 1, "dropout": 0.3, "classes": 4}


def pixels(count=3, side=32):
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=rng, dtype=torch.uint8)


def test_renormalised_input_is_what_other_weights_expect():
    x = to_input(pixels())
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    expected = torchvision.transforms.functional.normalize(pixels() / 255, mean, std)
    torch.testing.assert_close(renormalised(x, mean, std), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(renormalised(x, (MEAN,) * 3, (STD,) * 3), x)


def test_pytorch_oods_wide_resnet_loads_and_computes_the_same():
    torch.manual_seed(0)
    theirs = Theirs(4, depth=40, widen_factor=2).eval()
    ours = network(WIDE | {"depth": 40, "width": 2}).eval()
    ours.load_state_dict(theirs.state_dict())
    x = to_input(pixels())
    expected = theirs(renormalised(x, CIFAR_MEAN, CIFAR_STD))
    torch.testing.assert_close(ours(x), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.head(ours.stages(x)[-1]), ours(x))


def test_torchvisions_resnet_101_loads_and_computes_the_same():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet101(num_classes=3).eval()
    ours = network({"network": "resnet101", "classes": 3}).eval()
    ours.load_state_dict(theirs.state_dict())
    x = to_input(pixels(1, 64))
    expected = theirs(renormalised(x, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(ours(x), expected, rtol=1e-3, atol=1e-4)
    assert len(ours.stages(x)) == 4


def test_timms_vit_loads_and_computes_the_same():
    import timm

    torch.manual_seed(0)
    theirs = timm.create_model("vit_base_patch16_224", num_classes=3).eval()
    ours = network({"network": "vit_b16", "classes": 3, "dropout": 0.1}).eval()
    ours.load_state_dict(theirs.state_dict())
    x = to_input(pixels(1, 224))
    torch.testing.assert_close(ours(x), theirs(x * STD / 0.5), rtol=1e-3, atol=1e-4)


class PytorchOodsAttention(torch.nn.Module):
    """As pytorch-ood's ViT had it, written from its equations: heads apart, `torch.einsum`."""

    def __init__(self, state, block):
        super().__init__()
        self.of = {
            (part, kind): state[f"transformer.encoder_layers.{block}.attn.{part}.{kind}"]
            for part in ("query", "key", "value", "out") for kind in ("weight", "bias")
        }  # fmt: skip

    def forward(self, x):
        q, k, v = (
            torch.einsum("bni,ihd->bhnd", x, self.of[part, "weight"])
            + self.of[part, "bias"][:, None]
            for part in ("query", "key", "value")
        )
        weights = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
        mixed = torch.einsum("bhnd,hdo->bno", weights @ v, self.of["out", "weight"])
        return mixed + self.of["out", "bias"]


def test_pytorch_oods_vit_gets_timms_names_and_computes_the_same():
    import timm

    torch.manual_seed(0)
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=16, embed_dim=24, depth=2, num_heads=3, num_classes=5
    ).eval()
    given = {
        "cls_token": torch.randn(1, 1, 24), "embedding.weight": torch.randn(24, 3, 16, 16),
        "embedding.bias": torch.randn(24), "classifier.weight": torch.randn(5, 24),
        "classifier.bias": torch.randn(5), "transformer.norm.weight": torch.randn(24),
        "transformer.norm.bias": torch.randn(24),
        "transformer.pos_embedding.pos_embedding": torch.randn(1, 5, 24),
    }  # fmt: skip
    shapes = {
        **{f"norm{n}.{kind}": (24,) for n in (1, 2) for kind in ("weight", "bias")},
        **{f"attn.{part}.weight": (24, 3, 8) for part in ("query", "key", "value")},
        **{f"attn.{part}.bias": (3, 8) for part in ("query", "key", "value")},
        "attn.out.weight": (3, 8, 24), "attn.out.bias": (24,),
        "mlp.fc1.weight": (96, 24), "mlp.fc1.bias": (96,), "mlp.fc2.weight": (24, 96),
        "mlp.fc2.bias": (24,),
    }  # fmt: skip
    for block in (0, 1):
        for name, shape in shapes.items():
            given[f"transformer.encoder_layers.{block}.{name}"] = torch.randn(shape)
    vit.load_state_dict(as_timm(given))
    x = torch.randn(2, 5, 24)
    for block in (0, 1):
        expected = PytorchOodsAttention(given, block)(x)
        torch.testing.assert_close(vit.blocks[block].attn(x), expected, rtol=1e-4, atol=1e-4)
    timms = vit.state_dict()
    assert all(torch.equal(as_timm(timms)[name], timms[name]) for name in timms)
    del given["transformer.encoder_layers.1.attn.key.weight"]
    assert "blocks.1.attn.qkv.weight" not in as_timm(given)


def test_a_vits_dropout_is_where_pytorch_oods_is_and_in_training_alone():
    net = network({"network": "vit_b16", "classes": 3, "dropout": 0.1})
    rates = {name: item.p for name, item in net.named_modules() if type(item).__name__ == "Dropout"}
    used = {name for name, rate in rates.items() if rate == 0.1}
    places = ("attn.proj_drop", "mlp.drop1", "mlp.drop2")
    assert used == {"pos_drop"} | {f"blocks.{n}.{place}" for n in range(12) for place in places}


def gru(**more):
    shape = {"vocabulary": 9, "embedding": 5, "hidden": 6, "layers": 2, "outputs": 3}
    return GRUClassifier(**shape | more)


def test_padding_behind_a_text_changes_nothing():
    torch.manual_seed(0)
    net = gru().eval()
    short = torch.tensor([[3, 4, 5]])
    padded = torch.tensor([[3, 4, 5, 0, 0]])
    torch.testing.assert_close(net(short), net(padded))
    assert not torch.allclose(net(short), net(torch.tensor([[3, 4, 6]])))


def one_by_one(net, rows):
    """Return a GRU's answers, each text alone by PyTorch's module on its own words."""
    found = []
    for row in rows:
        words = row[: (row != 0).sum()]
        lead = torch.full((net.lead,), 1)
        states, _ = net.gru(net.embedding(torch.cat([lead, words]))[None])
        found.append(net.head(states[0, -1]))
    return torch.stack(found)


@pytest.mark.parametrize("lead", [0, 4])
@pytest.mark.parametrize("at_once", [100_000, 40])
def test_texts_of_very_different_lengths_are_read_as_each_alone(monkeypatch, lead, at_once):
    """Values and gradients, whatever stretches the batch is read in."""
    monkeypatch.setattr("bood_tasks.networks.gru.WORDS_AT_ONCE", at_once)
    torch.manual_seed(0)
    net, lengths = gru(lead=lead), [1, 70, 3, 3, 200, 2, 9, 70, *range(1, 40)]
    rows = torch.zeros(len(lengths), 250, dtype=torch.long)
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = torch.randint(1, 9, (length,))
    weights = torch.randn(len(lengths), 3)
    found = []
    for answers in (net(rows), one_by_one(net, rows)):
        gradients = torch.autograd.grad((answers * weights).sum(), list(net.parameters()))
        found.append((answers.detach(), *gradients))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_stretches_cover_every_word_once_and_little_padding():
    lengths = sorted(np.random.default_rng(0).geometric(0.01, 32).tolist(), reverse=True)
    read = Counter()
    for start, end, running in stretches(lengths):
        assert all(length > start for length in lengths[:running])
        read.update({row: end - start for row in range(running)})
    assert all(read[row] >= length for row, length in enumerate(lengths))
    assert sum(read.values()) < 1.15 * sum(lengths)


def texts(count, seed):
    """Class 0 says 3 before 4, class 1 the other way round: order, not words, tells them apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = rng.integers(5, 9, (count, 6), dtype=np.int32)
    for row, label in zip(rows, labels, strict=True):
        first, second = np.sort(rng.choice(6, 2, replace=False))
        row[first], row[second] = (3, 4) if label == 0 else (4, 3)
    return rows, labels.astype(np.int64)


def data(root, name, rows, labels, vocabulary="v", splits=("train", "validation", "test")):
    arrays = {}
    for split in splits:
        arrays |= {f"{split}/tokens": rows, f"{split}/labels": labels,
                   f"{split}/index": np.arange(len(rows))}  # fmt: skip
    facts = {"classes": ["a", "b"], "vocabulary": vocabulary, "vocabulary_size": 9, "words": 6}
    return fake_artifacts.make(
        root, "tokens", arrays=arrays, files={"dataset.json": facts}, settings={"name": name}
    )


SETTINGS = {
    "network": "gru", "embedding": 8, "hidden": 16, "layers": 1, "epochs": 12, "batch_size": 16,
    "lr": 0.01, "weight_decay": 0.0, "crop_padding": 0, "flip": False, "clip_norm": 1.0,
    "optimiser": "adam", "schedule": "constant", "mixing": "shuffled", "precision": "fp32",
    "augment": "shift", "momentum": 0.9, "snapshots": True, "seed": 0, "crop": None,
    "method": "outlier_exposure", "method_version": 1,
    "method_settings": {"loss_weight": 0.5, "weighting": "batch"},
    "sources": [{"weight": 1.0, "artifacts": 1, "count": 100}],
}  # fmt: skip


def test_a_text_classifier_learns_the_order_of_words_with_outliers_beside(tmp_path):
    rows, labels = texts(300, 0)
    inside = data(tmp_path, "texts", rows, labels)
    rng = np.random.default_rng(5)
    noise = rng.integers(3, 9, (200, 6), dtype=np.int32)
    outliers = data(tmp_path, "noise", noise, np.full(200, -1), splits=("test",))
    made = fake_artifacts.run_stage(
        tmp_path, detector.main, "detector", SETTINGS, {"dataset": inside, "outliers": [outliers]}
    )
    model = load_model(made, "cpu")
    fresh, expected = texts(200, 1)
    right = model(torch.from_numpy(fresh).long()).argmax(1).numpy() == expected
    assert right.mean() > 0.95
    kept = sorted(path.name for path in (made.folder / "epochs").iterdir())
    assert kept == [f"{epoch:02d}.safetensors" for epoch in range(1, 13)]
    assert (made.folder / "epochs/12.safetensors").read_bytes() == (
        made.folder / "model.safetensors"
    ).read_bytes()


def test_long_texts_and_short_outliers_share_a_batch(tmp_path):
    """What lies behind the longest text of a batch is never read: ID texts of 6 words in rows of
    900, outliers of 3 words."""
    rows, labels = texts(300, 0)
    inside = data(tmp_path, "texts", np.pad(rows, ((0, 0), (0, 894))), labels)
    noise = np.random.default_rng(5).integers(3, 9, (200, 3), dtype=np.int32)
    outliers = data(tmp_path, "noise", noise, np.full(200, -1), splits=("test",))
    made = fake_artifacts.run_stage(
        tmp_path, detector.main, "detector", SETTINGS | {"clip_norm": None},
        {"dataset": inside, "outliers": [outliers]},
    )  # fmt: skip
    fresh, expected = texts(200, 1)
    right = load_model(made, "cpu")(torch.from_numpy(fresh).long()).argmax(1).numpy() == expected
    assert right.mean() > 0.95


def test_outliers_of_another_vocabulary_are_refused_before_training(tmp_path):
    rows, labels = texts(20, 0)
    inside = data(tmp_path, "texts", rows, labels)
    other = data(tmp_path, "noise", rows, labels, vocabulary="w", splits=("test",))
    with pytest.raises(ValueError, match="must be numbered by the ID texts' vocabulary"):
        fake_artifacts.run_stage(
            tmp_path, detector.main, "detector", SETTINGS, {"dataset": inside, "outliers": [other]}
        )


def take_up(root, path, **more):
    settings = {key: value for key, value in WIDE.items() if key != "classes"}
    settings |= {"content": "x", "new_head": False} | more
    inside = fake_artifacts.make(
        root, "dataset", arrays={"train/labels": np.zeros(1)},
        files={"dataset.json": {"classes": ["a", "b", "c", "d"]}},
    )  # fmt: skip
    spec = fake_artifacts.identity("pretrained", settings, {"dataset": inside})
    out = root / "pretrained" / "made" / fake_artifacts.digest_of(spec) / "manifest.json"
    given = ["--in", str(inside.manifest), "--out", str(out), "--spec", json.dumps(spec)]
    pretrained.main([*given, "--source", str(path)])
    return fake_artifacts.Artifact(out)


def test_published_weights_become_a_detector(tmp_path):
    torch.manual_seed(0)
    theirs = Theirs(4, depth=10, widen_factor=1).eval()
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    model = load_model(take_up(tmp_path, tmp_path / "w.pt"), "cpu")
    x = to_input(pixels())
    expected = theirs(renormalised(x, CIFAR_MEAN, CIFAR_STD))
    torch.testing.assert_close(model(x), expected, rtol=1e-3, atol=1e-4)


def test_weights_from_before_pytorch_0_4_1_lack_batchnorms_counters(tmp_path):
    """Outlier Exposure's files are of 2018: no num_batches_tracked, and not yet a zip."""
    torch.manual_seed(0)
    theirs = Theirs(4, depth=10, widen_factor=1).eval()
    state = {k: v for k, v in theirs.state_dict().items() if "num_batches_tracked" not in k}
    assert len(state) < len(theirs.state_dict())
    torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    model = load_model(take_up(tmp_path, tmp_path / "w.pt"), "cpu")
    x = to_input(pixels())
    expected = theirs(renormalised(x, CIFAR_MEAN, CIFAR_STD))
    torch.testing.assert_close(model(x), expected, rtol=1e-3, atol=1e-4)
    counters = [v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")]
    assert counters
    assert not any(counters)


def released_as(monkeypatch, checksum):
    entry = Released("a title", "a page", {"w.pt": ("https://x.org/w.pt", checksum)})
    monkeypatch.setitem(WEIGHTS, "mine", entry)
    return {"released": "mine", "files": {"w.pt": checksum}}


def test_released_weights_are_read_only_with_their_checksum(tmp_path, monkeypatch):
    path = tmp_path / "w.pt"
    settings = released_as(monkeypatch, "0" * 8)
    with pytest.raises(FileNotFoundError, match=r"detector\.pretrained \(a title\) must lie in"):
        take_up(tmp_path, path, **settings)
    torch.save(Theirs(4, depth=10, widen_factor=1).state_dict(), path)
    with pytest.raises(ValueError, match=r"w\.pt must have the SHA-256 00000000, got"):
        take_up(tmp_path, path, **settings)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    for checksum in (right, right[:8], ""):
        take_up(tmp_path, path, **released_as(monkeypatch, checksum))


def test_released_weights_are_fetched_where_that_is_allowed(tmp_path, monkeypatch):
    torch.save(Theirs(4, depth=10, widen_factor=1).state_dict(), tmp_path / "source.pt")
    right = hashlib.sha256((tmp_path / "source.pt").read_bytes()).hexdigest()
    settings = released_as(monkeypatch, right)
    address = (tmp_path / "source.pt").as_uri()
    monkeypatch.setitem(WEIGHTS, "mine", Released("t", "p", {"w.pt": (address, right)}))
    monkeypatch.setenv("BOOD_RUN", json.dumps({"download": True}))
    made = take_up(tmp_path, tmp_path / "weights" / "w.pt", **settings)
    assert (made.folder / "model.safetensors").is_file()
    (tmp_path / "source.pt").write_bytes(b"another file")
    (tmp_path / "weights" / "w.pt").unlink()
    with pytest.raises(ValueError, match="must have the SHA-256"):
        take_up(tmp_path, tmp_path / "weights" / "w.pt", **settings | {"new_head": True})
    assert not list((tmp_path / "weights").iterdir())  # nothing wrong is left behind


def test_weights_for_other_classes_need_a_new_head(tmp_path):
    torch.save(Theirs(7, depth=10, widen_factor=1).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"of 7 logits, and the data set has 4.*new_head: true"):
        take_up(tmp_path, tmp_path / "w.pt")
    one, other = (
        load_model(take_up(tmp_path, tmp_path / "w.pt", new_head=True, seed=seed), "cpu")
        for seed in (0, 1)
    )
    assert not torch.equal(one.network.fc.weight, other.network.fc.weight)
    torch.testing.assert_close(one.network.conv1.weight, other.network.conv1.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv1.weight"), r"lacks conv1\.weight"),
        (lambda s: s.update(x=torch.ones(1)), "has also x"),
        (lambda s: s["fc.bias"].fill_(math.nan), r"fc\.bias must be finite"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, change, message):
    state = Theirs(4, depth=10, widen_factor=1).state_dict()
    change(state)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=message):
        take_up(tmp_path, tmp_path / "w.pt")
    (tmp_path / "w.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="must hold whole weights, and cannot be read"):
        take_up(tmp_path, tmp_path / "w.pt")
