"""The sentences of the page against numbers where the right sentence is known."""

import pandas as pd
import pytest
from scipy.stats import ttest_ind

from bood_tasks.reporting import findings

OUTLIERS = {"ce|": "none", "bood|": "decoded", "bood|noise": "noise"}
CE, BOOD, NOISE = ("ce", "", "energy"), ("bood", "", "energy"), ("bood", "noise", "energy")
PIXELS = ("pixel_statistics", "", "best")


def measured(aurocs, tests=("near", "far"), shift=0.0):
    """Rows of metrics.csv: {label: AUROC of each seed}, on `far` larger by `shift`."""
    keys = ("method", "variant", "score")
    return pd.DataFrame(
        dict(zip(keys, label, strict=True))
        | {
            "metric": metric, "id_dataset": "cats", "ood_dataset": test, "split": "test",
            "seed": seed, "convention": convention, "n_id": 10, "n_ood": 10,
            "value": value + (shift if test == "far" else 0.0)
            if metric == "auroc" else 1 - value,
        }
        for label, values in aurocs.items()
        for seed, value in enumerate(values)
        for test in tests
        for metric, convention in (("auroc", ""), ("fpr95", "id"), ("fpr95", "ood"))
    )  # fmt: skip


def said(aurocs, **more):
    return findings.sentences(measured(aurocs, **more), OUTLIERS, {})


def test_rows_stand_by_their_average_auroc_without_the_controls():
    lines = findings.contenders(measured({CE: [0.7], BOOD: [0.9], PIXELS: [0.99]}, shift=-0.2))
    assert [line.label for line in lines] == [BOOD, CE]
    assert lines[0].mean == pytest.approx(0.8)


def test_chance_is_welchs():
    one, other = [0.9, 0.91, 0.88], [0.7, 0.8, 0.75]
    better, worse = findings.contenders(measured({BOOD: one, CE: other}))
    expected = ttest_ind(one, other, equal_var=False).pvalue
    assert findings.chance(better, worse) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("aurocs", "words"),
    [
        ({BOOD: [0.9], CE: [0.7]}, "one seed cannot tell"),
        ({BOOD: [0.9, 0.91, 0.9], CE: [0.7, 0.71, 0.7]}, "it is better than the next, Cross-"),
        ({BOOD: [0.9, 0.7, 0.8], CE: [0.79, 0.7, 0.81]}, "these seeds do not tell it from the"),
        ({BOOD: [0.9, 0.9], CE: [0.9, 0.9]}, "these seeds do not tell it from the"),
        ({BOOD: [0.9, 0.9], CE: [0.8, 0.8]}, "it is better than the next"),
    ],
)
def test_the_best_row_is_told_from_the_next_where_seeds_can(aurocs, words):
    first = said(aurocs)[0]
    assert first.startswith("Best on the average over 2 test sets is BOOD by Energy (AUROC ")
    assert words in first


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        ([0.91, 0.9, 0.92], "Plain noise as outliers does no worse"),
        ([0.7, 0.71, 0.7], "Plain noise as outliers does less well"),
        ([0.8, 0.9, 0.89], "Plain noise as outliers comes close"),
    ],
)
def test_noise_is_set_beside_generated_outliers(noise, words):
    texts = said({CE: [0.6, 0.61, 0.6], BOOD: [0.9, 0.9, 0.89], NOISE: noise})
    assert any(words in text for text in texts)
    assert any(
        "it is better than the best row that was shown none, by the same score" in text
        for text in texts
    )


def test_the_hardest_set_is_the_one_whose_best_row_is_the_lowest():
    texts = said({CE: [0.6], BOOD: [0.8]}, shift=0.1)
    assert "Hardest is near: no row has an AUROC above 80.0, and that is the best row's." in texts
    assert not any("Hardest" in text for text in said({CE: [0.6]}, tests=("near",)))


def test_rows_below_the_pixels_are_counted():
    results = measured({CE: [0.6], BOOD: [0.8]})
    pixels = {"near": {"auroc": 0.7}, "far": {"auroc": 0.8}}
    last = findings.sentences(results, OUTLIERS, pixels)[-1]
    assert "reach an AUROC of 75.0; 1 of 2 rows are below it" in last
