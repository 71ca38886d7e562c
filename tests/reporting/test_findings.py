"""The sentences of the page against numbers where the right sentence is known."""

import pandas as pd
import pytest

from bood_tasks.reporting import findings
from bood_tasks.reporting.tables.apart import Differences
from bood_tasks.reporting.tables.layout import MINUS
from bood_tasks.scoring.metrics import DIFFERENCES

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


def differing(aurocs, half, tests=("near", "far")):
    """The differences of the means of seeds, `half` a width to each side."""
    return Differences(pd.DataFrame(differing_rows(aurocs, half, tests)))


def differing_rows(aurocs, half, tests):
    """Rows of differences.csv."""
    labels, rows = list(aurocs), []
    for number, one in enumerate(labels):
        for other in labels[number + 1 :]:
            by = sum(aurocs[one]) / len(aurocs[one]) - sum(aurocs[other]) / len(aurocs[other])
            for metric, convention, sign in (("auroc", "", 1), ("fpr95", "id", -1)):
                for dataset in (*tests, "average"):
                    found = sign * by, sign * by - half, sign * by + half
                    cells = *one, *other, dataset, "test", metric, convention, *found
                    rows.append(dict(zip(DIFFERENCES, (*cells, int(abs(by) > half)), strict=True)))
    return rows


def said(aurocs, half=0.02, pixels=None, groups=(), **more):
    found = findings.findings(
        measured(aurocs, **more), OUTLIERS, pixels or {}, differing(aurocs, half), groups
    )
    return dict(found)


def test_rows_stand_by_their_average_auroc_without_the_controls():
    lines = findings.contenders(measured({CE: [0.7], BOOD: [0.9], PIXELS: [0.99]}, shift=-0.2))
    assert [line.label for line in lines] == [BOOD, CE]
    assert lines[0].mean == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("aurocs", "words"),
    [
        ({BOOD: [0.9], CE: [0.7]}, "it is better than the next, Cross-entropy by Energy (AUROC "
         "70.0, FPR95 30.0), by 20.0 points of AUROC (95 % 18.0 to 22.0)."),
        ({BOOD: [0.9], CE: [0.7]}, "With one seed this is over samples alone"),
        ({BOOD: [0.9, 0.91], CE: [0.9, 0.9]}, "it cannot be told apart from the next"),
        ({BOOD: [0.9, 0.91], CE: [0.9, 0.9]}, f"by 0.5 points of AUROC (95 % {MINUS}1.5 to 2.5)"),
        ({BOOD: [0.9], CE: [0.89], NOISE: [0.7]}, "Of all 2 others 1 cannot be told apart"),
        ({BOOD: [0.9], CE: [0.8], NOISE: [0.7]}, "It can be told from each of the 2 others."),
    ],
)  # fmt: skip
def test_the_best_row_is_told_from_the_next_where_the_interval_leaves_out_0(aurocs, words):
    first = said(aurocs)["Best"]
    assert first.startswith("Best on the average over 2 test sets is BOOD by Energy (AUROC ")
    assert words in first
    assert "one seed" not in said({BOOD: [0.9, 0.9], CE: [0.7, 0.7]})["Best"]


def test_the_best_is_held_against_plain_cross_entropy_by_energy():
    other = ("ce", "", "msp")
    text = said({other: [0.85], CE: [0.8], BOOD: [0.9]})["Against plain"]
    assert text == (
        "Against Cross-entropy by Energy (AUROC 80.0, FPR95 20.0) the best has 10.0 points of "
        "AUROC (95 % 8.0 to 12.0) more and 10.0 points of FPR95 (95 % 8.0 to 12.0) less."
    )
    close = said({CE: [0.89], BOOD: [0.9]})["Against plain"]
    assert "more, which is not told from none" in close
    assert close.endswith("which is not told from none.")
    assert said({CE: [0.9], BOOD: [0.8]})["Against plain"].startswith("The best is plain")
    assert "Against plain" not in said({BOOD: [0.9], NOISE: [0.8]})


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (0.91, "Plain noise as outliers does no worse"),
        (0.7, "Plain noise as outliers does less well"),
        (0.89, "Plain noise as outliers comes close"),
    ],
)
def test_noise_is_set_beside_generated_outliers(noise, words):
    texts = said({CE: [0.6], BOOD: [0.9], NOISE: [noise]})
    assert texts["Noise instead"].startswith(words)
    better = "it is better than the best row that was shown none, by the same score"
    assert better in texts["Generated outliers"]


def test_what_outliers_cost_and_gain_is_said_set_by_set_or_group_by_group():
    aurocs = {CE: [0.8], BOOD: [0.9]}
    assert said(aurocs)["Near and far"] == (
        "Of rows with outliers the best, BOOD by Energy, is against Cross-entropy by Energy: "
        "better on near (+10.0), far (+10.0), in points of AUROC."
    )
    assert f"worse on near ({MINUS}10.0)" in said({CE: [0.9], BOOD: [0.8]})["Near and far"]
    assert "no different on near (+1.0)" in said({CE: [0.8], BOOD: [0.81]})["Near and far"]
    table = differing(aurocs, 0.02, tests=("average of close",))
    found = dict(findings.findings(measured(aurocs), OUTLIERS, {}, table, ["close"]))
    assert "better on close (+10.0), in" in found["Near and far"]


def test_the_hardest_set_is_the_one_whose_best_row_is_the_lowest():
    text = said({CE: [0.6], BOOD: [0.8]}, shift=0.1)["Hardest"]
    assert text == "Hardest is near: no row has an AUROC above 80.0, and that is the best row's."
    assert "Hardest" not in said({CE: [0.6]}, tests=("near",))


def test_rows_below_the_pixels_are_counted():
    pixels = {"near": {"auroc": 0.7}, "far": {"auroc": 0.8}}
    text = said({CE: [0.6], BOOD: [0.8]}, pixels=pixels)["Pixels alone"]
    assert "reach an AUROC of 75.0, above 1 of the 2 rows" in text
