import csv
import json
import statistics

import pandas as pd
import pytest

from bood_tasks import EMBEDDED
from bood_tasks.reporting.tables import footnotes, latex, summary, tables
from bood_tasks.reporting.tables.apart import Differences
from bood_tasks.reporting.tables.frames import read_csv, records
from bood_tasks.scoring import metrics
from tests import fake_artifacts


def rows_of(method, variant, seed, near, far):
    """One detector's rows: `near` and `far` are its FPR95 (ID positive) on two test sets."""
    common = {"method": method, "variant": variant, "seed": seed, "id_dataset": "cats"}
    accuracy = {"score": "", "ood_dataset": "", "metric": "id_acc", "convention": "", "n_ood": 0}
    rows = [
        common | accuracy | {"split": split, "value": value, "n_id": n}
        for split, value, n in (("test", 0.9, 8000), ("validation", 0.8, 1600))
    ]
    sets = (("dogs", "test", near, 2000), ("cars", "test", far, 1000),
            ("blurred", "validation", 0.7, 1600), ("resampled", "control", 0.99, 8000))  # fmt: skip
    for dataset, split, value, n_ood in sets:
        for metric, convention, mean in (
            ("fpr95", "id", value), ("fpr95", "ood", value / 2), ("auroc", "", 1 - value),
            ("aupr_in", "", 0.25), ("aupr_out", "", 0.75),
        ):  # fmt: skip
            rows.append(
                common | {
                    "score": "energy", "ood_dataset": dataset, "split": split, "metric": metric,
                    "convention": convention, "value": mean, "n_ood": n_ood,
                    "n_id": 1600 if split == "validation" else 8000,
                }
            )  # fmt: skip
    return rows


TWO_SEEDS = rows_of("ce", "", 0, 0.40, 0.20) + rows_of("ce", "", 1, 0.60, 0.10)
ONE_SEED = rows_of("ce", "", 0, 0.40, 0.20) + rows_of("bood", "", 0, 0.30, 0.10)
SETTINGS = {
    "seeds": [0],
    "threshold": "first",
    "image": {"size": 32, "fit": "pad"},
    "distances": {"step_size": 0.015, "max_steps": 100, "feature_space": "unit"},
    "images": {"prompt": "An image of the {class}", "words": [], "guidance": 7.5},
}


def averaged(rows):
    return summary.aggregate(pd.DataFrame(rows))


def value_of(found, dataset, metric="fpr95", convention="id", split="test"):
    wanted = (dataset, metric, convention, split)
    return next(
        row for row in records(found)
        if (row["ood_dataset"], row["metric"], row["convention"], row["split"]) == wanted
    )  # fmt: skip


def test_average_is_taken_per_seed_first():
    """Averages .30 and .35 per seed: their deviation, not the mean of the sets' deviations."""
    found = value_of(averaged(TWO_SEEDS), "average")
    assert found["mean"] == pytest.approx(0.325)
    assert found["std"] == pytest.approx(statistics.stdev([0.30, 0.35]))
    assert (found["n_seeds"], found["n_id"], found["n_ood"]) == (2, 8000, 3000)


def test_average_leaves_out_validation_and_control_sets():
    found = averaged(TWO_SEEDS)
    assert set(found.loc[found["ood_dataset"] == "average", "split"]) == {"test"}
    assert value_of(found, "average", "auroc", "")["mean"] == pytest.approx(0.675)


def test_std_has_ddof_one_and_is_empty_for_one_seed():
    assert value_of(averaged(TWO_SEEDS), "dogs")["std"] == pytest.approx(0.2 / 2**0.5)
    assert value_of(averaged(ONE_SEED), "dogs")["std"] is None


def test_accuracies_of_both_splits_are_kept_apart():
    found = averaged(TWO_SEEDS)
    assert value_of(found, "", "id_acc", "")["mean"] == 0.9
    assert value_of(found, "", "id_acc", "", "validation")["mean"] == 0.8


def test_tables_refuse_a_data_set_called_average():
    rows = [row | {"ood_dataset": "average"} for row in ONE_SEED]
    with pytest.raises(ValueError, match="datasets must not be called 'average'"):
        averaged(rows)


def test_markdown_shows_each_figure_in_its_cell():
    text = tables.markdown(averaged(ONE_SEED), SETTINGS)
    line = next(line for line in text.splitlines() if line.startswith("| BOOD"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:] == ["Energy", "30.0 / 70.0", "10.0 / 90.0", "20.0 / 80.0", "90.0"]
    assert "70.0 / 30.0 | 99.0 / 1.0 |" in text  # validation, control
    assert "| 15.0 | 5.0 | 10.0 | 25.0 | 75.0 |" in text  # OOD positive


def test_markdown_shows_the_deviation_of_several_seeds():
    text = tables.markdown(averaged(TWO_SEEDS), SETTINGS | {"seeds": [0, 1]})
    assert "| 50.0 ± 14.1 / 50.0 ± 14.1 | 15.0 ± 7.1 / 85.0 ± 7.1 |" in text
    assert "Mean ± standard deviation (ddof = 1) over 2 runs, seeds 0, 1" in text


def test_the_best_is_bold_and_what_cannot_be_told_from_it_is_marked():
    rows = [
        {"method": "bood", "variant": "", "score": "energy", "than_method": "ce",
         "than_variant": "", "than_score": "energy", "ood_dataset": name, "split": "test",
         "metric": "fpr95", "convention": "id", "difference": -0.1, "low": -0.2, "high": high,
         "apart": int(high < 0)}
        for name, high in (("dogs", -0.01), ("cars", 0.01), ("average", 0.01))
    ]  # fmt: skip
    differences = Differences(pd.DataFrame(rows))
    found = averaged(ONE_SEED)
    text = tables.markdown(found, SETTINGS, differences)
    line = next(x for x in text.splitlines() if x.startswith("| Cross-entropy"))
    cells = [cell.strip() for cell in line.split("|")[3:6]]
    assert cells == ["40.0 / 60.0", "20.0<sup>≈</sup> / 80.0", "30.0<sup>≈</sup> / 70.0"]
    assert "**30.0** / **70.0**" in text
    assert ". ≈: cannot be told apart from the best of its column" in text
    assert "≈" not in tables.markdown(found, SETTINGS)
    shown = latex.tabular(tables.layout(found, differences))
    assert "20.0$^{1}$" in shown
    assert "40.0$^" not in shown
    assert "1: cannot be told apart" in latex.caption(tables.layout(found, differences))


def test_markdown_tables_are_rectangular_and_every_mark_has_its_note():
    text = tables.markdown(averaged(ONE_SEED), SETTINGS)
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1
    marks = {n for part in text.split("<sup>")[1:] for n in part.split("</sup>")[0].split(", ")}
    listed = [line.split(".")[0] for line in text.splitlines() if line[:1].isdigit()]
    assert listed == [str(n) for n in range(1, len(listed) + 1)]
    assert marks <= set(listed)


def test_markdown_escapes_a_pipe_in_a_variant():
    rows = rows_of("bood", "a|b", 0, 0.3, 0.1)
    assert "| BOOD · a\\|b | Energy |" in tables.markdown(averaged(rows), SETTINGS)


def test_footnotes_say_every_setting_once():
    found = footnotes.footnotes(SETTINGS | {"detector": {"ood_weight": 2.5, "new_key": 7}})
    assert "strictest threshold that accepts at least 95 % of ID" in found["metrics"]
    assert found["distances"] == (
        "Distances: unit-length features; step size α = 0.015; at most K = 100 steps"
    )
    assert found["images"] == "Decoding: prompt “An image of the {class}”; guidance 7.5"
    assert found["detector"].endswith("β = 2.5 (0 for cross-entropy); new key 7")


def test_footnotes_are_words_and_no_settings_of_python():
    given = {
        "vim": {"components": None},
        "dice": {"sparsity": 90},
        "odd": {"on": True, "off": False},
    }
    found = footnotes.footnotes(SETTINGS | given | {"odin": {"magnitudes": [0.0, 0.01]}})
    assert "vim" not in found
    assert found["dice"] == "DICE: sparsity 90"
    assert found["odd"] == "Odd: on"
    assert found["odin"] == "ODIN: magnitudes 0, 0.01"


def test_footnotes_leave_out_settings_that_the_perturbation_does_not_read():
    section = {"perturb": "none", "extra_steps": 2, "sigma": 0.03, "shift": 0.5}
    found = footnotes.footnotes(SETTINGS | {"ood_features": section})
    assert found["ood_features"] == "Outlier features: not perturbed"


def test_footnotes_name_the_rows_that_differ():
    found = footnotes.footnotes(SETTINGS | {"rows": {"wide": {"distances": {"step_size": 1.0}}}})
    assert found["rows"] == "Rows that differ: wide: distances.step_size = 1"


def test_summary_csv_can_be_read_back(tmp_path):
    header = ",".join(metrics.COLUMNS)
    lines = [",".join(str(row[key]) for key in metrics.COLUMNS) for row in TWO_SEEDS]
    given = fake_artifacts.make(
        tmp_path, "metrics",
        files={
            "metrics.csv": "\n".join([header, *lines, ""]),
            "differences.csv": ",".join(metrics.DIFFERENCES) + "\n",
        },
    )  # fmt: skip
    notes = {"notes": SETTINGS | {"seeds": [0, 1]}}
    made = fake_artifacts.run_stage(tmp_path, tables.main, "tables", notes, {"metrics": given})
    pd.testing.assert_frame_equal(
        read_csv(made.folder / "summary.csv"), averaged(TWO_SEEDS), check_dtype=False
    )
    assert (made.folder / "summary.md").read_text().startswith("**ID cats: FPR95")


PUBLISHED = EMBEDDED / "published"
KEY = json.loads((PUBLISHED / "key.json").read_text(encoding="utf-8"))


def published_rows():
    """Every published figure that metrics.csv can hold."""
    for path in sorted(PUBLISHED.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle):
                if "metric" in row and row["kind"] != "delta":
                    yield path.name, row


def rules_for(file, row):
    return [
        rule for rule in KEY["rows"]
        if file in rule["files"] and rule["printed"].items() <= row.items()
    ]  # fmt: skip


def test_key_finds_exactly_one_rule_for_every_published_row():
    for file, row in published_rows():
        assert len(rules_for(file, row)) == 1, (file, row)
        assert set(rules_for(file, row)[0]["columns"]) == {"method", "variant", "score"}


def test_key_calls_the_average_as_the_summary_does():
    assert KEY["ood_dataset"]["Average"] == summary.AVERAGE


def test_key_knows_every_published_name():
    for file, row in published_rows():
        paper = file.split("_")[0]
        profiles = [KEY["metric"][paper]] if paper == "bood" else KEY["metric"][paper].values()
        for profile in profiles:
            assert set(profile[row["metric"]]) == {"metric", "convention"}
        assert row["id_dataset"] in KEY["id_dataset"]
        assert row["metric"] == "id_acc" or row["dataset"] in KEY["ood_dataset"]
        assert 0 <= float(row["value"]) / KEY["value"]["divide_by"] <= 1


def test_key_exchanges_goe_aupr_only_when_corrected():
    """GOE printed AUPR with OOD positive under AUPR-IN."""
    profiles = KEY["metric"]["goe"]
    assert profiles["corrected"]["aupr_in"]["metric"] == "aupr_out"
    assert profiles["as_printed"]["aupr_in"]["metric"] == "aupr_in"
    assert profiles["corrected"]["fpr95"]["convention"] == "ood"
    assert KEY["metric"]["bood"]["fpr95"]["convention"] == "id"
