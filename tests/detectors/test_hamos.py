import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bood_tasks.detectors.methods.hamos import HamOS
from bood_tasks.networks.resnet import ResNet
from bood_tasks.synthesis.samplers.hamos import Banks, chains
from bood_tasks.training.recipe import Step

SETTINGS = {
    "embedding": 4, "temperature": 0.1, "prototype_momentum": 0.95, "dispersion_weight": 0.5,
    "queue": 10, "neighbours": 3, "adjacent": 2, "rounds": 2, "leapfrogs": 3, "step_size": 0.1,
    "kappa": 2.0, "margin": 0.2, "weight": 0.1, "start": 0.4,
}  # fmt: skip


class Flat(ResNet):
    """Features are the pixels."""

    def __init__(self):
        nn.Module.__init__(self)
        self.head = nn.Linear(12, 3)

    def stages(self, x):
        return [x.flatten(1)]


def step_of(number):
    return Step(number, 10, torch.Generator().manual_seed(number))


def data(count=60):
    torch.manual_seed(2)
    x, y = torch.randn(count, 3, 2, 2), torch.arange(count) % 3
    x[torch.arange(count), y] += 3
    return x, y


def filled(**more):
    torch.manual_seed(0)
    model = HamOS(Flat(), classes=3, **SETTINGS | more)
    model.loss(*data(), step_of(0))
    return model


def test_outliers_are_the_chains_of_the_queues_embeddings():
    model = filled()
    found = model.outliers(torch.Generator().manual_seed(3))
    rows = model.queue.features
    banks = Banks(rows, torch.ones(3, 10, dtype=torch.bool))
    expected, _ = chains(rows.mean(1), banks, torch.Generator().manual_seed(3), **model.sampling)
    assert torch.equal(found, expected.flatten(0, 1))
    assert found.shape == ((1 + 2) * 3 * 2, 4)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)))


def test_loss_of_the_outliers_is_that_of_float64():
    model, (x, y) = filled(), data()
    before, z = model.prototypes.clone(), model.embed(x.flatten(1)).detach()
    found = model.loss(x, y, step_of(5))
    moved = before.double()
    for row, label in zip(z.double(), y, strict=True):  # one after the other, scaled at the end
        moved[label] = 0.95 * moved[label] + 0.05 * row
    moved = F.normalize(moved, dim=1).numpy()
    similar = model.outliers(step_of(5).rng).double().numpy() @ moved.T / 0.1
    expected = similar.mean(1) + np.log(np.exp(-similar).sum(1))
    assert found["ood"].item() == pytest.approx(expected.mean(), rel=1e-4)
    assert found["ood"].item() >= math.log(3)  # reached where all prototypes are as far
    parts = found["ce"] + found["compactness"] + 0.5 * found["dispersion"] + 0.1 * found["ood"]
    assert found["loss"].item() == pytest.approx(parts.item(), rel=1e-6)


def test_outliers_teach_the_embedding_through_the_moved_prototypes():
    model, (x, y) = filled(), data()
    model.loss(x, y, step_of(5))["ood"].backward()
    assert model.projection[0].weight.grad.abs().max() > 0
    assert model.network.head.weight.grad is None


def test_outliers_begin_at_their_share_of_training_with_full_queues():
    model, (x, y) = filled(), data()
    assert model.loss(x, y, step_of(3))["ood"] == 0
    model = filled(queue=50)
    with pytest.raises(
        ValueError, match=r"detector\.hamos\.queue must be at most .* got 50 for 40"
    ):
        model.loss(x, y, step_of(4))


def test_more_neighbours_than_the_queue_holds_are_refused():
    with pytest.raises(ValueError, match=r"neighbours must be at most detector\.hamos\.queue"):
        filled(neighbours=11)
