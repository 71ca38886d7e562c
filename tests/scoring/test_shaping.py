"""ASH, SCALE and AdaSCALE: by hand, in their variants, and against definitions written out."""

import math

import numpy as np
import pytest
import torch
from pytorch_ood.detector import ASH
from scipy.special import logsumexp
from torch import nn

from bood_tasks.detectors.method import Method
from bood_tasks.networks.resnet import ResNet
from bood_tasks.networks.weights import initialised
from bood_tasks.scoring.posthoc.adascale import answer, flattest, percentiles, scaled_energy
from bood_tasks.scoring.posthoc.base import Outputs
from bood_tasks.scoring.posthoc.shaping import ash, kept_count, scale
from bood_tasks.scoring.posthoc.table import score_named
from bood_tasks.scoring.scores import of_pictures

ADASCALE = {
    "score": "adascale", "variant": "a", "lowest": 75.0, "highest": 85.0, "magnitude": 0.5,
    "pixels": 0.05, "shifted": 5.0, "corrected": 10.0, "weight": 10.0,
}  # fmt: skip


@pytest.fixture
def head():
    torch.manual_seed(0)
    return nn.Linear(12, 4)


@pytest.fixture
def features():
    return torch.randn(30, 12, generator=torch.Generator().manual_seed(1)).relu()


def identity():
    """A last layer of one class, whose logit, and so whose energy, is the sum of the features."""
    return {"weight": torch.ones(1, 4), "bias": torch.zeros(1)}


@pytest.mark.parametrize(
    ("variant", "expected"),
    # Of 1, 2, 3 and 4 the half is left: 3 + 4. All are 10, so r = 10/7.
    [("p", 7.0), ("b", 10.0), ("s", 7 * math.exp(10 / 7))],
)
def test_ash_by_hand(variant, expected):
    outputs = Outputs(torch.tensor([[1.0, 4.0, 2.0, 3.0]]), torch.zeros(1, 1))
    found = ash(outputs, identity(), variant=variant, percentile=50)
    assert found.tolist() == pytest.approx([expected])


def test_scale_by_hand():
    outputs = Outputs(torch.tensor([[1.0, 4.0, 2.0, 3.0]]), torch.zeros(1, 1))
    found = scale(outputs, identity(), percentile=50)
    assert found.tolist() == pytest.approx([10 * math.exp(10 / 7)])


@pytest.mark.parametrize("variant", ["s", "p", "b"])
@pytest.mark.parametrize("percentile", [65, 90])
def test_ash_follows_pytorch_ood_s_in_float64(variant, percentile, head, features):
    features = features + 0.1 * torch.rand(30, 12, generator=torch.Generator().manual_seed(2))
    flat = nn.Sequential(nn.Flatten(), head).double()
    peer = ASH(None, flat, variant=f"ash-{variant}", percentile=percentile / 100)
    expected = -peer.predict_feature_maps(features[:, :, None, None].double()).detach()
    state = {"weight": head.weight.detach(), "bias": head.bias.detach()}
    found = ash(Outputs(features, features), state, variant=variant, percentile=percentile)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["s", "p", "b", "scale"])
def test_features_that_are_all_zero_leave_the_bias_alone(name, head):
    state = {"weight": head.weight.detach(), "bias": head.bias.detach()}
    outputs = Outputs(torch.zeros(2, 12), torch.zeros(2, 4))
    if name == "scale":
        found = scale(outputs, state, percentile=90)
    else:
        found = ash(outputs, state, variant=name, percentile=90)
    torch.testing.assert_close(found, head.bias.detach().logsumexp(0).expand(2))


def test_ash_b_fills_no_silent_feature_whatever_the_order():
    """Fewer features fire than are left: which of the zeros are among the largest is chance."""
    features = torch.zeros(1, 8)
    features[0, 3] = 2.0
    state = {"weight": torch.arange(8.0)[None], "bias": torch.zeros(1)}
    found = ash(Outputs(features, features), state, variant="b", percentile=50)
    assert found.tolist() == [6.0]


def test_signed_features_have_no_pole():
    """The sum of 3, -1 and -1.99 is near 0; what is strong of it is 3."""
    outputs = Outputs(torch.tensor([[3.0, -1.0, -1.99, 0.0]]), torch.zeros(1, 1))
    found = ash(outputs, identity(), variant="s", percentile=50)
    assert found.tolist() == pytest.approx([3 * math.e])


@pytest.mark.parametrize(
    ("width", "percentile", "count"), [(512, 90, 51), (4, 99.9, 1), (9, 50, 5)]
)
def test_count_of_features_that_are_left(width, percentile, count):
    assert kept_count(width, percentile) == count


def test_a_step_goes_where_the_gradient_is_least():
    gradient = torch.tensor([0.5, -0.1, 3.0, -0.2, 0.4, -2.0]).view(1, 3, 2, 1)
    assert flattest(gradient, 0.5).flatten().tolist() == [0, -1, 0, -1, 1, 0]


def test_answer_by_hand():
    """The largest of 1, 5, 2 moves by 3, to 2; the two largest are 2 and, clipped, 0 then."""
    features, moved = torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([[9.0, 2.0, -4.0]])
    assert answer(features, moved, 34, 67, 10.0).tolist() == [10 * 3 + 2 + 0]


def test_percentile_falls_with_the_answer():
    reference = torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = percentiles(torch.tensor([0.0, 2.0, 9.0]), reference, 75, 85)
    assert found.tolist() == [85, 80, 75]


def test_scaled_by_one_percentile_is_scale(head, features):
    state = {"weight": head.weight.detach(), "bias": head.bias.detach()}
    expected = scale(Outputs(features, features), state, percentile=80)
    found = scaled_energy(features, torch.full((30,), 80.0), state, "a")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("variant", ["a", "l"])
def test_adascale_follows_its_definition_row_by_row(variant):
    """Regmi 2025, written out in float64 for each picture alone, the gradient by autograd."""
    model = Method(
        initialised(lambda: ResNet(depth=18, width=4, stem="strided", outputs=5), 0), classes=5
    ).double().eval()  # fmt: skip
    x = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(3)).double()
    settings = ADASCALE | {"variant": variant}
    head, before, answers = model.network.head, [], []
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    for row in x:
        row = row[None].clone().requires_grad_()
        model(row).max().backward()
        order = row.grad.abs().flatten().argsort()[: int(768 * 0.05)]
        moved = row.detach().flatten().clone()
        moved[order] += 0.5 * row.grad.flatten()[order].sign()
        f = model.outputs(row.detach())["features"][0].detach().numpy()
        g = model.outputs(moved.view_as(row))["features"][0].detach().numpy()
        by_size = np.argsort(-f)
        q = 10 * abs(f - g)[by_size[: max(1, int(len(f) * 0.05))]].sum()
        q += np.maximum(g, 0)[by_size[: int(len(f) * 0.1)]].sum()
        before.append(f)
        answers.append(q)
    reference, expected = np.sort(answers)[1:5], []
    for f, q in zip(before, answers, strict=True):
        p = 75 + (1 - (reference <= q).mean()) * 10
        kept = len(f) - round(len(f) * p / 100)
        r = f.sum() / np.sort(f)[::-1][:kept].sum()
        logits = weight @ (f * math.exp(r)) + bias if variant == "a" else (weight @ f + bias) * r**2
        expected.append(logsumexp(logits))
    state = {name: torch.from_numpy(value) for name, value in
             {"weight": weight, "bias": bias, "reference": reference}.items()}  # fmt: skip
    found = of_pictures(model, x, settings, [0.5], state)[:, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    told = score_named("adascale", settings).statistic(model, x, 0.5)
    np.testing.assert_allclose(told.numpy(), answers, rtol=1e-6)
