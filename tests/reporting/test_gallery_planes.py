import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.jobs.job import Job
from bood_tasks.reporting.figures.gallery_planes import most_switching, ways_compared
from bood_tasks.synthesis import ood_features
from bood_tasks.synthesis.overshoot import margin_beyond
from bood_tasks.synthesis.samplers.bood import push_across
from bood_tasks.synthesis.stepping import Stepping, count_steps
from tests import fake_artifacts

CLASSES = ["c", "a", "b"]  # not sorted: files are
STEPPING = {"step_size": 0.1, "max_steps": 80, "temperature": 0.5, "feature_space": "unit"}


def test_classes_that_exchange_most_are_chosen_with_a_third_one():
    """Classes 1 and 4 exchange three, 0 adds one to them; 2 and 3 exchange two."""
    labels = np.array([1, 4, 4, 2, 2, 0, 3])
    reached = np.array([4, 1, 1, 3, 3, 4, 3])
    assert most_switching(labels, reached, 5) == [0, 1, 4]
    assert most_switching(labels[:5], reached[:5], 5) == [1, 4]


def test_outliers_that_stay_in_their_class_choose_the_first_two():
    assert most_switching(np.array([2, 2]), np.array([2, 2]), 3) == [0, 1]


def way_settings(kind):
    """Settings of the outlier vectors; of `gaussian` and `overshoot` as they replace c."""
    found = STEPPING | {
        "sampler": "bood", "select": "boundary", "rate": 0.5, "scope": "per_class",
        "misclassified": "drop", "uncrossed": "skip", "perturb": "adversarial", "extra_steps": 2,
        "rescale": "anchor", "seed": 0,
    }  # fmt: skip
    if kind == "gaussian":
        return found | {"perturb": "gaussian", "sigma": 0.1}
    if kind == "overshoot":
        del found["extra_steps"]
        return found | {"overshoot": 0.5}
    return found


def made_by(tmp_path, settings):
    """The artifacts that figure 4 reads: twelve features of three classes, and their outliers."""
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
            files={"anchors.json": {"classes": CLASSES}},
        ),
        "distances": fake_artifacts.make(tmp_path, "distances", arrays=arrays, settings=STEPPING),
    }  # fmt: skip
    made = fake_artifacts.run_stage(tmp_path, ood_features.main, "ood_features", settings, inputs)
    return inputs | {"ood_features": made}, z, anchors


@pytest.mark.parametrize("kind", ["adversarial", "gaussian", "overshoot"])
def test_ways_begin_at_the_feature_and_end_at_the_outlier(tmp_path, kind):
    inputs, z, anchors = made_by(tmp_path, way_settings(kind))
    made = inputs["ood_features"]
    job = Job({}, inputs, tmp_path / "manifest.json", {}, "")
    ways, compared = ways_compared(job, torch.from_numpy(anchors))
    (way_of,) = ways.values()
    assert not compared
    for place, (row, vector) in enumerate(zip(made["rows"][:], made["vectors"][:], strict=True)):
        way = F.normalize(way_of(place), dim=1).numpy()
        ends = np.stack([z[row], vector])
        expected = ends / np.linalg.norm(ends, axis=1, keepdims=True)
        np.testing.assert_allclose(way[[0, -1]], expected, atol=1e-5)
        if kind == "adversarial":
            assert len(way) == 1 + made["steps"][place] + 2


def test_beside_published_ways_stand_those_to_a_margin_and_the_other_way_round(tmp_path):
    """The same features in both panels; each panel ends where a run by its settings would."""
    published, far = way_settings("adversarial"), way_settings("overshoot")
    auto = STEPPING | {"step_size": "auto", "median_steps": 12, "overshoot": 0.5, "seed": 0}
    for own, beside, other in (
        (published, auto, "α = 0.0"), (far, STEPPING | {"extra_steps": 2}, "α = 0.1, c = 2")
    ):  # fmt: skip
        inputs, z, anchors = made_by(tmp_path, own)
        job = Job({"beside": beside}, inputs, tmp_path / "manifest.json", {}, "")
        ways, compared = ways_compared(job, torch.from_numpy(anchors))
        (first, _), (title, way_of) = ways.items()
        assert "right the same features by other settings" in compared
        assert first == "this run: α = 0.1, " + ("c = 2" if own is published else "q = 0.5")
        assert title.startswith(f"for comparison: {other}")
        assert ("found, q = 0.5" in title) == (beside is auto)
        made = inputs["ood_features"]
        margin, labels = inputs["distances"]["margin"][:], inputs["features"]["labels"][:]
        for place, row in enumerate(made["rows"][:]):
            way = way_of(place)
            torch.testing.assert_close(
                F.normalize(way[:1], dim=1), F.normalize(torch.from_numpy(z[row : row + 1]), dim=1)
            )
            owner = torch.tensor([int(labels[row])])
            if beside is auto:
                inside = margin[(labels == labels[row]) & (margin > 0)]
                cosines = F.cosine_similarity(way[-1:], torch.from_numpy(anchors))[None]
                found = margin_beyond(cosines, owner).item()
                assert found == pytest.approx(np.quantile(inside, 0.5), abs=1e-5)
            else:
                stepping = Stepping(**STEPPING)
                start = F.normalize(torch.from_numpy(z[row : row + 1]), dim=1)
                expected = push_across(
                    start, owner, torch.from_numpy(anchors), stepping, extra_steps=2
                )
                torch.testing.assert_close(way[-1:], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("beside", ["auto", "overshoot"])
def test_what_no_feature_tells_is_left_out_of_the_figure_and_said(tmp_path, beside):
    """An encoder that is hardly trained leaves classes without a feature inside."""
    inputs, z, anchors = made_by(tmp_path, way_settings("adversarial"))
    turned = {"arrays": {"features": -z, "labels": inputs["features"]["labels"][:]}}
    outside = {"arrays": {"margin": np.full(12, -0.1, np.float32)}}
    inputs |= {
        "features": fake_artifacts.make(tmp_path / "f", "features", **turned),
        "distances": fake_artifacts.make(tmp_path / "d", "distances", **outside, settings=STEPPING),
    }
    how = {"step_size": "auto", "median_steps": 12, "seed": 0, "extra_steps": 2}
    if beside == "overshoot":
        how = {"overshoot": 0.5}
    job = Job({"beside": STEPPING | how}, inputs, tmp_path / "manifest.json", {}, "")
    ways, told = ways_compared(job, torch.from_numpy(anchors))
    assert list(ways) == [""]
    assert "Nothing stands beside it: " in told
    assert "must have features that start in their class" in told
