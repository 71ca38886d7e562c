"""The rules for sigma and T that train nothing: numbers that are known without a network."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from bood_tasks.networks.pixels import MEAN, STD
from bood_tasks.scoring import outlier_statistics, scales
from bood_tasks.scoring.outlier_statistics import statistics
from tests import fake_artifacts

RNG = np.random.default_rng(0)


def test_confidence_is_the_largest_probability():
    logits = np.log(np.array([[0.2, 0.5, 0.3], [0.25, 0.25, 0.5]], np.float32))
    assert scales.confidence(logits + 100) == pytest.approx([0.5, 0.5], rel=1e-5)


def test_nearest_distances_are_those_of_scipy_on_unit_rows():
    x, y = RNG.normal(size=(30, 5)), RNG.normal(size=(40, 5))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y)]
    assert scales.nearest(7 * x, y) == pytest.approx(cdist(*unit).min(1))


def test_samples_like_id_are_not_separated_and_opposite_ones_are_wholly():
    id_rows = RNG.normal([10, 0, 0], 0.5, (600, 3))
    train, held_out, alike = np.split(id_rows, 3)
    assert scales.separation(alike, held_out, train) == pytest.approx(0.5, abs=0.1)
    assert scales.separation(-alike, held_out, train) == 1


def test_the_separation_of_two_gaussians_is_that_of_their_distances():
    """On a circle, the reference one point: distances are monotone in the angle's size."""
    scale = 3.0
    reference = np.array([[1.0, 0.0]])
    angles = 0.1 * np.abs(RNG.normal(size=4000))
    held_out, samples = angles[:2000], scale * angles[2000:]
    rows = [np.stack([np.cos(x), np.sin(x)], 1) for x in (samples, held_out)]
    expected = 2 / np.pi * np.arctan(scale)  # P(|s Z| > |Z'|) of two standard normals
    assert scales.separation(*rows, reference) == pytest.approx(expected, abs=0.02)


@given(
    st.dictionaries(st.floats(0, 100), st.floats(0, 1), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_the_smallest_value_that_is_far_enough_is_taken(values, level):
    found = scales.by_confidence(values, level)
    below = {x for x, y in values.items() if y <= level}
    assert found == (min(below) if below else None)
    turned = {x: 1 - y for x, y in values.items()}
    assert scales.smallest(turned, 1 - level, falls=False) in (None, *turned)


def test_a_rule_that_is_never_reached_chooses_nothing():
    assert scales.by_separation({1: 0.5, 50: 0.9}, 0.95) is None
    assert scales.by_separation({1: 0.5, 5: 0.96, 50: 0.9}, 0.95) == 5


def test_the_statistics_say_what_lies_where():
    def part(centre, sharp, count=50):
        logits = np.zeros((count, 3), np.float32)
        logits[:, 0] = sharp
        return {"logits": logits, "features": RNG.normal(centre, 0.1, (count, 3))}

    found = {
        "outliers": part([-1, 0, 0], 0.0), "noise": part([-1, 0, 0], 1.0),
        "validation": part([1, 0, 0], 9.0), "train": part([1, 0, 0], 9.0),
    }  # fmt: skip
    told = statistics(found)
    assert told["confidence"]["outliers"] == pytest.approx(1 / 3)
    assert told["confidence"]["validation"] > 0.99
    assert told["separation"] == {"outliers": 1.0, "noise": 1.0}
    assert told["distance"]["outliers"][2] > 10 * told["distance"]["validation"][2]


def test_a_classifier_without_features_tells_its_confidence_alone():
    rows = {"logits": np.zeros((4, 2), np.float32)}
    told = statistics(dict.fromkeys(("outliers", "noise", "validation", "train"), rows))
    assert set(told) == {"confidence", "count"}


class Brightness(torch.nn.Module):
    """A classifier of grey pictures: features (1, m), logits (m, 0) of a mean input of m."""

    def outputs(self, x):
        m = x.flatten(1).mean(1)
        sides = torch.stack([torch.ones_like(m), m], 1)
        return {"features": sides, "logits": torch.stack([m, torch.zeros_like(m)], 1)}


def grey(values):
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 4, 4, 3))


def test_the_stage_looks_at_the_first_samples_noise_and_id(tmp_path, monkeypatch):
    monkeypatch.setattr(outlier_statistics, "load_model", lambda *_: Brightness())
    shard = fake_artifacts.make(
        tmp_path, "gan_images", arrays={"images": grey([250, 250, 10, 10])}, settings={"start": 0}
    )
    id_data = fake_artifacts.make(
        tmp_path, "dataset", settings={"name": "id"},
        arrays={"train/images": grey([10, 20, 30, 40]), "validation/images": grey([15, 25, 90])},
        files={"dataset.json": {"size": 4, "kernel": "bilinear"}},
    )  # fmt: skip
    noise = fake_artifacts.make(
        tmp_path, "dataset", arrays={"test/images": grey([200] * 5)}, settings={"name": "noise"}
    )
    done = fake_artifacts.run_stage(
        tmp_path, outlier_statistics.main, "outlier_statistics", {"count": 2, "crop": None},
        {"outliers": [shard], "detector": fake_artifacts.make(tmp_path, "detector"),
         "datasets": [id_data, noise]},
    )  # fmt: skip
    told = done.json("outlier_statistics.json")
    assert told["count"] == {"outliers": 2, "noise": 2, "validation": 2, "train": 4}
    m = ((np.array([250, 200])[:, None] / 255 - np.array(MEAN)) / np.array(STD)).mean(1)
    expected = 1 / (1 + np.exp(-np.abs(m)))
    assert told["confidence"]["outliers"] == pytest.approx(expected[0], rel=1e-5)
    assert told["confidence"]["noise"] == pytest.approx(expected[1], rel=1e-5)
    assert told["separation"] == {"outliers": 1.0, "noise": 1.0}
