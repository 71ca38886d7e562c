"""Figures as OpenOOD and pytorch-ood define them, and averages over groups of test sets."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bood_tasks.config.load import ConfigError, load
from bood_tasks.plan.scoring import metrics as metrics_spec
from bood_tasks.plan.scoring import pixel_statistics
from bood_tasks.reporting.own_tables import own_tables
from bood_tasks.reporting.tables import summary, tables
from bood_tasks.scoring import metrics
from bood_tasks.scoring.roc import aupr, compare
from tests import fake_artifacts
from tests.reporting.test_tables import ONE_SEED, SETTINGS, TWO_SEEDS, value_of

SCORES = st.lists(st.integers(-6, 6), min_size=1, max_size=40).map(
    lambda values: np.array(values, np.float32)
)


def by_openood(conf: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return its five figures, written from its definition: OOD (label -1) is positive, judged by
    -conf; FPR at the first threshold that finds 95 % of OOD; areas by the trapezoidal rule."""

    def curve(value, positive):  # counts at each threshold, from strict to lax
        at = sorted(set(value.tolist()), reverse=True)
        hits = [int((positive & (value >= t)).sum()) for t in at]
        alarms = [int((~positive & (value >= t)).sum()) for t in at]
        return np.array(hits), np.array(alarms)

    def area(x, y):
        return sum((x[k] - x[k - 1]) * (y[k] + y[k - 1]) / 2 for k in range(1, len(x)))

    def precision_recall(value, positive):
        hits, alarms = curve(value, positive)
        return area([0, *hits / positive.sum()], [1, *hits / (hits + alarms)])

    ood = label == -1
    hits, alarms = curve(-conf, ood)
    tpr, fpr = [0, *hits / ood.sum()], [0, *alarms / (~ood).sum()]
    return {
        "fpr95": next(f for t, f in zip(tpr, fpr, strict=True) if t >= 0.95),
        "auroc": area(fpr, tpr),
        "aupr_in": precision_recall(conf, ~ood),
        "aupr_out": precision_recall(-conf, ood),
    }


def ours(inside, outside) -> dict[str, float]:
    values = compare(inside, outside, threshold="first", rule="trapezoid")
    return {metric: value for metric, convention, value in values if convention in ("", "ood")}


@given(SCORES, SCORES)
@settings(max_examples=100)
def test_figures_are_openoods(inside, outside):
    conf = np.concatenate([inside, outside])
    label = np.array([3] * len(inside) + [-1] * len(outside))
    assert ours(inside, outside) == pytest.approx(by_openood(conf, label), abs=1e-12)


def test_figures_are_pytorch_oods():
    from pytorch_ood.metrics import OODMetrics

    rng = np.random.default_rng(0)
    inside, outside = rng.normal(1, 1, 300).round(1), rng.normal(0, 1, 200).round(1)  # with ties
    judge = OODMetrics()
    labels = torch.tensor([0] * 300 + [-1] * 200)  # below 0: OOD; larger scores: more OOD
    judge.update(-torch.tensor(np.concatenate([inside, outside])), labels)
    theirs = judge.compute()
    names = {"AUROC": "auroc", "AUPR-IN": "aupr_in", "AUPR-OUT": "aupr_out", "FPR95TPR": "fpr95"}
    wanted = {name: theirs[key] for key, name in names.items()}
    assert ours(inside, outside) == pytest.approx(wanted, abs=1e-9)


def test_the_two_rules_of_aupr_differ_by_hand():
    inside, outside = np.array([3.0, 1.0]), np.array([2.0])
    assert aupr(inside, outside, positive="id") == pytest.approx(0.5 + 0.5 * 2 / 3)
    by_lines = 0.5 * 1 + 0.5 * (0.5 + 2 / 3) / 2  # (0, 1), (.5, 1), (.5, .5), (1, 2/3)
    assert aupr(inside, outside, positive="id", rule="trapezoid") == pytest.approx(by_lines)


GROUPS = {"near": ["dogs"], "both": ["dogs", "cars"]}


def test_each_group_has_its_average_over_sets_per_seed():
    found = summary.aggregate(pd.DataFrame(TWO_SEEDS), GROUPS)
    near = value_of(found, "average of near")
    assert (near["mean"], near["n_ood"]) == (pytest.approx(0.5), 2000)
    assert near["std"] == pytest.approx(np.std([0.4, 0.6], ddof=1))
    both, whole = value_of(found, "average of both"), value_of(found, "average")
    assert (both["mean"], both["std"]) == (whole["mean"], whole["std"])
    assert list(summary.Lookup(found).datasets("test")) == [
        "dogs", "cars", "average", "average of near", "average of both",
    ]  # fmt: skip


def test_tables_show_the_averages_of_groups_and_name_their_sets():
    found = summary.aggregate(pd.DataFrame(ONE_SEED), GROUPS)
    shown = tables.markdown(found, SETTINGS)
    assert "| **Average** | **Average of near** | **Average of both** |" in shown
    assert "n = 2,000" in shown
    heads = [name for name, _ in tables.layout(found).head]
    assert heads[2:5] == ["Average", "Average of near", "Average of both"]
    table = summary.Lookup(found)
    meanings = {"average of near": "The plain mean over dogs."}
    page = own_tables(table, table.first_accuracy(), meanings, {}, {}, {})
    assert [head[0]["text"] for head in page[0]["heads"]][1:4] == heads[2:5]
    assert page[0]["heads"][2][0]["meaning"] == "The plain mean over dogs."


def test_intervals_of_a_group_are_those_of_its_sets(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        f"{name}/test/score": rng.normal(mean, 1, 60).astype(np.float32)
        for name, mean in (("cats", 2), ("dogs", 0), ("cars", -1))
    }
    scores = fake_artifacts.make(tmp_path, "scores", arrays=arrays)
    known = {
        "id": "cats", "test": ["dogs", "cars"], "validation": [], "control": [],
        "threshold": "first", "rows": [{"method": "ce", "variant": "", "seed": 0, "score": "msp"}],
        "groups": [["near", ["dogs"]], ["all", ["cars", "dogs"]]],
    }  # fmt: skip
    rows = list(metrics.interval_rows([metrics.Scored(scores)], known))
    of = {(row["ood_dataset"], row["metric"], row["convention"]): (row["low"], row["high"])
          for row in rows}  # fmt: skip
    for which in (("auroc", ""), ("fpr95", "id"), ("fpr95", "ood")):
        assert of["average of near", *which] == of["dogs", *which]
        assert of["average of all", *which] == of["average", *which]


RAW = {
    "id": "d", "test": ["noise"], "image": {"size": 8},
    "datasets": {"d": {"kind": "digits"}, "noise": {"kind": "noise", "count": 4}},
    "rows": {"ce": {"method": "ce"}},
}  # fmt: skip


def test_groups_hold_test_sets_and_enter_no_spec_until_they_are_used():
    npz = {"kind": "npz", "file": "embedded:fashion_mnist.npz", "train": ["x_train", "y_train"],
           "test": ["x_test", "y_test"]}  # fmt: skip
    raw = RAW | {"id": "f", "datasets": RAW["datasets"] | {"f": npz}}
    plain = load(raw)
    assert not {"groups", "aupr"} & set(metrics_spec(plain, "f", ["ce"]).settings)
    grouped = load(raw | {"metrics": {"groups": {"near": ["noise"]}, "aupr": "trapezoid"}})
    found = metrics_spec(grouped, "f", ["ce"]).settings
    assert (found["groups"], found["aupr"]) == ([["near", ["noise"]]], "trapezoid")
    assert "groups" not in pixel_statistics(grouped).settings  # it averages nothing
    for names, said in ((["nois"], "must name test sets, got 'nois'"), ([], "at least 1 item")):
        with pytest.raises(ConfigError, match=said):
            load(raw | {"metrics": {"groups": {"near": names}}})
