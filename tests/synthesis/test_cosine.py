"""The cosine classifier against autograd and cases worked by hand."""

import pytest
import torch
import torch.nn.functional as F

from bood_tasks.synthesis.cosine import CosineClassifier, cosine_logits, perturb, predict


def random_case(rows=40, dim=16, classes=5, dtype=torch.float64):
    random = torch.Generator().manual_seed(1)
    anchors = torch.randn(classes, dim, generator=random, dtype=torch.float64)
    z = 3 * torch.randn(rows, dim, generator=random, dtype=torch.float64)
    return z.to(dtype), torch.arange(rows) % classes, anchors.to(dtype)


def autograd_gradient(z, labels, anchors, temperature):
    """The gradient of Eq. 3's loss, written out: nothing of the package is used."""
    z = z.detach().requires_grad_(True)
    cosines = (z / z.norm(dim=1, keepdim=True)) @ (anchors / anchors.norm(dim=1, keepdim=True)).T
    loss = F.cross_entropy(cosines / temperature, labels, reduction="sum")
    return torch.autograd.grad(loss, z)[0]


def test_cosine_logits_are_the_cosine_over_t():
    features = torch.tensor([[3.0, 4.0]])
    anchors = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    found = cosine_logits(features, anchors, temperature=0.5)
    torch.testing.assert_close(found, torch.tensor([[1.2, 1.6, -1.2]]))


def test_cosine_logits_carry_gradients():
    z, labels, anchors = random_case()
    expected = autograd_gradient(z, labels, anchors, 0.1)
    z.requires_grad_(True)
    logits = cosine_logits(z, anchors, temperature=0.1)
    (found,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), z)
    torch.testing.assert_close(found, expected)


def test_predictions_are_the_first_largest_cosine():
    anchors = torch.tensor([[9.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    features = torch.tensor([[1.0, 0.5], [1.0, 3.0], [1.0, 1.0]])
    assert predict(features, anchors).tolist() == [0, 1, 0]


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_ascent_direction_is_the_gradient_up_to_its_stated_factor(temperature):
    z, labels, anchors = random_case()
    classifier = CosineClassifier(anchors, temperature=temperature)
    direction = classifier.ascent_direction(z, labels, classifier.products(z))
    probabilities = cosine_logits(z, anchors, temperature=temperature).softmax(1)
    missing = 1 - probabilities.gather(1, labels[:, None])
    gradient = direction * missing / (temperature * z.norm(dim=1, keepdim=True))
    torch.testing.assert_close(gradient, autograd_gradient(z, labels, anchors, temperature))


def test_perturb_survives_a_certain_prediction():
    """At a tiny t the gradient points from y to its nearest rival, but p_y rounds to 1."""
    z, labels, anchors = random_case(dtype=torch.float32)
    z = anchors[labels] + 0.1 * z
    assert not autograd_gradient(z, labels, anchors, 0.002).any()
    found = perturb(z, labels, anchors, step_size=1.0, temperature=0.002) - z
    anchors, u = F.normalize(anchors, dim=1), F.normalize(z, dim=1)
    rivals = (u @ anchors.T).scatter(1, labels[:, None], -2).argmax(1)
    toward = anchors[rivals] - anchors[labels]
    tangent = toward - (toward * u).sum(1, keepdim=True) * u
    assert (found.round() == tangent.sign()).double().mean() > 0.99


def test_float32_products_equal_float64_products():
    z, labels, anchors = random_case(rows=300, dim=64, classes=12)
    wide = CosineClassifier(anchors, temperature=0.1)
    narrow = CosineClassifier(anchors.float(), temperature=0.1)
    products = narrow.products(z.float())
    torch.testing.assert_close(products.double(), wide.products(z), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        narrow.ascent_direction(z.float(), labels, products).double(),
        wide.ascent_direction(z, labels, wide.products(z)),
        atol=1e-5,
        rtol=1e-5,
    )


def test_perturb_by_hand_with_sign_zero():
    z, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    anchors = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    first = perturb(z, labels, anchors, step_size=0.3, temperature=0.1)
    second = perturb(first, labels, anchors, step_size=0.3, temperature=0.1)
    torch.testing.assert_close(first, torch.tensor([[1.0, 0.3]]))  # the radial part is zero
    torch.testing.assert_close(second, torch.tensor([[0.7, 0.6]]))


@pytest.mark.parametrize("space", ["unit", "raw"])
def test_perturb_is_one_signed_autograd_step(space):
    z, labels, anchors = random_case()
    z = F.normalize(z, dim=1) if space == "unit" else z
    expected = z + 0.015 * autograd_gradient(z, labels, anchors, 0.1).sign()
    found = perturb(z, labels, anchors, step_size=0.015, temperature=0.1)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_rejects_temperature_zero():
    with pytest.raises(ValueError, match=r"temperature must be > 0, got 0\.0; the default is 0\.1"):
        CosineClassifier(torch.eye(2), temperature=0.0)


def test_rejects_a_single_anchor():
    with pytest.raises(ValueError, match=r"anchors must be at least 2, got 1"):
        CosineClassifier(torch.ones(1, 2), temperature=0.1)


def test_rejects_a_zero_anchor():
    with pytest.raises(
        ValueError, match=r"anchors must be finite and not all zero, got 1 bad rows: 2"
    ):
        CosineClassifier(torch.eye(3) * torch.tensor([[1.0], [1.0], [0.0]]), temperature=0.1)
