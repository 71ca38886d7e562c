"""What the report warns of before any figure: grey beside colour, networks that are not trained."""

import pandas as pd
import pytest

from bood_tasks.reporting.cautions import find_untrained
from bood_tasks.reporting.tables.summary import Lookup
from bood_tasks.scoring.colour import find_colour_warnings
from bood_tasks.training.trained import doubts

COLOURS = {"mine": 0.2, "photos": 0.15, "digits": 0.0, "scans": 0.004}
PIXELS = {name: {"colourfulness": value} for name, value in COLOURS.items()}


def test_sets_and_outliers_that_colour_alone_tells_are_named():
    sets, outliers = find_colour_warnings(PIXELS, "mine", ["BOOD"])
    assert sets.startswith("mine is in colour and these sets are grey: digits, scans.")
    assert outliers.startswith("mine is in colour and the outliers of BOOD are grey")
    (sets,) = find_colour_warnings(PIXELS, "digits", ["BOOD"])  # grey outliers are like it
    assert sets.startswith("digits is grey and these sets are in colour: mine, photos.")
    alike = {name: PIXELS[name] for name in ("mine", "photos")}
    assert find_colour_warnings(alike, "mine", []) == []
    assert find_colour_warnings({"mine": {"in_training": 0}}, "mine", ["BOOD"]) == []  # texts


@pytest.mark.parametrize(
    ("accuracy", "steps", "count"),
    [(0.30, None, 1), (0.34, None, 0), (0.98, 32, 1), (0.98, 200, 0), (0.2, 8, 2), (None, None, 0)],
)
def test_doubts_of_six_classes_begin_at_a_third_and_at_200_steps(accuracy, steps, count):
    assert len(doubts(accuracy=accuracy, classes=6, steps=steps)) == count


def test_a_row_that_is_hardly_trained_is_named_once():
    rows = [
        {"method": method, "variant": "", "score": score, "ood_dataset": "", "split": "test",
         "metric": "id_acc", "convention": "", "id_dataset": "mine", "n_id": 50, "n_ood": 0,
         "mean": mean, "std": None, "n_seeds": 1}
        for method, mean in (("ce", 0.652), ("vos", 0.98), ("godin", 0.18))
        for score in ("",)
    ]  # fmt: skip
    scores = [
        row | {"score": s, "metric": "auroc", "ood_dataset": "x"} for row in rows for s in "ab"
    ]
    table = Lookup(pd.DataFrame(rows + scores))
    lengths = {"epochs": 4, "batch_size": 64, "steps": None}
    trained = {"ce|": lengths, "vos|": lengths | {"epochs": 30}}
    (line,) = find_untrained(table, trained, classes=6, pictures=496)
    assert "Cross-entropy (32 training steps from random weights" in line
    assert "GODIN (an ID accuracy of 18.0% where chance is 16.7%)" in line
    assert "VOS" not in line
