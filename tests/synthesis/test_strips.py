from dataclasses import replace

import numpy as np
import torch

from bood_tasks import EMBEDDED
from bood_tasks.synthesis import strips
from bood_tasks.synthesis.samplers.bood import push_across
from bood_tasks.synthesis.stepping import Stepping, count_steps
from tests import fake_artifacts

SHIPPED = EMBEDDED / "generator"
STEPPING = Stepping(step_size=0.2, max_steps=6, temperature=0.5, feature_space="raw")


def test_nearest_row_of_each_of_the_first_classes():
    """Class 1 has a wrong row and one that never crosses; of class 0's ties the margin decides."""
    labels = np.array([2, 1, 1, 1, 0, 0, 0, 3])
    steps = np.array([9, 0, 3, 1, 2, 2, 5, 1])
    crossed = np.array([True, True, True, False, True, True, True, True])
    margin = np.array([0.1, -0.1, 0.2, 0.9, 0.3, 0.2, 0.1, 0.1])
    rows = strips.nearest_rows(labels, steps, crossed, margin, count=3)
    assert rows.tolist() == [5, 2, 0]


def features(count=6):
    torch.manual_seed(0)
    anchors, labels = torch.randn(3, 5), torch.arange(count) % 3
    return anchors[labels] + 0.3 * torch.randn(count, 5), labels, anchors


def test_pushing_one_by_one_ends_where_the_outlier_features_do():
    z, labels, anchors = features()
    stepping = replace(STEPPING, max_steps=60)
    vectors, crossed_at = strips.push_each(z, labels.numpy(), anchors, stepping, extra_steps=[0, 2])
    for extra, found in zip((0, 2), vectors, strict=True):
        expected = push_across(z, labels, anchors, stepping, extra_steps=extra)
        torch.testing.assert_close(found, expected)
    steps, crossed, _ = count_steps(z, labels, anchors, stepping)
    assert crossed.all()
    assert crossed_at == steps.tolist()


def test_a_feature_that_does_not_cross_within_max_steps_is_blank_and_null():
    z, labels, anchors = features(2)
    z[1] = 100 * anchors[1]  # far inside
    vectors, crossed_at = strips.push_each(z, labels.numpy(), anchors, STEPPING, extra_steps=[0, 1])
    assert isinstance(crossed_at[0], int)
    assert crossed_at[1] is None
    images = strips.decode_rows(
        vectors, [crossed_at] * 2, lambda row: torch.zeros(len(row), 4, 4, 3, dtype=torch.uint8)
    )
    assert images.shape == (2, 2, 4, 4, 3)
    assert (images[:, 0] == 0).all()
    assert (images[:, 1] == strips.BLANK).all()


def test_stage_decodes_a_row_per_value_and_a_column_per_feature(tmp_path):
    """The setting's own c and α give the same pictures in both arrays; a small α does not cross."""
    words, rng, size = ["cat", "dog"], np.random.default_rng(0), 128
    anchors = rng.normal(size=(2, size)).astype("float32")
    labels = np.array([0, 1, 1])
    z = anchors[labels] + 0.1 * rng.normal(size=(3, size)).astype("float32")
    how = {"max_steps": 40, "temperature": 0.1, "feature_space": "unit"}
    steps, crossed, margin = count_steps(
        *map(torch.from_numpy, (z, labels, anchors)), Stepping(step_size=0.03, **how)
    )
    inputs = {
        "generator": fake_artifacts.make(tmp_path, "generator", folders={"pipeline": SHIPPED}),
        "anchors": fake_artifacts.make(
            tmp_path, "anchors", arrays={"anchors": anchors},
            files={"anchors.json": {"classes": words}},
        ),
        "features": fake_artifacts.make(
            tmp_path, "features", arrays={"features": z, "labels": labels}
        ),
        "distances": fake_artifacts.make(
            tmp_path, "distances",
            arrays={"steps": steps.numpy(), "crossed": crossed.numpy(), "margin": margin.numpy(),
                    "exact": np.ones(3, bool)},
        ),
    }  # fmt: skip
    settings = how | {
        "step_size": 0.03, "extra_steps": 2, "rescale": "anchor", "seed": 0,
        "extra_steps_shown": [0, 1, 2], "step_sizes_shown": [0.0001, 0.03],
        "dtype": "float32", "scheduler": "ddim", "steps": 2, "guidance": 2.0,
        "latent_scale": 1.0, "stop_after": None, "resolution": None,
        "saved_size": None, "kernel": "bilinear", "prompt": "{class}",
    }  # fmt: skip
    made = fake_artifacts.run_stage(tmp_path, strips.main, "strips", settings, inputs)
    by_extra, by_size = made["by_extra_steps"][:], made["by_step_size"][:]
    assert by_extra.shape[:2] == (3, 2)
    np.testing.assert_array_equal(by_extra[2], by_size[1])
    assert (by_extra[0] != by_extra[2]).any()
    assert (by_size[0] == strips.BLANK).all()
    facts = made.json("strips.json")
    assert facts["classes"] == words
    assert facts["step_size"]["crossed_at"][0] == [None, None]
    assert facts["step_size"]["crossed_at"][1] == facts["extra_steps"]["crossed_at"]
    assert facts["extra_steps"]["crossed_at"] == steps[facts["rows"]].tolist()
