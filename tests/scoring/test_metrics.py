import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from bood_tasks.artifacts import store
from bood_tasks.reporting.tables.frames import read_csv, records
from bood_tasks.scoring import metrics, roc
from tests import fake_artifacts

# Few levels, so that ties are everywhere.
tied = st.lists(st.integers(0, 12), min_size=1, max_size=60).map(lambda v: np.array(v, "float32"))


def labelled(id_scores, ood_scores):
    truth = np.r_[np.ones(len(id_scores), int), np.zeros(len(ood_scores), int)]
    return truth, np.r_[id_scores, ood_scores]


def test_fpr95_by_hand():
    """20 ID samples: the 19th accepted is 95 %, at threshold 1; OOD 1 and above get in."""
    inside = np.arange(20.0)
    outside = np.array([-1.0, 0.5, 1.0, 5.0])
    assert roc.fpr95(inside, outside, convention="id", threshold="first") == 0.5
    # All four OOD must be caught (3 of 4 is 75 %), up to score 5: ID 0 ... 5 are flagged.
    assert roc.fpr95(inside, outside, convention="ood", threshold="first") == 0.3


def test_fpr95_conventions_differ_on_the_same_scores():
    inside = np.r_[np.zeros(10), np.full(90, 10.0)]
    outside = np.r_[np.full(96, 5.0), np.full(4, 11.0)]
    assert roc.fpr95(inside, outside, convention="id", threshold="first") == 1.0
    assert roc.fpr95(inside, outside, convention="ood", threshold="first") == 0.1


def test_fpr95_takes_tied_scores_together():
    """ID and OOD tied at the threshold: the OOD sample comes in with the ID ones."""
    assert roc.fpr95(np.ones(3), np.ones(2), convention="id", threshold="first") == 1.0


def test_fpr95_nearest_may_accept_fewer_than_95_percent():
    """Of 14 ID samples 13 (.929) are nearer to .95 than 14; the OOD sample ties with the 14th."""
    inside, outside = np.arange(14.0), np.array([0.0])
    assert roc.fpr95(inside, outside, convention="id", threshold="first") == 1.0
    assert roc.fpr95(inside, outside, convention="id", threshold="nearest") == 0.0


def test_fpr95_nearest_takes_the_laxest_of_equally_near_thresholds():
    """19 of 20 from score 1 down; the OOD sample at .5 comes in before the 20th."""
    inside, outside = np.arange(20.0), np.array([0.5, -1.0])
    assert roc.fpr95(inside, outside, convention="id", threshold="first") == 0.0
    assert roc.fpr95(inside, outside, convention="id", threshold="nearest") == 0.5


@given(tied, tied)
def test_fpr95_first_agrees_with_scikit_learn(inside, outside):
    for convention, signs in (("id", 1), ("ood", -1)):
        truth, scores = labelled(inside, outside)
        truth = truth if convention == "id" else 1 - truth
        rates = roc_curve(truth, signs * scores, drop_intermediate=False)
        expected = rates[0][np.argmax(rates[1] >= 0.95)]
        found = roc.fpr95(inside, outside, convention=convention, threshold="first")
        assert found == pytest.approx(expected)


@given(tied, tied)
def test_fpr95_nearest_agrees_with_a_plain_search(inside, outside):
    best, answer = 2.0, None
    for cut in sorted({*inside.tolist(), *outside.tolist()}):  # laxest first
        accepted = float(np.mean(inside >= cut))
        if accepted == 1.0 or abs(accepted - 0.95) < best:
            best, answer = abs(accepted - 0.95), float(np.mean(outside >= cut))
    found = roc.fpr95(inside, outside, convention="id", threshold="nearest")
    assert found == pytest.approx(answer)


def test_auroc_by_hand_counts_ties_half():
    """Pairs: 2 beats 0 and 1, 1 beats 0 and ties with 1: 3.5 of 4."""
    assert roc.auroc(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == 0.875


@given(tied, tied)
def test_auroc_agrees_with_scikit_learn(inside, outside):
    truth, scores = labelled(inside, outside)
    assert roc.auroc(inside, outside) == pytest.approx(roc_auc_score(truth, scores))


@given(tied, tied)
def test_auroc_is_the_same_in_both_conventions(inside, outside):
    swapped = roc.auroc(-outside, -inside)
    assert roc.auroc(inside, outside) == pytest.approx(swapped)


def test_aupr_by_hand_with_a_tie():
    """ID 3, 1; OOD 1, 0. At 3: precision 1, recall 1/2; at 1: precision 2/3, recall 1."""
    inside, outside = np.array([3.0, 1.0]), np.array([1.0, 0.0])
    assert roc.aupr(inside, outside, positive="id") == pytest.approx(1 / 2 + 1 / 3)
    # OOD positive, negated: at 0 precision 1, recall 1/2; at 1 precision 2/3, recall 1.
    assert roc.aupr(inside, outside, positive="ood") == pytest.approx(1 / 2 + 1 / 3)


@given(tied, tied)
def test_aupr_agrees_with_scikit_learn(inside, outside):
    truth, scores = labelled(inside, outside)
    assert roc.aupr(inside, outside, positive="id") == pytest.approx(
        average_precision_score(truth, scores)
    )
    assert roc.aupr(inside, outside, positive="ood") == pytest.approx(
        average_precision_score(1 - truth, -scores)
    )


@given(tied, tied, st.randoms(use_true_random=False))
def test_metrics_do_not_depend_on_row_order(inside, outside, shuffler):
    mixed = inside.tolist(), outside.tolist()
    for values in mixed:
        shuffler.shuffle(values)
    again = (np.array(values, "float32") for values in mixed)
    assert roc.compare(inside, outside, threshold="first") == roc.compare(*again, threshold="first")


def test_metrics_of_perfect_separation():
    found = roc.compare(np.array([2.0, 3.0]), np.array([0.0, 1.0]), threshold="first")
    assert [value for _, _, value in found] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("side", ["ID", "OOD"])
def test_metrics_refuse_nan_and_empty_scores(side):
    good = np.ones(3)
    for bad, message in ((np.array([1, np.nan, np.inf]), "got 2 of 3"), (np.ones(0), "got none")):
        pair = (bad, good) if side == "ID" else (good, bad)
        with pytest.raises(ValueError, match=rf"{side} scores must .*{message}"):
            roc.auroc(*pair)


SETTINGS = {
    "threshold": "first", "id": "cats", "test": ["dogs"], "validation": ["blurred"],
    "control": ["resampled"],
    "rows": [
        {"method": "ce", "variant": "", "seed": 0, "score": "msp"},
        {"method": "ce", "variant": "", "seed": 0, "score": "energy"},
    ],
}  # fmt: skip


def scored(root, dogs=(0.5, 1.0, 2.0)):
    """Two scores of one detector."""
    arrays = {
        "cats/test/correct": np.array([True, True, True, False]),
        "cats/validation/correct": np.array([True, False]),
        "cats/test/score": np.array([1, 2, 3, 4], "float32"),
        "cats/validation/score": np.array([10, 20], "float32"),
        "dogs/test/score": np.array(dogs, "float32"),
        "blurred/test/score": np.array([15], "float32"),
        "resampled/test/score": np.array([9], "float32"),
    }
    return [
        fake_artifacts.make(root, "scores", arrays=arrays, settings={"score": row["score"]})
        for row in SETTINGS["rows"]
    ]


def test_metrics_csv_is_the_documented_interface(tmp_path):
    made = fake_artifacts.run_stage(
        tmp_path, metrics.main, "metrics", SETTINGS, {"scores": scored(tmp_path)}
    )
    with (made.folder / "metrics.csv").open(newline="") as handle:
        header = handle.readline().strip()
    assert header == (
        "method,variant,score,id_dataset,ood_dataset,split,seed,metric,convention,value,n_id,n_ood"
    )
    rows = records(read_csv(made.folder / "metrics.csv"))
    assert len(rows) == made.rows["metrics"] == 2 + 2 * 3 * 5
    accuracy = [row for row in rows if row["metric"] == "id_acc"]
    assert [(row["split"], row["value"], row["n_id"], row["n_ood"]) for row in accuracy] == [
        ("test", 0.75, 4, 0),
        ("validation", 0.5, 2, 0),
    ]
    assert {(row["score"], row["ood_dataset"], row["convention"]) for row in accuracy} == {
        ("", "", "")
    }
    keys = [tuple(row[key] for key in metrics.COLUMNS if key != "value") for row in rows]
    assert len(set(keys)) == len(keys)
    assert all(bool(row["convention"]) == (row["metric"] == "fpr95") for row in rows)


def test_validation_sets_are_compared_with_the_id_validation_split(tmp_path):
    made = fake_artifacts.run_stage(
        tmp_path, metrics.main, "metrics", SETTINGS, {"scores": scored(tmp_path)}
    )
    rows = records(read_csv(made.folder / "metrics.csv"))
    found = {
        row["split"]: (row["ood_dataset"], row["value"], row["n_id"])
        for row in rows
        if row["metric"] == "auroc" and row["score"] == "energy"
    }
    # dogs .5, 1, 2 against 1 2 3 4: (4 + 3.5 + 2.5) of 12 pairs
    assert found == {
        "test": ("dogs", 10 / 12, 4),
        "validation": ("blurred", 0.5, 2),
        "control": ("resampled", 0.0, 4),
    }


def test_metrics_name_the_row_whose_scores_are_bad(tmp_path, monkeypatch):
    """As a version wrote them that did not look at what it wrote."""
    monkeypatch.setattr(store, "require_finite", lambda *_: None)
    broken = scored(tmp_path, dogs=(np.nan,))
    with pytest.raises(ValueError, match="ce, seed 0, msp on dogs: OOD scores must be finite"):
        fake_artifacts.run_stage(tmp_path, metrics.main, "metrics", SETTINGS, {"scores": broken})


def test_pixel_rows_stand_for_no_seed_but_the_first():
    figures = [["fpr95", "id", 0.5], ["auroc", "", 0.75]]
    facts = {"far": {"statistic": "std", "n_id": 8, "n": 6, "figures": figures}, "cats": {}}
    settings = {
        "id": "cats", "test": ["far"], "validation": [], "control": [],
        "rows": [{"seed": 4}, {"seed": 5}],
    }  # fmt: skip
    rows = list(metrics.control_rows("pixel_statistics", facts, settings))
    assert {(row["method"], row["score"], row["seed"]) for row in rows} == {
        ("pixel_statistics", "best", 4)
    }
    assert [(row["metric"], row["value"], row["n_ood"]) for row in rows] == [
        ("fpr95", 0.5, 6), ("auroc", 0.75, 6)
    ]  # fmt: skip
    assert all(set(row) == set(metrics.COLUMNS) for row in rows)
