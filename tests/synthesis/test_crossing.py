from itertools import pairwise

import numpy as np
import pytest
import torch

from bood_tasks.synthesis.cosine import perturb
from bood_tasks.synthesis.crossing import crossing_rows, first_outside, walk
from bood_tasks.synthesis.stepping import Stepping


def test_rows_that_are_wrong_or_never_cross_are_left_out():
    rows = crossing_rows(np.array([0, 3, 100, 1]), np.array([True, True, False, True]))
    assert rows.tolist() == [1, 3]


def test_no_crossing_feature_is_refused_with_the_cure():
    with pytest.raises(ValueError, match=r"raise distances\.step_size"):
        crossing_rows(np.array([0, 100]), np.array([True, False]))


def test_walk_is_the_feature_and_its_updates():
    torch.manual_seed(0)
    anchors, feature = torch.randn(3, 5), torch.randn(1, 5)
    path = walk(feature, 1, anchors, Stepping(0.1, 9, 0.5, "raw"), count=3)
    assert path.shape == (4, 5)
    assert torch.equal(path[:1], feature)
    for before, after in pairwise(path):
        expected = perturb(before[None], torch.tensor([1]), anchors, step_size=0.1, temperature=0.5)
        assert torch.equal(after[None], expected)


def test_first_step_outside_by_hand():
    """Anchors on x and y: the third point is the first nearer to y, coming back changes nothing."""
    path = torch.tensor([[2.0, 1], [2, 1.9], [1, 2], [2, 1]])
    assert first_outside(path, 0, torch.eye(2)) == 2
    assert first_outside(path, 1, torch.eye(2)) == 0
    assert first_outside(path[:2], 0, torch.eye(2)) is None
