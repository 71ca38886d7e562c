"""OpenOOD's leaderboards: as published, and ours beside them where the test sets are theirs."""

import re

import pandas as pd
import pytest

from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.printed import published_key, read_published
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.config.load import effective_config
from bood_tasks.reporting.report import leaderboards
from bood_tasks.reporting.tables.leaderboard import leaderboard
from bood_tasks.reporting.tables.summary import Lookup, aggregate
from tests.config.test_config import ROOT

KEY = published_key()["leaderboards"]
ENTRIES = KEY["id_dataset"]
GROUPS = {"near": ["cifar100", "tin"], "far": ["mnist", "svhn", "texture", "places365"]}


def lookup(values: dict[str, float], score="energy", variant="") -> Lookup:
    common = {"method": "ce", "variant": variant, "seed": 0, "id_dataset": "cifar10",
              "split": "test", "convention": "", "n_id": 90}  # fmt: skip
    rows = [common | {"score": "", "ood_dataset": "", "metric": "id_acc", "value": 0.9, "n_ood": 0}]
    rows += [
        common | {"score": score, "ood_dataset": name, "metric": "auroc", "value": x, "n_ood": 9}
        for name, x in values.items()
    ]
    return Lookup(aggregate(pd.DataFrame(rows), GROUPS))


OURS = {"cifar100": 0.8, "tin": 0.9, "mnist": 0.9, "svhn": 0.9, "texture": 1.0, "places365": 0.8}


@pytest.mark.parametrize("name", ENTRIES)
def test_the_files_hold_what_their_readme_says(name):
    rows = read_published(ENTRIES[name]["file"])
    readme = (ROOT / "bood_tasks/embedded/published/README.md").read_text()
    assert f"| `{ENTRIES[name]['file']}` | {len(rows)} |" in readme
    for row in rows:
        for column in ("near_auroc", "far_auroc"):
            assert 30 < float(row[column]) < 100, row
        for column in ("near_std", "far_std", "id_acc", "id_acc_std"):
            assert re.fullmatch(r"(\d+\.\d+)?", row[column]), row
        assert row["outlier_data"] in ("Yes", "No")
    names = ("training", "postprocessor", "network", "description")
    assert len({tuple(row[name] for name in names) for row in rows}) == len(rows)
    known = {(row["training"], row["postprocessor"], row["network"]) for row in rows}
    for score in ("MSP", "ODIN", "MDS", "EBO", "KNN", "VIM", "ReAct", "DICE"):
        assert ("CrossEntropy", score, ENTRIES[name]["network"]) in known


def test_the_key_names_what_is_ours_and_the_presets_test_its_groups():
    assert set(KEY["training"].values()) <= set(METHODS)
    ours = KEY["postprocessor"]
    assert sorted(ours.values()) == sorted(
        name for name, entry in SCORES.items() if entry.module or name == "godin"
    )
    printed = {
        row["postprocessor"] for entry in ENTRIES.values() for row in read_published(entry["file"])
    }
    assert set(ours) <= printed
    for name, entry in ENTRIES.items():
        config = effective_config(
            [ROOT / "config.yaml", ROOT / f"workflow/presets/openood-{name}.yaml"]
        )
        assert config.metrics.groups == {group: entry[group] for group in ("near", "far")}
        assert config.id == name
        assert name in CATALOGUE or config.datasets[name].kind == "imglist"


def test_ours_stand_beside_the_row_of_the_same_training_and_score():
    shown = leaderboard(lookup(OURS), "cifar10", GROUPS)
    texts = [[cell.text for cell in line] for line in shown.lines]
    line = next(line for line in texts if line[:2] == ["CrossEntropy", "EBO"])
    assert line[2:] == [
        "85.00", "87.58 ± 0.46", "90.00", "91.21 ± 0.92", "90.00", "95.06 ± 0.30",
        "ResNet18, 100 epochs",
    ]  # fmt: skip
    assert sum(line[2] != "–" for line in texts) == 1
    near = [float(line[3].split(" ")[0]) for line in texts]
    assert near == sorted(near, reverse=True)
    assert texts[0][:2] == ["RotPred + PixMix", "RotPred"]
    assert ["OE (outlier data)", "MSP"] in [line[:2] for line in texts]


def test_ours_that_it_has_not_stand_below():
    shown = leaderboard(lookup(OURS, "energy", "wide"), "cifar10", GROUPS)
    assert [cell.text for cell in shown.lines[-1]][2:4] == ["85.00", "–"]
    assert shown.lines[-1][-1].text == "this run"
    assert len(shown.lines) == 62


def test_other_test_sets_are_not_set_beside_it():
    table = lookup(OURS)
    assert leaderboard(table, "cifar10", {}) is None
    assert leaderboard(table, "cifar10", GROUPS | {"near": ["tin"]}) is None
    assert leaderboard(table, "cats", GROUPS) is None
    data = {"mine": {"kind": "cifar10"}, "cifar10": {"kind": "imglist"}}
    for name in data:  # a published set by its kind, lists by their name
        found = leaderboards(table, {"id": name, "datasets": data, "metrics": {"groups": GROUPS}})
        assert found[0]["table"].title == "OpenOOD v1.5's leaderboard of CIFAR-10"
