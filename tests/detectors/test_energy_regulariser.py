import math

import pytest
import torch

from bood_tasks.detectors.methods.energy_regulariser import ood_loss


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
