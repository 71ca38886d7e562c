"""Outliers at a set margin beyond the boundary: reached exactly, whatever the scale and step."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.synthesis import ood_features
from bood_tasks.synthesis.cosine import perturb
from bood_tasks.synthesis.crossing import way_out
from bood_tasks.synthesis.overshoot import margin_beyond, own_margins, push_beyond, walk_beyond
from bood_tasks.synthesis.stepping import Stepping, count_steps
from tests import fake_artifacts

CLASSES = ["cat", "dog", "owl"]
STEPPING = Stepping(0.03, 100, 0.1, "raw")


def random_case(rows=30, dim=12):
    """float64 unit features around their anchors, all inside their class."""
    random = torch.Generator().manual_seed(5)
    anchors = torch.randn(3, dim, generator=random, dtype=torch.float64)
    labels = torch.arange(rows) % 3
    noise = torch.randn(rows, dim, generator=random, dtype=torch.float64)
    features = F.normalize(anchors[labels] + 0.4 * noise, dim=1)
    assert (beyond(features, labels, anchors) < 0).all()
    return features, labels, anchors


def beyond(z, labels, anchors):
    """max_j≠y cos_j - cos_y, row by row; nothing of the package is used."""
    cosines = F.cosine_similarity(z[:, None], anchors[None], dim=2)
    return torch.stack(
        [
            max(row[j] for j in range(len(row)) if j != y) - row[y]
            for row, y in zip(cosines, labels.tolist(), strict=True)
        ]
    )


@pytest.mark.parametrize("step_size", [0.01, 0.5])
@pytest.mark.parametrize("target", [1e-9, 0.05, 0.4])
def test_the_margin_is_reached_exactly_by_small_and_by_large_steps(step_size, target):
    features, labels, anchors = random_case()
    stepping = Stepping(step_size, 2000, 0.1, "raw")
    targets = torch.full((len(labels),), target, dtype=torch.float64)
    z, reached = push_beyond(features, labels, anchors, stepping, targets)
    assert reached.all()
    torch.testing.assert_close(beyond(z, labels, anchors), targets, atol=1e-12, rtol=0)


def test_whole_steps_by_equation_3_and_the_last_one_a_part():
    features, labels, anchors = random_case()
    for feature, label in zip(features[:6, None], labels[:6], strict=True):
        path = walk_beyond(feature, int(label), anchors, STEPPING, 0.1)
        owner, step = label[None], {"step_size": 0.03, "temperature": 0.1}
        for before, after in pairwise(path[:-1]):
            torch.testing.assert_close(after[None], perturb(before[None], owner, anchors, **step))
        whole = perturb(path[-2:-1], owner, anchors, **step) - path[-2]
        parts = ((path[-1] - path[-2]) / whole)[whole != 0]
        assert parts.std() < 1e-9
        assert 0 < parts.mean() <= 1
        assert beyond(path[-2:-1], owner, anchors) < 0.1  # no step too many
        torch.testing.assert_close(path[:1], feature)


def test_pushing_many_is_walking_each():
    features, labels, anchors = random_case()
    targets = torch.linspace(0.01, 0.3, len(labels), dtype=torch.float64)
    z, _ = push_beyond(features, labels, anchors, STEPPING, targets)
    for row in (0, 7, 29):
        path = walk_beyond(
            features[row : row + 1], int(labels[row]), anchors, STEPPING, targets[row].item()
        )
        torch.testing.assert_close(path[-1], z[row])


@pytest.mark.parametrize("scale", [0.25, 7.0])
def test_scaled_features_and_steps_end_at_scaled_outliers(scale):
    features, labels, anchors = random_case()
    targets = torch.full((len(labels),), 0.1, dtype=torch.float64)
    z, _ = push_beyond(features, labels, anchors, STEPPING, targets)
    scaled = Stepping(scale * 0.03, 100, 0.1, "raw")
    found, _ = push_beyond(scale * features, labels, anchors, scaled, targets)
    torch.testing.assert_close(found, scale * z, rtol=1e-9, atol=0)


def test_copied_dimensions_end_at_copied_outliers():
    features, labels, anchors = random_case()
    targets = torch.full((len(labels),), 0.1, dtype=torch.float64)
    z, _ = push_beyond(features, labels, anchors, STEPPING, targets)
    wide = [torch.cat([x, x, x, x], dim=1) / 2 for x in (features, anchors)]
    found, _ = push_beyond(wide[0], labels, wide[1], Stepping(0.015, 100, 0.1, "raw"), targets)
    torch.testing.assert_close(found, torch.cat([z] * 4, dim=1) / 2)


def test_the_step_size_hardly_moves_the_outliers():
    """What c does not have: c = 2 goes 2 α √D beyond the boundary, this as far with any α."""
    features, labels, anchors = random_case()
    targets = torch.full((len(labels),), 0.1, dtype=torch.float64)
    coarse, fine = (
        push_beyond(features, labels, anchors, Stepping(a, 2000, 0.1, "raw"), targets)[0]
        for a in (0.03, 0.005)
    )
    assert F.cosine_similarity(coarse, fine).min() > 0.98


def test_a_row_that_is_there_already_does_not_move_and_one_that_cannot_be_is_told():
    features, labels, anchors = random_case()
    far = beyond(features, (labels + 1) % 3, anchors)  # of another class: beyond from the start
    z, reached = push_beyond(features, (labels + 1) % 3, anchors, STEPPING, far - 1e-6)
    assert torch.equal(z, features)
    assert reached.all()
    short = Stepping(0.001, 2, 0.1, "raw")
    z, reached = push_beyond(features, labels, anchors, short, torch.full_like(far, 0.3))
    assert not reached.any()
    assert ((z - features).abs().amax(1) <= 4 * 0.001 + 1e-12).all()  # 2 K updates


def test_own_margins_by_hand():
    margin = np.array([0.1, 0.2, 0.3, -0.5, 0.8, 0.4], np.float32)
    labels = np.array([0, 0, 0, 0, 1, 1])
    found = own_margins(margin, labels, ["cat", "dog"], 0.5)
    np.testing.assert_allclose(found, [0.2, 0.6], rtol=1e-6)
    with pytest.raises(ValueError, match=r"overshoot must have features .* none of owl; train"):
        own_margins(margin, labels, ["cat", "dog", "owl"], 0.5)


def test_margin_beyond_by_hand():
    cosines = torch.tensor([[0.9, 0.2, 0.5], [0.1, 0.3, 0.6]])
    torch.testing.assert_close(
        margin_beyond(cosines, torch.tensor([0, 1])), torch.tensor([-0.4, 0.3])
    )


# --- the stage ---


def run(tmp_path, *, stepping=STEPPING, **changes):
    features, labels, anchors = (x.float() if x.is_floating_point() else x for x in random_case(90))
    steps, crossed, margin = count_steps(features, labels, anchors, stepping)
    settings = {
        "sampler": "bood", "select": "boundary", "rate": 0.2, "scope": "per_class",
        "misclassified": "drop", "uncrossed": "skip", "perturb": "adversarial", "rescale": "none",
        "seed": 0, "step_size": stepping.step_size, "max_steps": stepping.max_steps,
        "temperature": 0.1, "feature_space": "raw",
    } | changes  # fmt: skip
    inputs = {
        "distances": fake_artifacts.make(
            tmp_path, "distances",
            arrays={"steps": steps.numpy(), "crossed": crossed.numpy(), "margin": margin.numpy(),
                    "exact": np.ones(90, bool)},
        ),
        "features": fake_artifacts.make(
            tmp_path, "features", arrays={"features": features.numpy(), "labels": labels.numpy()}
        ),
        "anchors": fake_artifacts.make(
            tmp_path, "anchors", arrays={"anchors": anchors.numpy()},
            files={"anchors.json": {"classes": CLASSES}},
        ),
    }  # fmt: skip
    made = fake_artifacts.run_stage(tmp_path, ood_features.main, "ood_features", settings, inputs)
    return made, margin.numpy(), labels.numpy(), anchors, features


def test_vectors_lie_at_the_quantile_of_their_class_and_the_json_says_where(tmp_path):
    made, margin, labels, anchors, _ = run(tmp_path, overshoot=0.25)
    told, owners = made.json("ood_features.json"), made["labels"][:]
    found = beyond(torch.from_numpy(made["vectors"][:]), torch.from_numpy(owners), anchors)
    for label, name in enumerate(CLASSES):
        expected = np.quantile(margin[(labels == label) & (margin > 0)], 0.25)
        assert told["overshoot"][name] == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose(found[owners == label], expected, atol=1e-5)
    assert told["short_of_overshoot"] == dict.fromkeys(CLASSES, 0)


def test_vectors_that_stay_short_are_counted_and_said(tmp_path, capsys):
    """Two steps to cross, at most two beyond: too few for the largest margin."""
    made, *_ = run(
        tmp_path, stepping=Stepping(0.05, 2, 0.1, "raw"), overshoot=1.0, uncrossed="keep"
    )
    short = sum(made.json("ood_features.json")["short_of_overshoot"].values())
    assert 0 < short <= 18
    assert f"warning: {short} of 18 outlier vectors stay nearer" in capsys.readouterr().err


def test_without_an_overshoot_the_published_steps_are_taken(tmp_path):
    """α and c as set: the way is walked d + c whole steps, and nothing more is written."""
    made, _, _, anchors, features = run(tmp_path, extra_steps=2)
    assert "overshoot" not in made.json("ood_features.json")
    for place, row in enumerate(made["rows"][:]):
        path = way_out(
            features[row : row + 1], int(made["labels"][place]), anchors, STEPPING,
            {"extra_steps": 2}, steps=int(made["steps"][place]),
        )  # fmt: skip
        torch.testing.assert_close(path[-1], torch.from_numpy(made["vectors"][place]))
        assert len(path) == made["steps"][place] + 3
