"""The step size that `auto` finds: its median, and what must not change it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.synthesis import distances, ood_features, step_size
from bood_tasks.synthesis.step_size import find_step_size, stepping_of
from bood_tasks.synthesis.stepping import Stepping, count_steps
from tests import fake_artifacts

SETTINGS = {
    "step_size": "auto", "median_steps": 30, "max_steps": 100, "temperature": 0.1,
    "feature_space": "unit", "seed": 0,
}  # fmt: skip


def random_case(rows=81, dim=16, classes=5, seed=3):
    """float64 rows around their anchor, of norm 4; some are wrong from the start."""
    random = torch.Generator().manual_seed(seed)
    anchors = torch.randn(classes, dim, generator=random, dtype=torch.float64)
    labels = torch.randint(classes, (rows,), generator=random)
    noise = torch.randn(rows, dim, generator=random, dtype=torch.float64)
    spread = 1.2 * torch.rand(rows, 1, generator=random, dtype=torch.float64)
    return 4 * F.normalize(anchors[labels] + spread * noise, dim=1), labels, anchors


def found(case, **changes):
    return find_step_size(*case, SETTINGS | changes)


def steps_at(case, size, feature_space="unit"):
    """d of each row that starts in its class."""
    steps, _, margin = count_steps(*case, Stepping(size, 100, 0.1, feature_space))
    return steps[margin > 0]


@pytest.mark.parametrize("feature_space", ["unit", "raw"])
@pytest.mark.parametrize("median_steps", [1, 30, 60])
def test_the_median_feature_crosses_after_the_set_number_of_steps(feature_space, median_steps):
    case = random_case()
    result = found(case, feature_space=feature_space, median_steps=median_steps)
    assert result.median_steps == median_steps
    inside = steps_at(case, result.step_size, feature_space)
    assert int(inside.median()) == median_steps
    assert result.sampled == len(inside)


def test_at_thirty_steps_distances_spread_and_few_tie_where_the_published_step_ties_most():
    case = random_case(rows=900, dim=128)
    spread, tied = (
        steps_at(case, size)
        for size in (found(case).step_size, Stepping(0.1, 100, 0.1, "unit").step_size)
    )
    assert len(spread.unique()) > 5 * len(tied.unique())
    cuts = [int(steps.sort().values[len(steps) // 20]) for steps in (spread, tied)]
    at_cut = [int((steps == cut).sum()) for steps, cut in zip((spread, tied), cuts, strict=True)]
    assert at_cut[0] < at_cut[1] / 3


@pytest.mark.parametrize("scale", [0.125, 3.0])
def test_scaled_features_have_a_scaled_step_and_the_same_steps(scale):
    """Unit features do not know their length; raw ones take steps of the same share of it."""
    features, labels, anchors = random_case()
    scaled = scale * features, labels, anchors
    for feature_space, factor in (("unit", 1), ("raw", scale)):
        before, after = (
            found(case, feature_space=feature_space)
            for case in ((features, labels, anchors), scaled)
        )
        assert after.step_size == pytest.approx(factor * before.step_size, rel=1e-9)
        same = [
            steps_at(case, size, feature_space).tolist()
            for case, size in (
                ((features, labels, anchors), before.step_size), (scaled, after.step_size)
            )
        ]  # fmt: skip
        assert same[0] == same[1]


def padded(x):
    return torch.cat([x, torch.zeros(len(x), 9, dtype=x.dtype)], dim=1)


def repeated(x):
    return torch.cat([x, x, x, x], dim=1)


def permuted(x):
    """Dimensions in another order, some turned round: what sign steps commute with."""
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(1))
    return x[:, order] * torch.where(order % 3 == 0, -1.0, 1.0).double()


@pytest.mark.parametrize(("more", "unit_factor"), [(padded, 1), (repeated, 1 / 2), (permuted, 1)])
def test_more_dimensions_change_the_step_and_no_distance(more, unit_factor):
    """k copies of each dimension make unit features' entries 1 / √k, and α follows; raw features
    keep theirs. Dimensions that no anchor has get no step: sign(0) = 0."""
    features, labels, anchors = random_case()
    wide = more(features), labels, more(anchors)
    for feature_space, factor in (("unit", unit_factor), ("raw", 1)):
        before, after = (
            found(case, feature_space=feature_space) for case in ((features, labels, anchors), wide)
        )
        assert after.step_size == pytest.approx(factor * before.step_size, rel=1e-9)
        assert torch.equal(
            steps_at((features, labels, anchors), before.step_size, feature_space),
            steps_at(wide, after.step_size, feature_space),
        )


def test_a_turned_space_keeps_the_median_though_its_steps_differ():
    """sign does not commute with a rotation, so α is another one; what it is for still holds."""
    features, labels, anchors = random_case(rows=901, dim=64)
    turn, _ = torch.linalg.qr(torch.randn(64, 64, dtype=torch.float64,
                                          generator=torch.Generator().manual_seed(2)))  # fmt: skip
    turned = features @ turn, labels, anchors @ turn
    before, after = found((features, labels, anchors)), found(turned)
    assert before.step_size != after.step_size
    assert after.step_size == pytest.approx(before.step_size, rel=0.2)
    assert after.median_steps == before.median_steps == 30


def test_a_sample_of_many_is_drawn_by_the_seed_alone(monkeypatch):
    monkeypatch.setattr(step_size, "SAMPLE", 40)
    case = random_case(rows=900)
    first, again, other = found(case), found(case), found(case, seed=1)
    assert first == again
    assert first.sampled == 40
    assert first.step_size != other.step_size


def test_where_the_median_jumps_the_nearest_is_taken(monkeypatch):
    """Its median is 20 up to α = .1 and 5 beyond: 5 is nearer to 7."""

    def jumping(sample, labels, classifier, stepping):
        steps = torch.full((len(sample),), 20 if stepping.step_size <= 0.1 else 5)
        return steps, steps > 0, steps > 0

    monkeypatch.setattr(step_size, "step_rows", jumping)
    result = found(random_case(rows=9), median_steps=7)
    assert result.median_steps == 5
    assert result.step_size == pytest.approx(0.1, rel=1e-6)
    assert result.step_size > 0.1


def test_features_that_are_all_wrong_are_refused_with_the_cure():
    _, labels, anchors = random_case(rows=20)
    wrong = -anchors[labels]
    with pytest.raises(ValueError, match=r"step_size: auto must have .* none of 20; train the"):
        found((wrong, labels, anchors))


def artifacts(tmp_path, case):
    features, labels, anchors = case
    return {
        "features": fake_artifacts.make(
            tmp_path, "features",
            arrays={"features": features.float().numpy(), "labels": labels.numpy()},
        ),
        "anchors": fake_artifacts.make(
            tmp_path, "anchors", arrays={"anchors": anchors.float().numpy()},
            files={"anchors.json": {"classes": list("abcde")}},
        ),
    }  # fmt: skip


def test_the_stage_leaves_what_it_found_and_those_after_it_step_so(tmp_path, capsys):
    case = random_case()
    inputs = artifacts(tmp_path, case)
    made = fake_artifacts.run_stage(
        tmp_path, distances.main, "distances", SETTINGS | {"rows": "all"}, inputs
    )
    told = made.json("distances.json")
    assert told["median_steps"] == 30
    assert f"step size {told['step_size']:.6g}: the median of" in capsys.readouterr().err
    fixed = SETTINGS | {"step_size": told["step_size"], "rows": "all"}
    by_number = fake_artifacts.run_stage(tmp_path, distances.main, "distances", fixed, inputs)
    np.testing.assert_array_equal(made["steps"][:], by_number["steps"][:])
    assert stepping_of(made.settings, made) == Stepping.of(fixed)
    assert not (by_number.folder / "distances.json").exists()
    how = {
        "sampler": "bood", "select": "boundary", "rate": 0.1, "scope": "per_class", "seed": 0,
        "misclassified": "drop", "uncrossed": "skip", "perturb": "adversarial", "extra_steps": 2,
        "rescale": "none",
    }  # fmt: skip
    vectors = [
        fake_artifacts.run_stage(
            tmp_path,
            ood_features.main,
            "ood_features",
            settings | how,
            inputs | {"distances": made},
        )["vectors"][:]
        for settings in (SETTINGS, fixed)
    ]
    np.testing.assert_array_equal(*vectors)


def test_the_nearest_rows_are_the_same_where_only_those_are_stepped(tmp_path):
    inputs = artifacts(tmp_path, random_case())
    how = {"rate": 0.2, "scope": "per_class", "misclassified": "drop"}
    whole, part = (
        fake_artifacts.run_stage(tmp_path, distances.main, "distances", SETTINGS | more, inputs)
        for more in ({"rows": "all"}, {"rows": "nearest"} | how)
    )
    exact = part["exact"][:]
    assert 0.1 < exact.mean() < 1
    np.testing.assert_array_equal(part["steps"][:][exact], whole["steps"][:][exact])
    assert part.json("distances.json") == whole.json("distances.json")
