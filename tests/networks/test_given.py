"""Classifiers of somebody else's: split into body and head, loaded by their own names, scored."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bood_tasks.catalogue.scores import SCORES, moves
from bood_tasks.detectors.model import as_layer, build
from bood_tasks.networks.given import GivenNetwork, find_head, split
from bood_tasks.networks.label_order import order_of
from bood_tasks.networks.libraries import given_network, original
from bood_tasks.networks.padding import PAD
from bood_tasks.networks.pixels import to_input
from bood_tasks.networks.probe import facts
from bood_tasks.networks.weights import initialised, read_weights
from bood_tasks.scoring.outputs import run_outputs
from bood_tasks.scoring.posthoc.last_layer import layer_between
from bood_tasks.scoring.posthoc.table import score_named
from bood_tasks.scoring.scores import as_outputs, of_outputs, of_pictures
from bood_tasks.training.predict import as_input
from tests.tiny_detector import SETTINGS

CLASSES, SIDE = 3, 32
UNIT = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
VIT = {"img_size": SIDE, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
SWIN = {"img_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 12, "depths": [1, 1],
        "num_heads": [2, 2]}  # fmt: skip
NEXT = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
FAMILIES = {
    "resnet": {"torchvision": "resnet18", **UNIT},
    "convnext": {"timm": "convnext_atto", "settings": NEXT, **UNIT},
    "vit": {"timm": "vit_tiny_patch16_224", "settings": VIT, **UNIT},
    "swin": {"timm": "swin_tiny_patch4_window7_224", "settings": SWIN, **UNIT},
    "efficientnet": {"torchvision": "efficientnet_b0", **UNIT},
    "regnet": {"timm": "regnety_002", **UNIT},
    "mobilenet": {"torchvision": "mobilenet_v3_small", **UNIT},
    "openood": {"openood": "resnet18_32x32", **UNIT},
    "bert": {"transformers": "", "pad": 3, "size": 12},
}
BERT = {
    "architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": 40,
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 16, "pad_token_id": 3,
}  # fmt: skip
POSTHOC = [name for name, entry in SCORES.items() if not entry.method]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A transformers folder with a tiny BERT's configuration."""
    made = tmp_path_factory.mktemp("bert")
    (made / "config.json").write_text(json.dumps(BERT))
    return made


def described(family: str) -> dict:
    return {"size": SIDE} | FAMILIES[family]


def items(family: str, count: int, seed: int) -> np.ndarray:
    """Pictures, or texts of 4 to 12 words padded behind."""
    rng = np.random.default_rng(seed)
    if family != "bert":
        coarse = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        return coarse.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)
    rows = rng.integers(4, 40, (count, 12), dtype=np.int32)
    rows[np.arange(12) >= rng.integers(4, 13, count)[:, None]] = PAD
    return rows


@torch.no_grad()
def settle(model: nn.Module, family: str) -> None:
    """Give batch norms the statistics of some items: else random weights' signals die out."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    model.train()
    model(as_input(torch.from_numpy(of_network(items(family, 64, 0)))))
    model.eval()


def of_network(rows: np.ndarray) -> np.ndarray:
    return rows if rows.ndim == 2 else np.moveaxis(rows, -1, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_of_every_family_goes_through_every_score(family, folder):
    description = {
        "network": described(family), "classes": CLASSES, "method": "cross_entropy", "settings": {}
    }  # fmt: skip
    model = initialised(lambda: build(description, folder=folder), 0)
    settle(model, family)
    model.network.head.weight.data *= 30
    how = {"batch_size": 32, "device": "cpu"}
    training = {k: torch.from_numpy(v) for k, v in
                run_outputs(model, items(family, 64, 0), **how).items()}  # fmt: skip
    test = {k: torch.from_numpy(v) for k, v in
            run_outputs(model, items(family, 9, 1), **how).items()}  # fmt: skip
    training["labels"] = torch.arange(64) % CLASSES
    head = layer_between(training["features"], training["logits"], model.network.head)
    assert head is model.network.head
    wanted = as_outputs(training, head)
    for name in POSTHOC:
        entry, settings = SCORES[name], SETTINGS.get(name, {})
        state = {}
        if entry.fits:
            state = score_named(name, settings).fit(wanted)
        elif entry.held_out:
            state = score_named(name, settings).fit(as_outputs(test))
        if entry.validated and not entry.gradients:
            state = score_named(name).weigh(state, wanted, as_outputs(test))
        if moves(name, settings):
            if family == "bert":
                continue  # words have no gradient
            x = to_input(torch.from_numpy(items(family, 9, 1)).movedim(-1, 1))
            given = {"score": name, **settings}
            if entry.held_out:
                answers = score_named(name, settings).statistic(model, x, 0.02)
                state["reference"] = answers.sort().values[::2].contiguous()
            found = of_pictures(model, x, given, [0.02], state)[:, 0]
        else:
            found = of_outputs({"score": name, **settings}, test, state)
        assert found.shape == (9,), name
        assert torch.isfinite(found).all(), name
        assert found.std() > 0, name


@pytest.mark.parametrize("family", FAMILIES)
def test_it_says_what_its_library_s_network_says(family, folder):
    """Independent: the library's network alone, on pixels scaled by hand or tokens with a mask."""
    description = described(family)
    torch.manual_seed(0)
    theirs = original(description, CLASSES, folder).eval()
    ours = given_network(description, CLASSES, folder).eval()
    ours.load_state_dict(ours.under_own_names(theirs.state_dict()))
    rows = torch.from_numpy(items(family, 5, 2))
    if family == "bert":
        swapped = rows.long().clone()
        swapped[rows == PAD], swapped[rows == 3] = 3, PAD
        length = (rows != PAD).sum(1)
        for row in range(5):  # one by one, without any padding
            alone = theirs(input_ids=swapped[row : row + 1, : length[row]]).logits
            torch.testing.assert_close(
                ours(rows[row : row + 1].long()), alone, atol=1e-5, rtol=1e-4
            )
        return
    pixels = rows.movedim(-1, 1).float() / 255
    mean, std = (torch.tensor(description[key]).view(3, 1, 1) for key in ("mean", "std"))
    expected = theirs((pixels - mean) / std)
    found = ours(to_input(rows.movedim(-1, 1)))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(ours.head(ours.stages(to_input(rows.movedim(-1, 1)))[-1]), found)


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = nn.Linear(12, 8), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x):
        x = self.body(x.flatten(1)[:, :12]).relu()
        return (self.a(x) + self.b(x)) / 2


class Reshaped(nn.Module):
    """Its logits are a view of what its last layer makes; a layer of the same width is unused."""

    def __init__(self):
        super().__init__()
        self.spare, self.body, self.last = nn.Linear(8, 3), nn.Linear(12, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.body(x.flatten(1)[:, :12]).relu()).view(len(x), -1)


class ReadsItsWeight(Reshaped):
    def forward(self, x):
        return super().forward(x * self.last.weight.shape[0] / 3)


def test_the_last_layer_is_the_one_whose_output_is_returned():
    x, how = torch.randn(2, 3, 4, 4), {"mean": [0.5] * 3, "std": [0.25] * 3}
    assert split(Reshaped(), x, **how).name == "last"
    for net in (TwoHeads(), ReadsItsWeight()):
        whole, expected = split(net, x, **how), net(x)
        assert whole.head is None
        assert set(whole.outputs(x)) == {"logits"}
        torch.testing.assert_close(whole(x), expected)
        with pytest.raises(ValueError, match="no penultimate features"):
            whole.stages(x)
    with pytest.raises(ValueError, match=r"must return logits \[2, classes\]"):
        split(nn.Conv2d(3, 3, 1), x, **how)


def test_a_layer_is_found_without_weights():
    with torch.device("meta"):
        net = Reshaped()
        assert find_head(net, lambda: net(torch.zeros(2, 3, 4, 4))) == "last"


def test_the_probe_tells_what_a_network_takes_and_lacks():
    told = facts({"timm": "vit_tiny_patch16_224", "size": 32}, 5, None, texts=False)
    assert told["defaults"]["size"] == 224
    assert "32" in told["refused"]
    assert (told["features"], told["linear"], told["outputs"]) == (192, True, 5)
    told = facts({"torchvision": "squeezenet1_1", "size": 64}, 5, None, texts=False)
    assert not told["linear"]
    assert "not one linear layer" in told["why"]
    with pytest.raises(ValueError, match="did you mean resnet18"):
        facts({"timm": "resnt18"}, 5, None, texts=False)


def test_the_order_of_classes_is_found_by_name():
    assert order_of(["dog", "cat", "newt"], ["newt", "dog", "cat"], "x") == [2, 0, 1]
    assert order_of(["Tabby_Cat", "dog"], ["dog", "tabby cat"], "x") == [1, 0]
    with pytest.raises(ValueError, match="lack 'newt' and have also 'eel'"):
        order_of(["cat", "eel"], ["cat", "newt"], "x")
    with pytest.raises(ValueError, match="once, got 'cat'"):
        order_of(["cat", "cat"], ["cat", "newt"], "x")


def test_a_whole_pickled_model_is_refused_in_plain_words(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(ValueError, match="a whole model perhaps") as error:
        read_weights(tmp_path / "w.pt")
    assert "\x1b" not in str(error.value)


def test_linear_logits_are_found_by_what_the_outputs_say():
    """A method may make its logits by another layer than its network's last one."""
    torch.manual_seed(0)
    features = torch.randn(200, 6).relu()
    features[:, 2] = 0  # a dead channel
    true, other = nn.Linear(6, 3), nn.Linear(6, 3)
    logits = true(features).detach()
    found = layer_between(features, logits, other)
    torch.testing.assert_close(found(features), logits, atol=1e-4, rtol=1e-4)
    assert layer_between(features, logits, true) is true
    assert layer_between(features, torch.nn.functional.normalize(logits), other) is None
    assert layer_between(features[:12], torch.randn(12, 3), None) is None  # anything would fit
    assert as_layer(torch.ones(3, 6), None).bias.tolist() == [0, 0, 0]


def test_own_files_with_helpers_of_one_name_do_not_mix(tmp_path):
    for name, width in (("a", 4), ("b", 6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "parts.py").write_text(f"WIDTH = {width}\n")
        (tmp_path / name / "net.py").write_text(
            "from torch import nn\nfrom parts import WIDTH\n"
            "def build(classes):\n"
            "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
            "        nn.Linear(3, WIDTH), nn.ReLU(), nn.Linear(WIDTH, classes))\n"
        )
    given = {"python": "net.py:build", "size": 8, **UNIT}
    widths = [given_network(given, 2, tmp_path / name).head.in_features for name in ("a", "b")]
    assert widths == [4, 6]


def test_published_names_are_taken_up(tmp_path):
    """Of torchvision's network by its state dict; ours afterwards by our names."""
    description = {"torchvision": "resnet18", "size": SIDE, **UNIT}
    theirs = original(description, CLASSES)
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    ours = given_network(description, CLASSES)
    state = ours.under_own_names(read_weights(tmp_path / "w.safetensors"))
    ours.load_state_dict(state)
    torch.testing.assert_close(ours.head.weight, theirs.fc.weight)
    again = ours.under_own_names(ours.state_dict())
    assert isinstance(ours, GivenNetwork)
    assert again.keys() == ours.state_dict().keys()
