"""What validation chooses and what that is worth: numbers by hand or by scipy."""

import csv

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, ttest_rel

from bood_tasks.reporting import choice
from bood_tasks.reporting.figures import best
from tests import fake_artifacts

A, B, C = ("ce", "", "msp"), ("bood", "", "energy"), ("bood", "noise", "knn")
PIXELS = ("pixel_statistics", "", "best")


def measured(of):
    """Rows of metrics.csv: {label: {set: (split, AUROC of each seed, FPR95 of each seed)}}."""
    keys = ("method", "variant", "score")
    return pd.DataFrame(
        dict(zip(keys, label, strict=True))
        | {
            "id_dataset": "cats", "ood_dataset": name, "split": split, "seed": seed,
            "metric": metric, "convention": convention, "value": value, "n_id": 9, "n_ood": 9,
        }
        for label, sets in of.items()
        for name, (split, aurocs, fprs) in sets.items()
        for seed, values in enumerate(zip(aurocs, fprs, 1 - np.array(fprs), strict=True))
        for (metric, convention), value in zip(
            (("auroc", ""), ("fpr95", "id"), ("fpr95", "ood")), values, strict=True
        )
    )  # fmt: skip


TWO_SETS = measured(
    {
        A: {
            "corrupted": ("validation", [0.6, 0.7], [0.5, 0.5]),
            "shapes": ("validation", [0.8, 0.9], [0.3, 0.3]),
            "far": ("test", [0.9, 0.92], [0.2, 0.1]),
        },
        B: {
            "corrupted": ("validation", [0.9, 0.95], [0.6, 0.6]),
            "shapes": ("validation", [0.7, 0.75], [0.6, 0.5]),
            "far": ("test", [0.8, 0.82], [0.6, 0.5]),
        },
        C: {
            "corrupted": ("validation", [0.5, 0.5], [0.9, 0.9]),
            "shapes": ("validation", [0.5, 0.5], [0.9, 0.9]),
            "far": ("test", [0.95, 0.85], [0.3, 0.4]),
        },
        PIXELS: {
            "corrupted": ("validation", [1.0], [0.0]),
            "shapes": ("validation", [1.0], [0.0]),
            "far": ("test", [1.0], [0.0]),
        },
    }
)


def test_rows_stand_by_their_mean_over_the_validation_sets_and_seeds():
    found = choice.candidates(TWO_SETS)
    assert [item.label for item in found] == [B, A, C]  # no control among them
    assert found[0].validation["auroc"] == pytest.approx({0: 0.8, 1: 0.85})
    assert found[0].test["fpr95"] == pytest.approx({0: 0.6, 1: 0.5})  # ID positive
    assert choice.candidates(TWO_SETS, by="fpr95")[0].label == A
    assert choice.candidates(TWO_SETS, sets=["shapes"])[0].label == A


def test_what_was_chosen_is_told_apart_by_the_paired_test():
    found = choice.candidates(TWO_SETS)
    expected = ttest_rel([0.8, 0.85], [0.7, 0.8]).pvalue
    assert choice.chance(found[0], found[1], "auroc") == pytest.approx(expected)
    assert choice.tied(found) == [found[1]]  # p = .2; C's seeds differ by .3 and .35, p = .049
    one = TWO_SETS[TWO_SETS["seed"] == 0]
    assert len(choice.tied(choice.candidates(one))) == 2  # one seed tells nothing apart


def test_regret_is_what_the_best_in_hindsight_has_more():
    found = choice.candidates(TWO_SETS)
    of = choice.worth(found)
    assert of.hindsight["auroc"].label == A
    assert of.regret == pytest.approx({"auroc": 0.91 - 0.81, "fpr95": 0.55 - 0.15})
    # seed 0 alone: B is chosen (.8), C is best (.95); seed 1: B again (.82), A is best (.92)
    assert of.by_seed["auroc"] == pytest.approx({0: 0.15, 1: 0.1})
    expected = spearmanr([0.825, 0.75, 0.5], [0.81, 0.91, 0.9]).statistic
    assert of.correlation == pytest.approx(expected)
    again = choice.worth(choice.candidates(TWO_SETS, by="fpr95"), by="fpr95")
    assert again.regret == pytest.approx({"auroc": 0, "fpr95": 0})


def test_a_choice_on_test_sets_or_on_nothing_is_refused():
    with pytest.raises(ValueError, match="must not be chosen on a test set, got 'far'"):
        choice.candidates(TWO_SETS, sets=["far"])
    with pytest.raises(ValueError, match="validation sets are corrupted, shapes, got 'shape'"):
        choice.candidates(TWO_SETS, sets=["shape"])
    with pytest.raises(ValueError, match="this run has none; name data sets under `validation`"):
        choice.candidates(TWO_SETS[TWO_SETS["split"] == "test"])


def test_the_sentences_say_it_in_percent():
    said = " ".join(choice.sentences(choice.candidates(TWO_SETS)))
    assert "Chosen on validation outliers alone: BOOD by Energy (AUROC 82.5 ± 3.5 there)" in said
    assert "cannot tell it from Cross-entropy by MSP by more than chance" in said
    assert "10.0 points of AUROC and 40.0 points of FPR95" in said
    assert "had one seed been run: 12.5 ± 3.5 and" in said


def test_the_stage_leaves_a_figure_and_every_row(tmp_path):
    text = TWO_SETS.to_csv(index=False)
    metrics = fake_artifacts.make(tmp_path, "metrics", files={"metrics.csv": text})
    made = fake_artifacts.run_stage(tmp_path, best.main, "best", {}, {"metrics": metrics})
    rows = list(csv.DictReader((made.folder / "best.csv").read_text().splitlines()))
    assert [(x["method"], x["variant"], x["score"]) for x in rows] == [B, A, C]
    assert float(rows[0]["validation_auroc"]) == pytest.approx(0.825)
    assert float(rows[2]["chance"]) == pytest.approx(ttest_rel([0.8, 0.85], [0.5, 0.5]).pvalue)
    (figure,) = made.json("captions.json")["figures"]
    assert "points of FPR95" in figure["caption"]
    assert {"best.png", "best.svg"} <= set(made.files)
