import math

import numpy as np
import pytest
import torch
from torch import nn

from bood_tasks.networks import to_input
from bood_tasks.scores import SCORES, msp, score_images


def test_msp_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]])
    assert msp(logits).tolist() == pytest.approx([0.75, 0.5])


@pytest.mark.parametrize("name", list(SCORES))
def test_a_confident_row_scores_higher(name):
    sure, unsure = torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 1.0]])
    assert SCORES[name](sure) > SCORES[name](unsure)


class Brightness(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))[:, :2]


def test_scores_follow_the_rows():
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    found, logits = score_images(
        Brightness(), images, ["energy", "msp"], batch_size=3, device="cpu"
    )
    x = to_input(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    expected = x.mean((2, 3))[:, :2]
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-6)
    np.testing.assert_allclose(found["energy"], np.logaddexp(*logits.T), rtol=1e-5)


def test_a_score_that_is_not_finite_is_refused():
    class Broken(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) * math.nan

    with pytest.raises(ValueError, match="score msp is not finite for 2 rows"):
        score_images(
            Broken(), np.zeros((2, 4, 4, 3), np.uint8), ["msp"], batch_size=2, device="cpu"
        )
