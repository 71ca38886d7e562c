"""Nothing in a training step waits for the device: no number is read from it, nothing comes back.

There is no GPU here. The stand-in is torch's `meta` device, whose tensors have no data: whatever
asks for a value (item, nonzero, a mask as an index) or copies one to the host raises.
"""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from bood_tasks.detectors.model import build
from bood_tasks.training import fit as training
from bood_tasks.training.loading import InMemory
from bood_tasks.training.recipe import Recipe

RECIPE = Recipe(
    epochs=9, batch_size=8, lr=0.1, weight_decay=5e-4, crop_padding=2, flip=True, clip_norm=1.0,
    crop=8, steps=7,
)  # fmt: skip
CLASSES, ROWS, SIDE = 3, 32, 8
METHODS = {
    "cross_entropy": {},
    "energy_regulariser": {"ood_weight": 2.5, "reduction": "sum", "phi": "mlp"},
    "outlier_exposure": {"loss_weight": 0.5, "weighting": "batch"},
    "godin": {},
    "vos": {"queue": 4, "candidates": 8, "selected": 2, "weight": 0.1, "start": 0.0},
    "npos": {
        "embedding": 4,
        "temperature": 0.1,
        "prototype_momentum": 0.9,
        "dispersion_weight": 1.0,
        "queue": 4,
        "neighbours": 2,
        "boundary": 2,
        "points": 2,
        "candidates": 4,
        "kept": 2,
        "sigma": 0.1,
        "outlier_weight": 0.1,
        "phi_lr": 1.0,
        "start": 0.0,
    },
    "gan": {"size": 32, "width": 8, "kl_weight": 1.0},
}


def one_hot(labels, count):
    """Like torch's on a GPU; elsewhere it reads the smallest label first."""
    return (labels[:, None] == torch.arange(count, device=labels.device)).long()


@pytest.fixture
def on_a_device(monkeypatch):
    """Run fit's steps 5 and 6 where nothing can be read; the points, which may wait, are left out,
    and so are the first steps, in which two methods look once whether their queues are full."""
    monkeypatch.setenv("BOOD_RUN", '{"compile": false}')
    monkeypatch.setattr(training, "load_checkpoint", lambda *_, **__: (5, []))
    monkeypatch.setattr(training._Recorder, "read", lambda self, *_: self.recent.clear() or "")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no meta
    monkeypatch.setattr(F, "one_hot", one_hot)

    def run(description, recipe, sources, tmp_path):
        with torch.device("meta"):
            model = build(description)
        held = [InMemory(source) for source in sources]
        for item in held:
            item.images = item.images.to("meta")

        def loss(net, x, y, step):
            return net.loss(x, y, step)

        training.fit(
            model, loss, held[0], torch.zeros(ROWS, dtype=torch.long), recipe, stage="detector",
            seed=0, checkpoint=tmp_path / "c", outliers=[(item, 1.0) for item in held[1:]],
            optimisers=model.optimisers(recipe),
        )  # fmt: skip

    return run


def pictures(side=SIDE):
    return torch.zeros(ROWS, 3, side, side, dtype=torch.uint8)


def classifier(method, **more):
    return {
        "network": "resnet", "depth": 18, "width": 2, "stem": "cifar", "classes": CLASSES,
        "method": method, "settings": METHODS[method],
    } | more  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_no_method_waits_in_a_step(method, on_a_device, tmp_path):
    outliers = method in ("energy_regulariser", "outlier_exposure")
    side = 32 if method == "gan" else SIDE
    recipe = replace(RECIPE, crop=side)
    on_a_device(classifier(method), recipe, [pictures(side)] * (1 + outliers), tmp_path)


@pytest.mark.parametrize("augment", ["none", "shift", "resized_crop", "contrastive"])
def test_no_augmentation_waits(augment, on_a_device, tmp_path):
    recipe = replace(RECIPE, augment=augment)
    on_a_device(classifier("cross_entropy"), recipe, [pictures()], tmp_path)


def test_texts_wait_once_for_their_lengths(on_a_device, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "tolist", lambda own: asked.append(1) or [3] * len(own))
    tokens = torch.randint(1, 9, (ROWS, 5), generator=torch.Generator().manual_seed(0))
    tokens[:, 3:] = 0
    network = {
        "network": "gru", "vocabulary": 9, "embedding": 4, "hidden": 4, "layers": 1, "lead": 0,
        "classes": CLASSES, "method": "outlier_exposure",
        "settings": METHODS["outlier_exposure"],
    }  # fmt: skip
    on_a_device(network, RECIPE, [tokens, tokens], tmp_path)
    assert len(asked) == 2  # in two steps


@pytest.mark.parametrize(
    "read",
    [lambda x: x * float(x.float().mean()), lambda x: x[x > 0], lambda x: x.cpu()],
    ids=["a number", "a mask", "a copy"],
)
def test_what_is_read_in_a_step_would_be_noticed(read, on_a_device, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "as_input", lambda x: read(x).float())
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        on_a_device(classifier("cross_entropy"), RECIPE, [pictures()], tmp_path)
