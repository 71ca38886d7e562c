import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bood_tasks.detectors.detector import train_detector
from bood_tasks.detectors.methods.godin import GODIN
from bood_tasks.networks.resnet import ResNet
from bood_tasks.training.recipe import Recipe, Step


class Flat(ResNet):
    """Features are the pixels: what GODIN's head does with given features."""

    def __init__(self, width, classes):
        nn.Module.__init__(self)
        self.head = nn.Linear(width, classes)

    def penultimate(self, x):
        return x.flatten(1)

    def stages(self, x):
        return [x.flatten(1)]


def picture(features):
    return features.unflatten(1, (3, 1, -1))


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def flat(width=3, classes=2):
    torch.manual_seed(0)
    return GODIN(Flat(width, classes), classes=classes)


def tiny():
    torch.manual_seed(0)
    return GODIN(ResNet(depth=18, width=2, stem="strided", outputs=3), classes=3)


def step_of(number):
    return Step(number, 100, stream(number))


def test_logits_by_hand():
    """z = (3, 4, 0), w = (2, 0, 0) and (0, .5, 0): h = (.6, .8); g = sigmoid((3 - 1 - 1) / 2)."""
    model = flat().eval()
    linear, norm, _ = model.divisor
    with torch.no_grad():
        model.directions.copy_(torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.5, 0.0]]))
        linear.weight.copy_(torch.tensor([[1.0, 0.0, 0.0]]))
        linear.bias.fill_(-1.0)
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0 - norm.eps)
    x = picture(torch.tensor([[3.0, 4.0, 0.0]]))
    g = 1 / (1 + np.exp(-0.5))
    found = model.outputs(x)
    np.testing.assert_allclose(found["confidence"].detach(), [0.8], rtol=1e-6)
    np.testing.assert_allclose(found["logits"].detach(), [[0.6 / g, 0.8 / g]], rtol=1e-6)
    assert torch.equal(model(x), found["logits"])
    assert model.confidence(x).item() == pytest.approx(0.8)


def test_gradient_of_the_loss_is_the_closed_form():
    """dL/dw_i = mean of (softmax_i - y_i) / g (z/|z| - h_i w_i/|w_i|) / |w_i|, in float64."""
    model = flat(classes=3).double().eval()
    z = torch.randn(5, 3, dtype=torch.float64, generator=stream())
    y = torch.tensor([0, 1, 2, 1, 0])
    F.cross_entropy(model(picture(z)), y).backward()
    with torch.no_grad():
        w, unit = model.directions, F.normalize(z, dim=1)
        lengths = w.norm(dim=1, keepdim=True)
        h, g = unit @ (w / lengths).T, model.divisor(z)
        error = ((h / g).softmax(1) - F.one_hot(y, 3)) / g / 5
        expected = (error.T @ unit - (error * h).sum(0)[:, None] * w / lengths) / lengths
    torch.testing.assert_close(model.directions.grad, expected)


def test_numerator_ignores_the_length_of_features_and_directions():
    model = flat(classes=3)
    z = torch.randn(4, 3, generator=stream())
    before = model.numerator(z)
    assert before.abs().max() <= 1 + 1e-6
    with torch.no_grad():
        model.directions *= torch.tensor([[0.1], [7.0], [300.0]])
    torch.testing.assert_close(model.numerator(50 * z), before)


def test_only_the_directions_of_h_escape_weight_decay():
    model = tiny()
    (optimiser,) = model.optimisers(Recipe(1, 1, 0.1, 0.5, 0, False, 1))
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimiser.step()
    for name, weight in model.named_parameters():
        still = name == "directions" or not before[name].any()
        assert torch.equal(weight, before[name]) == still, name


def test_outputs_are_those_of_the_network_with_its_confidence():
    model = tiny().eval()
    x = torch.randn(4, 3, 16, 16, generator=stream())
    found = model.outputs(x)
    assert torch.equal(found["features"], model.network.stages(x)[-1])
    torch.testing.assert_close(found["logits"], model(x))
    torch.testing.assert_close(found["confidence"], model.confidence(x))
    assert found["confidence"].shape == (4,)


def test_logits_are_finite_where_the_divisor_vanishes():
    model = flat().eval()
    with torch.no_grad():
        model.divisor[0].weight.fill_(-1000.0)
        found = model.outputs(picture(torch.ones(1, 3)))
    assert found["logits"].isfinite().all()
    assert found["logits"].abs().max() > 1e30


def test_confidence_falls_far_from_the_classes():
    """Four classes along four of twelve axes: the other axes' and the opposites' cosine is small
    however far out, while the logits h / g of some exceed every ID row's."""
    axes = torch.eye(12)
    labels = torch.arange(120) % 4
    points = 3 * axes[labels] + 0.3 * torch.randn(120, 12, generator=stream())
    far = 30 * torch.cat([-axes[:4], axes[4:]])
    model = flat(width=12, classes=4)
    (optimiser,) = model.optimisers(Recipe(1, 1, 0.1, 5e-4, 0, False, 1))
    for number in range(200):
        optimiser.zero_grad()
        model.loss(picture(points), labels, step_of(number))["loss"].backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        inside, outside = (model.outputs(picture(where)) for where in (points, far))
    assert (inside["logits"].argmax(1) == labels).all()
    assert F.cosine_similarity(model.directions[:, None], axes, dim=2).argmax(1).tolist() == [
        0, 1, 2, 3
    ]  # fmt: skip
    assert inside["confidence"].min() > 0.5 > outside["confidence"].max() + 0.05
    assert outside["logits"].max() > inside["logits"].max()


def test_detector_learns_and_learns_its_divisor(tmp_path):
    labels = np.arange(64) % 2
    images = np.random.default_rng(0).integers(0, 60, (64, 8, 8, 3), dtype=np.uint8)
    images[labels == 0, :, :4] += 190
    images[labels == 1, :, 4:] += 190
    description = {
        "network": "resnet", "depth": 18, "width": 2, "stem": "strided", "classes": 2,
        "method": "godin",
        "settings": {},
    }  # fmt: skip
    recipe = Recipe(16, 16, 0.1, 5e-4, crop_padding=0, flip=False, clip_norm=1)
    model, curve, _ = train_detector(
        images, labels, [], recipe, description, seed=0, checkpoint=tmp_path / "c", device="cpu"
    )
    assert curve[-1]["loss"] < 0.2 * np.log(2)
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 63.75 - 2
    with torch.no_grad():
        assert (model(x).argmax(1).numpy() == labels).all()
    assert model.divisor[1].num_batches_tracked == 64
