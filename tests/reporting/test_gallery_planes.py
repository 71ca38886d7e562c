import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.reporting.figures.gallery_planes import most_switching, way_to_outlier
from bood_tasks.synthesis import ood_features
from bood_tasks.synthesis.stepping import Stepping, count_steps
from tests import fake_artifacts

STEPPING = {"step_size": 0.1, "max_steps": 80, "temperature": 0.5, "feature_space": "unit"}


def test_classes_that_exchange_most_are_chosen_with_a_third_one():
    """Classes 1 and 4 exchange three, 0 adds one to them; 2 and 3 exchange two."""
    labels = np.array([1, 4, 4, 2, 2, 0, 3])
    reached = np.array([4, 1, 1, 3, 3, 4, 3])
    assert most_switching(labels, reached, 5) == [0, 1, 4]
    assert most_switching(labels[:5], reached[:5], 5) == [1, 4]


def test_outliers_that_stay_in_their_class_choose_the_first_two():
    assert most_switching(np.array([2, 2]), np.array([2, 2]), 3) == [0, 1]


@pytest.mark.parametrize("perturb", ["adversarial", "gaussian"])
def test_ways_begin_at_the_feature_and_end_at_the_outlier(tmp_path, perturb):
    rng = np.random.default_rng(0)
    anchors, labels = rng.normal(size=(3, 6)).astype("float32"), np.arange(12) % 3
    z = anchors[labels] + rng.normal(size=(12, 6)).astype("float32") / 4
    steps, crossed, margin = count_steps(
        *map(torch.from_numpy, (z, labels, anchors)), Stepping(**STEPPING)
    )
    arrays = {"steps": steps.numpy(), "crossed": crossed.numpy(), "margin": margin.numpy(),
              "exact": np.ones(12, bool)}  # fmt: skip
    inputs = {
        "features": fake_artifacts.make(
            tmp_path, "features", arrays={"features": z, "labels": labels}
        ),
        "anchors": fake_artifacts.make(
            tmp_path, "anchors", arrays={"anchors": anchors},
            files={"anchors.json": {"classes": ["a", "b", "c"]}},
        ),
        "distances": fake_artifacts.make(tmp_path, "distances", arrays=arrays),
    }  # fmt: skip
    settings = STEPPING | {
        "sampler": "bood", "select": "boundary", "rate": 0.5, "scope": "per_class",
        "misclassified": "drop", "uncrossed": "skip", "perturb": perturb, "sigma": 0.1,
        "extra_steps": 2, "rescale": "anchor", "seed": 0,
    }  # fmt: skip
    made = fake_artifacts.run_stage(tmp_path, ood_features.main, "ood_features", settings, inputs)
    for place, (row, vector) in enumerate(zip(made["rows"][:], made["vectors"][:], strict=True)):
        way = way_to_outlier(made, place, inputs["features"], torch.from_numpy(anchors))
        way = F.normalize(way, dim=1).numpy()
        ends = np.stack([z[row], vector])
        expected = ends / np.linalg.norm(ends, axis=1, keepdims=True)
        np.testing.assert_allclose(way[[0, -1]], expected, atol=1e-5)
        if perturb == "adversarial":
            assert len(way) == 1 + made["steps"][place] + 2
