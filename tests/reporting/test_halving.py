"""What successive halving says: who goes on, how kinds are weighed, and what cannot be told."""

import csv

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import spearmanr

from bood_tasks.config.load import effective_config
from bood_tasks.reporting import halving
from bood_tasks.reporting.figures import choice
from tests import fake_artifacts

SETS = {"corrupted": "corrupted", "left0": "held-out", "left1": "held-out"}
KEYS = ("method", "variant", "score", "metric", "convention")


def measured(of):
    """Rows of metrics.csv: {candidate: {set: AUROC of each seed}}; FPR95 is what is left to 1."""
    return pd.DataFrame(
        {
            "method": "bood", "variant": label, "score": "energy", "id_dataset": "cats",
            "ood_dataset": name, "split": "validation", "seed": seed, "metric": metric,
            "convention": convention, "value": figure, "n_id": 9, "n_ood": 9,
        }
        for label, sets in of.items()
        for name, seeds in sets.items()
        for seed, value in enumerate(seeds)
        for metric, convention, figure in (("auroc", "", value), ("fpr95", "id", 1 - value))
    )  # fmt: skip


ONE = measured(
    {
        "": {"corrupted": [0.9], "left0": [0.5], "left1": [0.5]},
        "a=1": {"corrupted": [0.6], "left0": [0.9], "left1": [0.8]},
        "a=2": {"corrupted": [0.8], "left0": [0.8], "left1": [0.7]},
    }
)


def test_every_kind_has_the_same_weight_however_many_sets_it_has():
    rung = halving.ranked(ONE, SETS, "auroc")
    means = {halving.label_of(x): x.validation["auroc"][0] for x in rung.ordered}
    assert means == pytest.approx({"a=2": 0.775, "a=1": 0.725, "": 0.7})
    assert rung.labels() == ["a=2", "a=1", ""]
    alone = {kind: halving.label_of(found[0]) for kind, found in rung.of_kind.items()}
    assert alone == {"corrupted": "", "held-out": "a=1"}


def test_by_fpr95_the_smallest_is_the_best():
    assert halving.ranked(ONE, SETS, "fpr95").labels()[0] == "a=2"


def test_fixed_candidates_go_on_however_bad_they_are():
    order = [f"a={n}" for n in range(9)] + ["", "paper"]
    assert halving.survivors(order, ["", "paper"], 3) == ["", "paper", "a=0", "a=1", "a=2"]
    assert halving.survivors(order, ["", "paper"], 0) == []


def rung_settings(**more):
    known = {"": {}, "a=1": {"detector.ood_weight": 1}, "a=2": {"detector.ood_weight": 2}}
    return {
        "rung": 0, "rungs": 1, "share": 1.0, "by": "auroc", "score": "energy",
        "sets": [list(item) for item in SETS.items()],
        "row": {"name": "bood", "method": "bood", "variant": "", "outliers": {"images": 1},
                "set": {}, "scores": ["energy"]},
        "fixed": [""],
        "candidates": [
            {"label": x, "settings": s, "outliers": {"images": 1},
             "set": {"detector": {"ood_weight": s["detector.ood_weight"]}} if s else {}}
            for x, s in known.items()
        ],
        "own": {"detector.ood_weight": 2.5}, "possible": 2, "drawn": 2, "going_on": 0,
        "texts": False, "only": ["ce", "bood"], "at_hand": [], **more,
    }  # fmt: skip


def run(root, tables, settings, before=None, statistics=()):
    results = [
        fake_artifacts.make(
            root, "metrics", files={"metrics.csv": table.to_csv(index=False)},
            settings={"table": n, "rung": settings["rung"]}, rows={"metrics": len(table)},
        )
        for n, table in enumerate(tables)
    ]  # fmt: skip
    inputs = {"metrics": results} | ({"before": before} if before else {})
    if statistics:
        inputs["statistics"] = list(statistics)
    return fake_artifacts.run_stage(root, choice.main, "choice", settings, inputs)


def test_the_stage_leaves_what_it_chose_with_every_figure(tmp_path):
    left = ONE["ood_dataset"] == "corrupted"
    done = run(tmp_path, [ONE[left], ONE[~left]], rung_settings())
    told = done.json("choice.json")
    assert (told["chosen"], told["settings"]) == ("a=2", {"detector.ood_weight": 2})
    assert told["alone"] == {"corrupted": "", "held-out": "a=1"}
    assert told["going_on"] == []
    assert not any("biased" in line for line in told["sentences"])
    with (done.folder / "choice.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    best = {r["validation"]: float(r["mean"]) for r in rows
            if r["candidate"] == "a=2" and r["metric"] == "auroc"}  # fmt: skip
    assert best == pytest.approx({"mean": 0.775, "corrupted": 0.8, "held-out": 0.75})
    assert {item["file"] for item in done.json("captions.json")["figures"]} == {
        "choice.png", "rungs.png"
    }  # fmt: skip


def test_the_overlay_adds_the_chosen_row_to_the_configuration(tmp_path, monkeypatch):
    done = run(tmp_path, [ONE], rung_settings())
    path = done.folder / "chosen.yaml"
    assert yaml.safe_load(path.read_text())["only"] == {"rows": ["ce", "bood", "bood-chosen"]}
    monkeypatch.chdir(tmp_path)
    from bood_tasks.config.files import DEFAULT

    config = effective_config([DEFAULT, path])
    assert list(config.rows) == ["ce", "bood", "bood-chosen"]
    row = config.for_row("bood-chosen")
    assert row.detector.ood_weight == 2
    assert config.rows["bood-chosen"].variant == "chosen"


def test_a_rung_goes_on_from_the_one_before(tmp_path):
    more = {"rungs": 2, "share": 0.5, "going_on": 1, "at_hand": ["language_model"]}
    first = run(tmp_path, [ONE], rung_settings(**more))
    assert halving.biased(["language_model"]) in first.json("choice.json")["sentences"]
    assert first.json("choice.json")["going_on"] == ["", "a=2"]
    assert first.json("choice.json")["sentences"][0].startswith("So far chosen")
    known = [x for x in rung_settings()["candidates"] if x["label"] != "a=1"]
    left = ONE[ONE["variant"] != "a=1"]
    last = run(tmp_path, [left], rung_settings(rung=1, rungs=2, candidates=known), before=first)
    rungs = last.json("choice.json")["rungs"]
    assert [[x["label"] for x in rung["candidates"]] for rung in rungs] == [
        ["a=2", "a=1", ""], ["a=2", ""]
    ]  # fmt: skip


def test_the_curve_tells_the_fixed_candidates_apart():
    table = ONE.replace({"variant": {"a=1": "paper"}})
    known = [{"label": x, "settings": {}} for x in ("", "paper", "a=2")]
    settings = rung_settings(fixed=["", "paper"], candidates=known)
    rungs = [choice.described(halving.ranked(table, SETS, "auroc"), settings, [])]
    for best, named in [
        ("a=2", ["as it is", "chosen", "paper"]),
        ("paper", ["as it is", "paper, chosen"]),
    ]:
        (ax,) = choice.draw_rungs(rungs, settings, best).axes
        lines = {bar.get_label(): bar.lines[0] for bar in ax.containers}
        assert sorted(label for label in lines if not label.startswith("_")) == named
        looks = {(line.get_color(), line.get_marker()) for line in lines.values()}
        places = {tuple(line.get_xdata()) for line in lines.values()}
        assert len(looks) == len(places) == 3


def said(of, **more):
    table = measured(of)
    rung = halving.ranked(table, {"c": "corrupted"}, "auroc")
    settings = rung_settings(**more)
    rungs = [choice.described(rung, settings, [])]
    return " ".join(halving.sentences(rungs, rung, settings))


def test_a_choice_that_cannot_be_told_from_the_row_as_it_is_says_so():
    close = {"": {"c": [0.8, 0.9, 0.7]}, "a=1": {"c": [0.82, 0.89, 0.72]}, "a=2": {"c": [0.1] * 3}}
    text = said(close)
    assert "Row bood as it is has AUROC 80.0 ± 10.0: the choice cannot be told from it" in text


def test_a_choice_that_is_better_than_the_row_as_it_is_says_by_how_much():
    far = {"": {"c": [0.50, 0.51, 0.52]}, "a=1": {"c": [0.80, 0.82, 0.81]}, "a=2": {"c": [0.1] * 3}}
    assert "the choice is better by 30.0 points, more than chance" in said(far)


def test_one_seed_tells_nothing_apart():
    text = said({"": {"c": [0.5]}, "a=1": {"c": [0.8]}, "a=2": {"c": [0.1]}})
    assert "30.0 points away: one seed cannot tell the choice from it" in text


def test_the_row_as_it_is_may_be_what_is_chosen():
    text = said({"": {"c": [0.9]}, "a=1": {"c": [0.8]}, "a=2": {"c": [0.1]}})
    assert "row bood as it is, AUROC 90.0 there" in text
    assert "cannot tell the choice from" not in text


def test_a_value_at_the_edge_of_what_was_tried_is_told():
    tried = {"a.b": [1, 2, 4], "a.c": [1, 2]}
    assert len(halving.at_the_edge({"a.b": 4, "a.c": 2}, tried)) == 1
    assert halving.at_the_edge({"a.b": 2}, tried) == []
    text = said({"": {"c": [0.5]}, "a=1": {"c": [0.8]}, "a=2": {"c": [0.1]}})
    assert "detector.ood_weight = 1 is the smallest value that was tried" in text


def test_what_short_trainings_say_of_long_ones_is_their_rank_correlation():
    short, long = np.random.default_rng(0).random((2, 6))
    one, other = ({f"a={n}": v for n, v in enumerate(side)} for side in (short, long))
    assert halving.foretold(one | {"gone": 1.0}, other) == pytest.approx(
        spearmanr(short, long).statistic
    )
    assert halving.foretold({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0}) is None


def test_rules_without_training_are_told_beside_what_validation_chose(tmp_path):
    looked = [
        fake_artifacts.make(
            tmp_path, "outlier_statistics", settings={"n": n},
            files={"outlier_statistics.json": {
                "confidence": {"outliers": unsure, "noise": 0.6},
                "separation": {"outliers": apart, "noise": 1.0},
            }},
        )
        for n, (unsure, apart) in enumerate([(0.9, 0.5), (0.6, 0.9), (0.5, 0.97)])
    ]  # fmt: skip
    rules = {"setting": "detector.ood_weight", "values": [1, 2, 2.5], "quantile": 0.95}
    done = run(tmp_path, [ONE], rung_settings(rules=rules), statistics=looked)
    told = done.json("choice.json")
    assert (told["rules"]["confidence"], told["rules"]["separation"]) == (2, 2.5)
    assert "would be 2 by confidence" in told["sentences"][-1]
    assert "validation has 2." in told["sentences"][-1]
    assert (done.folder / "rules.png").is_file()
