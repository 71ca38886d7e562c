from itertools import pairwise

import numpy as np
import pytest
import torch

from bood_tasks.cosine import perturb
from bood_tasks.trajectory import choose_row, walk


def test_chosen_row_crosses_in_about_six_steps():
    steps = np.array([0, 2, 9, 6, 6, 100])
    crossed = np.array([True, True, True, True, True, False])
    assert choose_row(steps, crossed) == 3
    assert choose_row(steps[[0, 1, 2, 5]], crossed[[0, 1, 2, 5]]) == 2


def test_no_crossing_feature_is_refused_with_the_cure():
    with pytest.raises(ValueError, match=r"raise distances\.step_size"):
        choose_row(np.array([0, 100]), np.array([True, False]))


def test_walk_is_the_feature_and_its_updates():
    torch.manual_seed(0)
    anchors, feature = torch.randn(3, 5), torch.randn(1, 5)
    path = walk(feature, 1, anchors, count=3, step_size=0.1, temperature=0.5)
    assert path.shape == (4, 5)
    assert torch.equal(path[:1], feature)
    for before, after in pairwise(path):
        expected = perturb(before[None], torch.tensor([1]), anchors, step_size=0.1, temperature=0.5)
        assert torch.equal(after[None], expected)
