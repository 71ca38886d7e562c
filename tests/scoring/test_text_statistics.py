"""The stage `text_statistics`; its statistics by hand: tests/datasets/test_texts.py."""

import numpy as np

from bood_tasks.scoring import text_statistics
from bood_tasks.scoring.controls import figures
from tests import fake_artifacts


def texts(root, name, **counts):
    """Texts of five words, whose length before the cut is the one given."""
    arrays = {}
    for split, lengths in counts.items():
        rng = np.random.default_rng(len(lengths))
        arrays[f"{split}/tokens"] = rng.integers(1, 50, (len(lengths), 5))
        arrays[f"{split}/length"] = np.array(lengths)
    return fake_artifacts.make(root, "tokens", arrays=arrays, settings={"name": name})


def test_stage_counts_copies_and_reports_the_length_alone(tmp_path):
    """`far` has as many texts as ID test, drawn by the same seed: all of them are copies."""
    data = {
        "news": texts(tmp_path, "news", train=[5] * 9, test=[5, 6, 7, 8], validation=[5] * 3),
        "far": texts(tmp_path, "far", test=[50, 60, 7, 80]),
        "held": texts(tmp_path, "held", test=[5] * 5),
    }
    settings = {
        "id": "news", "datasets": list(data), "threshold": "first",
        "test": ["far"], "validation": ["held"], "control": [],
    }  # fmt: skip
    made = fake_artifacts.run_stage(
        tmp_path, text_statistics.main, "text_statistics", settings,
        {"datasets": list(data.values())},
    )  # fmt: skip
    facts = made.json("text_statistics.json")
    assert facts["news"] == {"in_training": 0}
    assert (facts["far"]["in_training"], facts["far"]["in_test"], facts["far"]["n"]) == (0, 4, 4)
    assert (facts["held"]["n_id"], facts["held"]["n"], facts["held"]["in_test"]) == (3, 5, 0)
    lengths = ({"length": np.array(x, float)} for x in ([5, 6, 7, 8], [50, 60, 7, 80]))
    expected = figures(*lengths, threshold="first")
    assert facts["far"]["length"]["auroc"] == expected["auroc"] == 14.5 / 16
    assert facts["far"]["length"]["statistic"] == "length"
