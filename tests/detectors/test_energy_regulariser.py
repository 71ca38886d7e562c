import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bood_tasks.detectors.methods.energy_regulariser import (
    EnergyRegulariser,
    ood_loss,
    soft_loss,
    with_margin,
)
from bood_tasks.detectors.methods.outlier_exposure import to_uniform
from bood_tasks.training.recipe import Step


def softplus(x):
    return math.log1p(math.exp(x))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ood_loss_by_hand(reduction):
    # two ID rows with phi = (0, 2) and (0, -1), one OOD row with phi = (0, 3); label 1 is ID
    logits = torch.tensor([[0.0, 2.0], [0.0, -1.0], [0.0, 3.0]])
    id_terms = [softplus(-2), softplus(1)]
    ood_term = softplus(3)
    expected = {
        "mean": (sum(id_terms) + ood_term) / 3,
        "sum": sum(id_terms) / 2 + ood_term,
    }[reduction]
    loss = ood_loss(logits, 2, reduction=reduction)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_sum_is_twice_mean_for_equal_batches():
    logits = torch.randn(8, 2)
    both = [ood_loss(logits, 4, reduction=name).item() for name in ("sum", "mean")]
    assert both[0] == pytest.approx(2 * both[1], rel=1e-6)


# --- ours: outliers near the boundary otherwise than far ones ---


def test_a_margin_raises_the_cost_of_far_outliers_alone():
    """phi = 0.5 and -1 for the outliers, at distances 0 and 2: softplus(.5), softplus(-1 + 3)."""
    logits = torch.tensor([[0.0, 2.0], [0.0, 0.5], [0.0, -1.0]])
    raised = with_margin(logits, torch.tensor([0.0, 2.0]), margin=1.5)
    loss = ood_loss(raised, 1, reduction="sum").item()
    expected = softplus(-2) + (softplus(0.5) + softplus(-1 + 3)) / 2
    assert loss == pytest.approx(expected, rel=1e-6)
    assert torch.equal(with_margin(logits, torch.tensor([0.0, 2.0]), margin=0.0), logits)


def test_soft_labels_by_hand():
    """Target .5 (.8, .2) + .5 (.5, .5) = (.65, .35) against softmax (.75, .25)."""
    logits = torch.tensor([[math.log(3), 0.0]])
    loss = soft_loss(logits, torch.tensor([[0.8, 0.2]]), share=0.5).item()
    assert loss == pytest.approx(-0.65 * math.log(0.75) - 0.35 * math.log(0.25), rel=1e-6)


def test_soft_labels_are_learnt_where_the_softmax_is_the_mixture():
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64)
    mixture = 0.6 * probabilities + 0.4 / 3
    logits = mixture.log().requires_grad_(True)
    (gradient,) = torch.autograd.grad(soft_loss(logits, probabilities, share=0.6), logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)


def test_soft_labels_of_no_share_are_outlier_exposures():
    logits, probabilities = torch.randn(5, 4), torch.randn(5, 4).softmax(1)
    found = soft_loss(logits, probabilities, share=0.0)
    torch.testing.assert_close(found, to_uniform(logits).mean())


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x)


def loss_of(**given):
    torch.manual_seed(0)
    method = EnergyRegulariser(
        Linear(), classes=3, ood_weight=2.0, reduction="sum", phi="linear", **given
    )
    x, y = torch.randn(6, 4), torch.tensor([0, 1, 2])
    known = torch.cat([torch.randn(3, 3).softmax(1), torch.tensor([[0.0], [0.5], [1.0]])], dim=1)
    step = Step(0, 1, torch.Generator(), known)
    return method, x, y, known, method.loss(x, y, step)


def test_the_loss_is_that_of_equation_7_and_what_was_asked_for():
    method, x, y, known, plain = loss_of()
    assert set(plain) == {"loss", "ce", "ood"}
    *_, both = loss_of(soft_labels=0.5, soft_weight=0.3, distance_margin=2.0)
    logits = method(x)
    phi = method.phi(logits.logsumexp(1)[:, None])
    lead = phi[:, 1] - phi[:, 0]
    ood = F.softplus(-lead[:3]).mean() + F.softplus(lead[3:] + 2 * known[:, 3]).mean()
    target = 0.5 * known[:, :3] + 0.5 / 3
    soft = -(target * logits[3:].log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(both["soft"], soft)
    torch.testing.assert_close(both["ood"], ood)
    torch.testing.assert_close(both["loss"], F.cross_entropy(logits[:3], y) + 2 * ood + 0.3 * soft)
