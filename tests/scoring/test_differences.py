"""Differences of two rows against figures computed anew, Student's interval, and known truths."""

import numpy as np
import pytest
from scipy.stats import norm, t

from bood_tasks.scoring import differences, metrics
from bood_tasks.scoring.roc import auroc, fpr95
from tests import fake_artifacts

AUROC, FPR = differences.PAIRED
SEEDED = np.random.default_rng(7)


def fpr(inside, outside):
    return fpr95(inside, outside, convention="id", threshold="first")


def drawn(n, m, repetitions=400, seed=0):
    rng = np.random.default_rng(seed)
    return [differences.draw_samples(count, repetitions, rng) for count in (n, m)]


def repeated(pair, counts):
    """The samples of a pair as the repetitions drew them."""
    for which in range(counts[0].shape[1]):
        yield [
            np.repeat(scores, count[:, which].astype(int))
            for scores, count in zip(pair, counts, strict=True)
        ]


@pytest.mark.parametrize("digits", [8, 1, 0], ids=["no ties", "some ties", "ties"])
@pytest.mark.parametrize("sizes", [(400, 300), (37, 53)])
def test_a_repetitions_fpr95_is_that_of_its_samples(sizes, digits):
    n, m = sizes
    pair = SEEDED.normal(1.5, 1, n).round(digits), SEEDED.normal(0, 1.3, m).round(digits)
    counts = drawn(n, m)
    (found,) = differences.repeat_fpr95([pair], *counts)
    expected = [fpr(*samples) for samples in repeated(pair, counts)]
    np.testing.assert_allclose(found + fpr(*pair), expected, atol=1e-5)


def test_a_repetitions_auroc_is_that_of_its_samples_to_first_order():
    pair = SEEDED.normal(1.5, 1, 400), SEEDED.normal(0, 1.3, 300)
    counts = drawn(400, 300)
    (found,) = differences.repeat_auroc([pair], *counts)
    expected = np.array([auroc(*samples) for samples in repeated(pair, counts)])
    off = found + auroc(*pair) - expected
    assert np.std(off) < 0.1 * np.std(expected)
    assert np.corrcoef(found, expected)[0, 1] > 0.99


def test_every_sample_is_drawn_as_often_as_the_others():
    counts, _ = drawn(50, 1, repetitions=4000)
    assert (counts.sum(0) == 50).all()
    assert counts.mean(1) == pytest.approx(1, abs=0.08)
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.05)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_where_seeds_alone_differ_the_interval_is_students(seeds):
    weights = differences.weigh_seeds(seeds, 40_000, np.random.default_rng(0))
    assert weights.sum(1) == pytest.approx(1)
    values = np.random.default_rng(seeds).normal(0.8, 0.02, (2, seeds))
    ((*_, difference, low, high),) = differences.compare_rows((values.mean(1), values @ weights.T))
    paired = values[0] - values[1]
    half = t.ppf(0.975, seeds - 1) * paired.std(ddof=1) / np.sqrt(seeds)
    assert difference == pytest.approx(paired.mean())
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)


def figures_of(rows, repetitions=1000):
    (inside, outside), seeds = rows[0][0], len(rows[0])
    weights = differences.weigh_seeds(seeds, repetitions, np.random.default_rng(1))
    counts = drawn(len(inside), len(outside), repetitions)
    return differences.repeat_figures(rows, *counts, weights, "first")


def test_samples_that_two_rows_share_tell_them_apart_where_apart_they_would_not():
    rng = np.random.default_rng(0)
    shared = rng.normal(1, 1, 300), rng.normal(0, 1, 200)
    better = shared[0] + 0.15, shared[1]
    own = tuple(rng.permutation(scores) for scores in better)  # as good, on samples of its own
    found = figures_of([[shared], [better], [own], [shared]])[AUROC]
    of = {(one, other): ends for one, other, *ends in differences.compare_rows(found)}
    assert differences.apart(*of[0, 1][1:])
    assert not differences.apart(*of[0, 2][1:])
    assert of[0, 3] == [0, 0, 0]
    assert not differences.apart(0, 0)


def test_19_of_20_intervals_hold_the_truth_of_new_seeds_and_new_samples():
    """Three seeds of two rows whose quality differs by seed, on samples that both share."""
    truth, held = norm.cdf(1.2 / np.sqrt(2)) - norm.cdf(1.0 / np.sqrt(2)), []
    for trial in range(120):
        rng = np.random.default_rng(trial)
        inside, outside = rng.normal(0, 1, 250), rng.normal(0, 1, 250)
        rows = [
            [(inside + rng.normal(apart, 0.15) + rng.normal(0, 0.2, 250), outside) for _ in "123"]
            for apart in (1.2, 1.0)
        ]
        ((*_, low, high),) = differences.compare_rows(figures_of(rows, 500)[AUROC])
        held.append(low <= truth <= high)
    assert 0.89 <= np.mean(held) <= 1


def test_an_average_is_repeated_set_by_set():
    rng = np.random.default_rng(0)
    sets = [figures_of([[(rng.normal(1, 1, 50), rng.normal(0, 1, 40))]]) for _ in range(2)]
    value, again = differences.average_figures(sets)[FPR]
    assert value == pytest.approx(np.mean([one[FPR][0] for one in sets], 0))
    assert again[0, 3] == pytest.approx(np.mean([one[FPR][1][0, 3] for one in sets]))


def test_every_pair_of_lines_is_compared_on_every_set_and_on_the_averages(tmp_path):
    rng, labels, made = np.random.default_rng(0), [], []
    for method, shift in (("ce", 2.0), ("bood", 3.0), ("vos", 2.0)):
        for seed in (0, 1):
            arrays = {
                f"{name}/{split}/score": rng.normal(mean, 1, 60).astype(np.float32)
                for name, split, mean in (
                    ("cats", "test", shift), ("cats", "validation", shift), ("dogs", "test", 0),
                    ("cars", "test", -1), ("spoilt", "test", 0),
                )
            }  # fmt: skip
            made.append(fake_artifacts.make(tmp_path / f"{method}{seed}", "scores", arrays=arrays))
            labels.append({"method": method, "variant": "", "seed": seed, "score": "msp"})
    known = {
        "id": "cats", "test": ["dogs", "cars"], "validation": ["spoilt"], "control": [],
        "threshold": "first", "rows": labels, "groups": [["near", ["dogs"]]],
    }  # fmt: skip
    scored = [metrics.Scored(item) for item in made]
    rows = list(metrics.difference_rows(scored, known))
    columns = {(row["split"], row["ood_dataset"]) for row in rows}
    assert columns == {
        ("test", "dogs"), ("test", "cars"), ("test", "average"), ("test", "average of near"),
        ("validation", "spoilt"), ("validation", "average"),
    }  # fmt: skip
    assert len(rows) == 3 * len(columns) * 2
    value = {
        (row["method"], row["ood_dataset"], row["seed"]): row["value"]
        for row in metrics.all_rows(scored, known | {"aupr": "step"})
        if row["metric"] == "auroc"
    }
    near = next(row for row in rows if row["ood_dataset"] == "average of near")
    assert (near["method"], near["than_method"]) == ("ce", "bood")
    expected = np.mean([value["ce", "dogs", s] - value["bood", "dogs", s] for s in (0, 1)])
    assert near["difference"] == pytest.approx(expected, abs=1e-5)
    assert all(row["low"] <= row["difference"] <= row["high"] for row in rows)
    assert all(row["apart"] == (row["low"] > 0 or row["high"] < 0) for row in rows)
