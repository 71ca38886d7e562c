import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bood_tasks.detectors.methods.gan import (
    GAN,
    LARGEST_INPUT,
    LATENT,
    discriminator,
    frozen,
    generator,
    says,
    uniform_divergence,
)
from bood_tasks.networks.pixels import to_input
from bood_tasks.networks.resnet import ResNet
from bood_tasks.training.recipe import Recipe, Step, cosine_lr


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def step_of(number, total=10):
    return Step(number, total, stream(number))


class Levels(ResNet):
    """One hidden layer over the pixels of 8 x 8 pictures."""

    def __init__(self, classes):
        nn.Module.__init__(self)
        self.hidden = nn.Linear(192, 32)
        self.head = nn.Linear(32, classes)

    def penultimate(self, x):
        return F.relu(self.hidden(x.flatten(1)))


def tiny(**more):
    torch.manual_seed(0)
    network = ResNet(depth=18, width=2, stem="strided", outputs=3)
    return GAN(network, classes=3, **{"size": 16, "width": 2, "kl_weight": 0.7} | more)


def batch():
    return torch.randn(6, 3, 16, 16, generator=stream(5)), torch.tensor([0, 0, 1, 1, 2, 2])


def drawn_by(model):
    """What the model's generator draws in step 0."""
    return LARGEST_INPUT * model.generator(torch.randn(6, LATENT, 1, 1, generator=stream(0)))


def test_divergence_by_hand():
    logits = torch.tensor([[math.log(3), 0.0], [5.0, 5.0]])
    one = -math.log(2) - (math.log(0.75) + math.log(0.25)) / 2
    assert uniform_divergence(logits).item() == pytest.approx(one / 2, rel=1e-6)


def test_divergence_is_that_of_float64_and_positive_but_at_the_uniform():
    logits = 3 * torch.randn(50, 7, generator=stream())
    uniform = torch.distributions.Categorical(logits=torch.zeros(7).double())
    said = torch.distributions.Categorical(logits=logits.double())
    expected = torch.distributions.kl_divergence(uniform, said)
    assert uniform_divergence(logits).item() == pytest.approx(expected.mean().item(), rel=1e-5)
    assert expected.min() > 0
    assert uniform_divergence(torch.full((4, 7), 3.2)).item() == pytest.approx(0, abs=1e-6)


def test_binary_cross_entropy_by_hand():
    logits = torch.tensor([0.0, 2.0])[:, None, None, None]
    real = (math.log(2) + math.log1p(math.exp(-2))) / 2
    fake = (math.log(2) + math.log1p(math.exp(2))) / 2
    assert says(logits, 1).item() == pytest.approx(real, rel=1e-6)
    assert says(logits, 0).item() == pytest.approx(fake, rel=1e-6)


@pytest.mark.parametrize("size", [8, 16, 28, 32, 224])
def test_networks_fit_every_size(size):
    z = torch.randn(2, LATENT, 1, 1, generator=stream())
    pictures = generator(size, 1)(z)
    assert pictures.shape == (2, 3, size, size)
    assert pictures.abs().max() <= 1
    assert discriminator(size, 1)(pictures).shape == (2, 1, 1, 1)


def test_networks_for_cifar_have_the_authors_channels():
    layers = [layer for layer in generator(32, 64) if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in layers] == [512, 256, 128, 3]
    layers = [layer for layer in discriminator(32, 64) if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [128, 256, 512, 1]


@pytest.mark.parametrize("size", [4, 9, 36])
def test_sizes_that_cannot_be_halved_are_refused(size):
    with pytest.raises(ValueError, match=rf"picture size must be 4, 5, 6 or 7 .* got {size}; "):
        tiny(size=size)


def test_drawn_pictures_span_the_network_input():
    pixels = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert to_input(pixels).abs().max().item() == LARGEST_INPUT


def test_every_network_gets_the_gradient_of_its_own_loss_alone():
    """One backward pass of the sum, against three separate ones through whole modules."""
    model = tiny()
    x, y = batch()
    alone = {name: copy.deepcopy(model) for name in ("network", "generator", "discriminator")}
    model.loss(x, y, step_of(0))["loss"].backward()

    it = alone["network"]
    logits = it.network(torch.cat([x, drawn_by(it).detach()]))
    (F.cross_entropy(logits[:6], y) + 0.7 * uniform_divergence(logits[6:])).backward()

    it = alone["discriminator"]
    fake = drawn_by(it).detach()
    (says(it.discriminator(x), 1) + says(it.discriminator(fake), 0)).backward()

    it = alone["generator"]
    fake = drawn_by(it)
    edge = uniform_divergence(it.network(torch.cat([x, fake]))[6:])
    (says(it.discriminator(fake), 1) + 0.7 * edge).backward()

    for name, it in alone.items():
        pairs = zip(
            getattr(model, name).named_parameters(), getattr(it, name).parameters(), strict=True
        )
        for (weight, found), expected in pairs:
            assert expected.grad.abs().max() > 0, (name, weight)
            torch.testing.assert_close(found.grad, expected.grad, msg=f"{name}.{weight}")


def test_loss_is_the_sum_of_the_terms():
    terms = tiny().loss(*batch(), step_of(0))
    both = 2 * 0.7 * terms["kl"]  # P's and G's are one value, of different gradients
    total = terms["ce"] + both + terms["discriminator"] + terms["generator"]
    torch.testing.assert_close(terms["loss"], total)


def test_running_statistics_are_of_own_passes_alone():
    """P: one over data and drawn pictures; D: data, then drawn; G: one. None for the frozen."""
    model = tiny()
    expected = copy.deepcopy(model)
    x, y = batch()
    model.loss(x, y, step_of(0))
    fake = drawn_by(expected)
    expected.network(torch.cat([x, fake]))
    expected.discriminator(x)
    expected.discriminator(fake)
    theirs = dict(expected.named_buffers())
    for name, value in model.named_buffers():
        torch.testing.assert_close(value, theirs[name], msg=name)


def test_frozen_leaves_no_trace():
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    before = copy.deepcopy(module.state_dict())
    x = torch.randn(4, 3, 2, 2, generator=stream(), requires_grad=True)
    found = frozen(module, x)
    found.square().sum().backward()
    assert x.grad.abs().max() > 0
    assert all(weight.grad is None for weight in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    torch.testing.assert_close(found, module(x))


def test_every_weight_has_one_optimiser():
    model = tiny()
    sgd, *adams = model.optimisers(Recipe(1, 1, 0.1, 5e-4, 0, False, 1))
    assert [type(found) for found in (sgd, *adams)] == [
        torch.optim.SGD, torch.optim.Adam, torch.optim.Adam
    ]  # fmt: skip
    owned = [
        id(weight)
        for optimiser in (sgd, *adams)
        for group in optimiser.param_groups
        for weight in group["params"]
    ]
    assert sorted(owned) == sorted(id(weight) for weight in model.parameters())
    assert sgd.param_groups[0]["lr"] == 0.1
    for adam in adams:
        assert (adam.defaults["lr"], adam.defaults["betas"]) == (2e-4, (0.5, 0.999))


def test_pictures_are_drawn_from_the_step_alone():
    x, y = batch()
    first, second = tiny(), tiny()
    torch.manual_seed(7)
    both = [model.loss(x, y, step_of(3))["loss"].item() for model in (first, second)]
    assert both[0] == both[1]
    assert tiny().loss(x, y, step_of(4))["loss"].item() != both[0]


def test_confidence_falls_beyond_the_data_where_cross_entropy_is_sure():
    """Two classes of dark pictures; on brighter ones, as on noise, CE alone is sure of one."""
    labels = torch.arange(64) % 2
    dark = torch.tensor([-1.5, -0.7])[labels]
    x = dark[:, None, None, None] + 0.2 * torch.randn(64, 3, 8, 8, generator=stream())
    noise = LARGEST_INPUT * (2 * torch.rand(64, 3, 8, 8, generator=stream(1)) - 1)
    sure = {}
    for kl_weight in (0.0, 1.0):  # 0: plain cross-entropy for the classifier
        torch.manual_seed(0)
        model = GAN(Levels(2), classes=2, size=8, width=2, kl_weight=kl_weight)
        optimisers = model.optimisers(Recipe(1, 1, 0.1, 0, 0, False, 1))
        groups = [group for optimiser in optimisers for group in optimiser.param_groups]
        first_lrs = [group["lr"] for group in groups]
        for number in range(60):
            model.loss(x, labels, step_of(number))["loss"].backward()
            for group, lr in zip(groups, first_lrs, strict=True):
                group["lr"] = cosine_lr(number, 60, lr)
                nn.utils.clip_grad_norm_(group["params"], 1)
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad()
        with torch.no_grad():
            fresh = LARGEST_INPUT * model.generator(torch.randn(64, LATENT, 1, 1))
            assert (model(x).argmax(1) == labels).all()
            sure[kl_weight] = [
                model(pictures).softmax(1).amax(1).mean().item() for pictures in (noise, fresh)
            ]
    assert min(sure[0.0]) > 0.9
    assert sure[1.0][0] < sure[0.0][0] - 0.05
    assert sure[1.0][1] < 0.7
