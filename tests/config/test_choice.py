"""The candidates of an automatic choice: which they are, what each rung gives them, what is
refused."""

from pathlib import Path

import pytest
import yaml

from bood_tasks.config.candidates import OWN, candidates, row_of
from bood_tasks.config.fields import merged
from bood_tasks.config.load import ConfigError, load

ROOT = Path(__file__).parents[2]
BASE = yaml.safe_load((ROOT / "config.yaml").read_text())
DEMO = yaml.safe_load((ROOT / "workflow/presets/demo.yaml").read_text())
WEIGHTS = {"detector.ood_weight": [0.5, 2.5, 5]}


def config(overlay=None, **choice):
    whole = merged(merged(BASE, DEMO), {"choice": {"settings": WEIGHTS} | choice})
    return load(merged(whole, overlay or {}))


def found(overlay=None, **choice):
    return candidates(config(overlay, **choice))


def test_every_combination_is_a_candidate_and_the_row_s_own_stands_once():
    settings = WEIGHTS | {"ood_features.extra_steps": [0, 2]}
    every = found(settings=settings).every
    assert len(every) == 6  # 3 x 2, one of which is the row as it is
    assert next(iter(every)) == OWN
    row = every["ood_weight=5, extra_steps=0"].row
    assert row.set == {"detector": {"ood_weight": 5}, "ood_features": {"extra_steps": 0}}


def test_references_stay_beside_the_row_and_are_no_combinations():
    these = found(references={"paper": {"distances": {"step_size": 0.015}}})
    assert these.fixed == (OWN, "paper")
    assert sorted(these.drawn) == ["ood_weight=0.5", "ood_weight=5"]


def test_candidates_are_drawn_alike_and_a_smaller_number_is_the_beginning_of_a_larger():
    settings = WEIGHTS | {"ood_features.extra_steps": [0, 1, 2, 3, 5]}
    few, many = (found(settings=settings, candidates=n).drawn for n in (4, 9))
    assert few == many[:4]
    assert list(many) != sorted(many)


def test_outliers_are_a_setting_too():
    these = found(settings={"outliers": ["noise", {"images": 1, "noise": 3}, "images"]})
    rows = {label: these.every[label].row.outliers for label in these.drawn}
    assert rows == {
        "outliers=noise": {"noise": 1.0}, "outliers=images:1+noise:3": {"images": 1.0, "noise": 3.0}
    }  # fmt: skip


def test_settings_of_one_last_name_are_told_apart():
    these = found(settings={"ood_features.sigma": [0.1], "ood_features.dreamood.sigma": [0.2]})
    assert these.drawn == ("ood_features.sigma=0.1, ood_features.dreamood.sigma=0.2",)


def test_rungs_have_fewer_candidates_and_longer_trainings():
    these = found(rungs=3, eta=3)
    assert [these.left(n, 17) for n in range(3)] == [17, 6, 2]
    assert [these.left(n, 1) for n in range(3)] == [1, 1, 1]
    assert [round(these.share(n), 3) for n in range(3)] == [0.111, 0.333, 1.0]


def test_a_rung_shortens_trainings_and_takes_whole_shards():
    these = found({"images": {"per_class": 100, "shard": 25}, "detector": {"epochs": 4}}, eta=3)
    rows = [these.at_rung([OWN], n, None).for_row(row_of(OWN)) for n in range(3)]
    assert [row.detector.epochs for row in rows] == [1, 2, 4]
    assert [row.images.per_class for row in rows] == [25, 50, 100]


def test_a_candidate_s_own_number_of_outliers_is_shortened_by_the_same_share():
    these = found({"images": {"shard": 10}}, settings={"images.per_class": [50, 200]}, eta=5)
    counts = {
        label: these.at_rung([label], 1, None).for_row(row_of(label)).images.per_class
        for label in these.every
    }
    assert counts == {OWN: 20, "per_class=50": 10, "per_class=200": 40}


def test_the_last_rung_alone_has_all_seeds_and_no_rung_has_a_test_set():
    these = found(seeds=[0, 1, 2], rungs=2)
    seen = [these.at_rung([OWN], n, fold) for n in (0, 1) for fold in (None, 0, 1)]
    assert [item.seeds for item in seen] == [[0]] * 3 + [[0, 1, 2]] * 3
    assert all(item.test == item.control == [] for item in seen)
    assert [item.validation for item in seen[:3]] == [
        ["corrupted"], ["fashion8+fold0+left-out"], ["fashion8+fold1+left-out"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("validation", "views"),
    [(["corrupted"], [None]), (["held-out"], [0, 1]), (["held-out", "corrupted"], [None, 0, 1])],
)
def test_each_kind_of_outliers_has_the_trainings_that_it_needs(validation, views):
    assert found(validation=validation).views() == views


def test_a_row_that_an_overlay_repeats_is_read_by_one_score_alone():
    these = found({"rows": {"bood": {"scores": ["msp", "energy"]}}}, score="energy")
    assert these.at_rung([OWN], 0, None).rows[row_of(OWN)].scores == ["energy"]


@pytest.mark.parametrize(
    ("choice", "overlay", "message"),
    [
        ({"row": "boud"}, {}, r"choice\.row must name a row, got 'boud'; did you mean 'bood'"),
        (
            {"settings": {"detector.ood_wait": [1]}}, {},
            r"choice\.settings\.detector\.ood_wait must name a setting.* mean 'ood_weight'",
        ),
        (
            {"settings": {"metrics.threshold": [1]}}, {},
            r"choice\.settings\.metrics\.threshold must be in a section that a row may change",
        ),
        (
            {"settings": {"detector.ood_weight": [-1]}}, {},
            r"choice\.settings\.detector\.ood_weight must be .*-1.*\(candidate ood_weight=-1\)",
        ),
        (
            {"references": {"paper": {"distances": {"step_size": 0}}}}, {},
            r"choice\.references\.paper\.distances\.step_size must be greater than 0",
        ),
        ({"settings": {"outliers": ["nois"]}}, {}, r"choice\.settings\.outliers .*mean 'noise'"),
        ({"settings": {"outliers": ["digits"]}}, {}, r"must not name a test set, got 'digits'"),
        (
            {"settings": {"outliers": [{"noise": "x"}]}}, {}, r"choice\.settings\.outliers",
        ),
        ({"settings": {"outliers": [None]}}, {}, r"must name sources or none, got null"),
        (
            {"settings": {"ood_features.dreamood": [{}]}}, {},
            r"choice\.settings\.ood_features\.dreamood must name one setting, got a section",
        ),
        ({"settings": {"detector.ood_weight": [2.5]}}, {}, r"another value than the row's own"),
        ({"settings": {"detector.ood_weight": [5, 5]}}, {}, r"each value once, got ood_weight=5"),
        ({"validation": ["near"]}, {}, r"must not name a test set, got 'near'"),
        ({"validation": ["noise"]}, {}, r"must name a set of `validation`, corrupted or held-out"),
        (
            {"validation": ["copy"]},
            {"validation": ["copy"], "datasets": {"copy": BASE["datasets"]["textures"]}},
            r"must not name the data of a test set, got 'copy', which are those of 'textures'",
        ),
        (
            {}, {"datasets": {"fashion8": {"validation_per_class": 0}}, "validation": [],
                 "control": []},
            r"holds nothing out for validation",
        ),
        ({"folds": 9}, {}, r"choice\.folds must leave two classes of 8 in the training, got 9"),
        ({"score": "knm"}, {}, r"choice\.score must be a score of row bood, got 'knm'"),
        ({"seeds": [1, 1]}, {}, r"choice seeds must differ|choice\.seeds must differ"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_is_refused_by_name(choice, overlay, message):
    with pytest.raises(ConfigError, match=message):
        config(overlay, **choice)
