"""Intervals against resampling, against the truth of known distributions, and at the edges."""

import numpy as np
import pytest
from scipy.stats import norm

from bood_tasks.scoring.intervals import auroc_influences, fpr95_influences, interval
from bood_tasks.scoring.roc import auroc, fpr95

WIDE = 1.3  # deviation of OOD


def fpr(inside, outside):
    return fpr95(inside, outside, convention="id", threshold="first")


FIGURES = {"auroc": (auroc, auroc_influences), "fpr95": (fpr, fpr95_influences)}
figures = pytest.mark.parametrize(("value", "influences"), FIGURES.values(), ids=FIGURES)


def drawn(seed, apart=1.5, n=400, m=300):
    rng = np.random.default_rng(seed)
    return rng.normal(apart, 1, n), rng.normal(0, WIDE, m)


def ends(value, influences, inside, outside):
    own, others = influences(inside, outside)
    return interval(value(inside, outside), own, [others])


@figures
def test_the_interval_is_that_of_resampling(value, influences):
    inside, outside = drawn(1)
    rng = np.random.default_rng(2)
    again = [
        value(rng.choice(inside, len(inside)), rng.choice(outside, len(outside)))
        for _ in range(300)
    ]
    low, high = ends(value, influences, inside, outside)
    assert high - low == pytest.approx(4 * np.std(again), rel=0.25)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (1000, 60)])
def test_19_of_20_intervals_hold_the_truth(n, m):
    apart = 2.0
    truth = {
        "auroc": norm.cdf(apart / np.sqrt(1 + WIDE**2)),
        "fpr95": 1 - norm.cdf((norm.ppf(0.05) + apart) / WIDE),
    }
    for name, (value, influences) in FIGURES.items():
        held = [
            low <= truth[name] <= high
            for low, high in (
                ends(value, influences, *drawn(seed, apart, n, m)) for seed in range(200)
            )
        ]
        assert 0.90 <= np.mean(held) <= 0.99


def test_an_average_counts_what_its_sets_share():
    """Two copies of one OOD set tell no more than it does; two sets of their own do."""
    inside, outside = drawn(3)
    own, others = auroc_influences(inside, outside)
    value = auroc(inside, outside)
    one = interval(value, own, [others])
    _, elsewhere = drawn(4)
    second, apart = auroc_influences(inside, elsewhere)
    two = interval(value, (own + second) / 2, [others, apart])
    assert two[1] - two[0] < one[1] - one[0]
    shared = interval(value, own, [others] * 2)  # as if independent: only the OOD part shrinks
    assert shared[1] - shared[0] > (one[1] - one[0]) / np.sqrt(2)


@figures
def test_certain_figures_of_few_samples_are_not_called_certain(value, influences):
    low, high = ends(value, influences, np.arange(50) + 100.0, np.arange(50.0))
    assert (low, high) == pytest.approx((0, 0.0714) if value is fpr else (0.9286, 1), abs=1e-3)


@figures
def test_one_sample_of_each_says_next_to_nothing(value, influences):
    low, high = ends(value, influences, np.array([1.0]), np.array([0.0]))
    assert 0 <= low < high <= 1
    assert high - low > 0.7


@figures
def test_ties_and_equal_scores_stay_within_0_and_1(value, influences):
    low, high = ends(value, influences, np.ones(20), np.ones(30))
    assert 0 <= low < high <= 1
