import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bood_tasks.detectors.methods.ascood import ASCOOD, raised, shuffled, standardised
from bood_tasks.networks.resnet import ResNet
from bood_tasks.training.recipe import Step

SETTINGS = {
    "outliers": "shuffle", "share": 0.25, "weight": 2.0, "sigma": 0.5, "alpha_first": 300.0,
    "alpha_last": 30.0, "head_lr": 0.5,
}  # fmt: skip


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def step_of(number, total=10):
    return Step(number, total, stream(number))


class Flat(ResNet):
    """Features are the pixels."""

    def __init__(self, pixels, classes):
        nn.Module.__init__(self)
        self.head = nn.Linear(pixels, classes)

    def stages(self, x):
        return [x.flatten(1)]


def flat(**more):
    torch.manual_seed(0)
    return ASCOOD(Flat(3 * 4 * 4, 3), classes=3, **SETTINGS | more)


def tiny(**more):
    torch.manual_seed(0)
    network = ResNet(depth=18, width=2, stem="strided", outputs=3)
    return ASCOOD(network, classes=3, **SETTINGS | more)


def reference(features, scale):
    """Standardised features in float64, and the Jacobian [p, p] of one row."""
    mean, std = features.mean(), features.std(ddof=1)
    count, away = len(features), features - mean
    centring = np.eye(count) - 1 / count
    of_std = away / ((count - 1) * std)
    scaled = scale * away / (std + 1e-6)
    return scaled, scale * (centring / (std + 1e-6) - np.outer(away, of_std) / (std + 1e-6) ** 2)


def test_features_and_attributions_are_those_of_float64():
    model = flat()
    x, y = torch.randn(5, 3, 4, 4, generator=stream()), torch.tensor([0, 1, 2, 1, 0])
    found, features = model.attribution(x, y), standardised(x.flatten(1), 0.5)
    weight = model.network.head.weight.detach().double().numpy()
    for row, pixels in enumerate(x.flatten(1).double().numpy()):
        scaled, jacobian = reference(pixels, 0.5)
        np.testing.assert_allclose(features[row], scaled, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[row].flatten(), weight[y[row]] @ jacobian, atol=1e-5)
    assert features.std(1).numpy() == pytest.approx(0.5, rel=1e-4)


def test_attributions_leave_the_network_as_it_was():
    model = tiny().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y = torch.randn(4, 3, 16, 16, generator=stream()), torch.tensor([0, 1, 2, 1])
    model.attribution(x, y)
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_shuffled_pixels_are_those_that_speak_most_for_the_class():
    x = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).view(2, 3, 4, 4)
    attribution = torch.randn(2, 3, 4, 4, generator=stream(1))
    found = shuffled(x, attribution, stream(2), share=0.25)
    for row in range(2):
        rank = np.exp(attribution[row].double().numpy()).sum(0).ravel()
        chosen, pixels = set(np.argsort(rank)[-4:]), x[row].flatten(1).T.tolist()
        now = found[row].flatten(1).T.tolist()
        assert {k for k in range(16) if now[k] != pixels[k]} <= chosen
        assert sorted(now) == sorted(pixels)  # whole pixels, each still there
    assert not torch.equal(found, x)


def test_every_order_of_the_shuffled_pixels_comes_up():
    x = torch.arange(16.0).view(1, 1, 4, 4).expand(600, 3, 4, 4)
    attribution = torch.zeros(600, 3, 4, 4)
    attribution[:, :, 0, :3] = 1
    found = shuffled(x, attribution, stream(), share=3 / 16)[:, 0, 0, :3]
    orders, counts = found.unique(dim=0, return_counts=True)
    assert len(orders) == 6
    assert counts.min() > 60


def test_raised_values_are_those_of_the_largest_gradients():
    x, attribution = torch.zeros(1, 3, 2, 2), torch.randn(1, 3, 2, 2, generator=stream(3))
    found = raised(x, attribution, share=0.5, step=30.0)
    largest = np.argsort(np.abs(attribution.numpy().ravel()))[-6:]
    expected = np.zeros(12)
    expected[largest] = 30 * attribution.double().numpy().ravel()[largest]
    np.testing.assert_allclose(found.numpy().ravel(), expected, rtol=1e-6)


def test_gradient_outliers_have_a_larger_logit_of_their_class():
    """What the paper says of them: near the class, and yet no longer of it."""
    model = flat(outliers="gradient", alpha_first=0.1, alpha_last=0.1)
    x, y = torch.randn(50, 3, 4, 4, generator=stream()), torch.arange(50) % 3
    both = [model(rows).gather(1, y[:, None]) for rows in (x, model.outliers(x, y, step_of(0)))]
    assert (both[1] > both[0]).all()


def test_the_step_falls_from_first_to_last():
    model = flat()
    assert [model.alpha(step_of(number, 4)) for number in range(4)] == [300, 210, 120, 30]
    assert model.alpha(step_of(0, 1)) == 300


def test_loss_is_that_of_float64():
    model = flat()
    x, y = torch.randn(6, 3, 4, 4, generator=stream()), torch.arange(6) % 3
    found = model.loss(x, y, step_of(0))
    both = torch.cat([x, model.outliers(x, y, step_of(0))]).flatten(1).double().numpy()
    head = [
        w.detach().double().numpy() for w in (model.network.head.weight, model.network.head.bias)
    ]
    logits = np.stack([reference(row, 0.5)[0] for row in both]) @ head[0].T + head[1]
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    ce, divergence = -log_p[range(6), y].mean(), (-math.log(3) - log_p[6:]).mean()
    assert found["ce"].item() == pytest.approx(ce, rel=1e-5)
    assert found["ood"].item() - math.log(3) == pytest.approx(divergence, rel=1e-4)
    assert found["loss"].item() == pytest.approx(ce + 2 * (divergence + math.log(3)), rel=1e-5)


def test_outliers_that_training_shows_become_unsure():
    torch.manual_seed(1)
    x, y = torch.randn(60, 3, 4, 4), torch.arange(60) % 3
    x[torch.arange(60), :, :, y] += 2  # a column of each class
    sure = {}
    for weight in (0.0, 1.0):
        model = flat(weight=weight)
        optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
        for number in range(60):
            optimiser.zero_grad()
            model.loss(x, y, step_of(number, 60))["loss"].backward()
            optimiser.step()
        outliers = model.outliers(x, y, step_of(0, 60))
        sure[weight] = F.softmax(model(outliers), 1).amax(1).mean().item()
        assert (model(x).argmax(1) == y).float().mean() > 0.9
    assert sure[1.0] < sure[0.0] - 0.1


@pytest.mark.parametrize("kind", ["shuffle", "gradient"])
def test_a_share_of_nothing_is_refused(kind):
    model = flat(outliers=kind, share=0.001)
    with pytest.raises(ValueError, match=r"detector\.ascood\.share must reach"):
        model.loss(torch.randn(2, 3, 4, 4), torch.tensor([0, 1]), step_of(0))


def test_gaussian_outliers_are_noise_of_that_deviation():
    model = flat(outliers="gaussian")
    found = model.outliers(torch.zeros(200, 3, 4, 4), torch.zeros(200, dtype=int), step_of(0))
    assert found.std().item() == pytest.approx(300, rel=0.02)
