"""GOE's tables and figures: cells by hand, both readings of its AUPR columns, intervals."""

import csv
import math

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from bood_tasks import PACKAGE
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.reporting.figures import goe_epochs, goe_gallery, goe_sweeps
from bood_tasks.reporting.figures.curves import interval
from bood_tasks.reporting.figures.goe_sweeps import averages
from bood_tasks.reporting.tables import goe_tables
from bood_tasks.reporting.tables.frames import read_csv, records
from bood_tasks.reporting.tables.goe_tables import compare_with_goe, each_set, goe_layout
from bood_tasks.reporting.tables.layout import markdown
from bood_tasks.reporting.tables.published import KEY, read_published
from bood_tasks.reporting.tables.summary import aggregate
from bood_tasks.scoring import metrics
from bood_tasks.scoring.epochs import COLUMNS as EPOCH_COLUMNS
from tests import fake_artifacts

ROOT = PACKAGE.parent
OUTLIERS = {"ce|": "none", "oe|": "generated", "oe|noise": "noise", "oe|mixed": "mixed"}
FIGURES = (("auroc", ""), ("aupr_in", ""), ("aupr_out", ""), ("fpr95", "ood"), ("fpr95", "id"))
NOTES = {"seeds": [0, 1], "threshold": "first", "gan_images": {"scale": 50, "meaning": "std"}}


def row(method, variant, score, seed, name, figure, value):
    metric, convention = figure
    return {
        "method": method, "variant": variant, "score": score, "id_dataset": "cats",
        "ood_dataset": name, "split": "test", "seed": seed, "metric": metric,
        "convention": convention, "value": value, "n_id": 10, "n_ood": 20,
    }  # fmt: skip


def value_of(place, score, seed, name, figure):
    """A number that tells all of them apart."""
    return (
        0.5 + 0.04 * place + 0.02 * (score == "energy") + 0.01 * seed
        + 0.1 * (name == "far") + 0.001 * FIGURES.index(figure)
    )  # fmt: skip


def rows(labels=(("ce", ""), ("oe", ""), ("oe", "noise"), ("oe", "mixed"))):
    found = []
    for place, (method, variant) in enumerate(labels):
        for seed in (0, 1):
            accuracy = row(method, variant, "", seed, "", ("id_acc", ""), 0.9)
            found.append(accuracy)
            found += [
                row(method, variant, score, seed, name, figure,
                    value_of(place, score, seed, name, figure))
                for score in ("msp", "energy") for name in ("near", "far") for figure in FIGURES
            ]  # fmt: skip
    return found


def averaged(found):
    return aggregate(pd.DataFrame(found))


def find(cells, outliers, score, column):
    (found,) = [
        cell for cell in cells
        if (cell["outliers"], cell["score"], cell["column"]) == (outliers, score, column)
    ]  # fmt: skip
    return found


def test_a_cell_is_the_mean_over_sets_then_over_seeds():
    cells = compare_with_goe(averaged(rows()), "1", OUTLIERS, "corrected")
    cell = find(cells, "Generated", "Energy", "AUROC ↑")
    figure = ("auroc", "")
    by_seed = [
        np.mean([value_of(1, "energy", seed, name, figure) for name in ("near", "far")])
        for seed in (0, 1)
    ]
    assert cell["mean"] == pytest.approx(np.mean(by_seed))
    assert cell["std"] == pytest.approx(np.std(by_seed, ddof=1))
    assert cell["published"] == pytest.approx(0.9551)
    assert cell["delta"] == pytest.approx(cell["mean"] - 0.9551)
    assert not cell["comparable"]  # cats are not CIFAR-10


def test_the_printed_aupr_columns_are_exchanged_in_the_corrected_table_alone():
    """Generated, MSP on CIFAR-10: printed AUPR-IN 94.20, AUPR-OUT 96.54."""
    ours = averaged(rows())
    for profile, inside, outside in (("corrected", 0.9654, 0.942), ("as_printed", 0.942, 0.9654)):
        cells = compare_with_goe(ours, "1", OUTLIERS, profile)
        assert find(cells, "Generated", "MSP", "AUPR-IN ↑")["published"] == pytest.approx(inside)
        assert find(cells, "Generated", "MSP", "AUPR-OUT ↑")["published"] == pytest.approx(outside)
        assert find(cells, "Generated", "MSP", "FPR95 ↓")["published"] == pytest.approx(0.1831)
        own = find(cells, "Generated", "MSP", "AUPR-IN ↑")
        assert own["metric"] == "aupr_in"


def test_fpr95_has_ood_positive():
    cell = find(
        compare_with_goe(averaged(rows()), "1", OUTLIERS, "corrected"), "none", "MSP", "FPR95 ↓"
    )
    expected = np.mean([value_of(0, "msp", seed, name, ("fpr95", "ood"))
                        for seed in (0, 1) for name in ("near", "far")])  # fmt: skip
    assert cell["mean"] == pytest.approx(expected)


def test_rows_that_one_side_lacks_say_why_and_stand_below():
    cells = compare_with_goe(averaged(rows()), "1", OUTLIERS, "corrected")
    absent = find(cells, "Tiny300k", "MSP", "AUROC ↑")
    assert (absent["mean"], absent["published"]) == (None, pytest.approx(0.9856))
    assert absent["missing"] == "no row with Tiny300k outliers in this run"
    own = find(cells, "mixed", "MSP", "AUROC ↑")
    assert (own["published"], own["published_missing"]) == (None, "not a row of the paper's table")
    order = list(dict.fromkeys(cell["outliers"] for cell in cells))
    assert order == ["none", "Noise", "Generated", "Tiny300k", "mixed"]


@pytest.mark.parametrize(
    ("table", "own_id", "paper_id", "published"),
    [("1", "cifar100", "CIFAR 100", 0.7871), ("1", "imagenet1k", "ImageNet 1K", 0.8248),
     ("2", "newsgroups20", "20 NewsGroups", 0.8206), ("3", "imagenet1k", "ImageNet 1K", 0.7048)],
)  # fmt: skip
def test_our_data_set_chooses_the_printed_block(table, own_id, paper_id, published):
    ours = averaged([each | {"id_dataset": own_id} for each in rows()])
    cell = find(compare_with_goe(ours, table, OUTLIERS, "corrected"), "none", "MSP", "AUROC ↑")
    assert cell["published_id_dataset"] == paper_id
    assert cell["published"] == pytest.approx(published)
    assert cell["comparable"]


PRESETS = {
    "CIFAR 10": "goe-cifar10", "CIFAR 100": "goe-cifar100", "20 NewsGroups": "goe-newsgroups",
    "ImageNet 1K": {"1": "goe-imagenet-vit", "3": "goe-imagenet-resnet101"},
}  # fmt: skip


@pytest.mark.parametrize("table", ["1", "2", "3"])
def test_the_key_names_rows_that_the_presets_have(table):
    """Each printed row's rule leads to a row of the preset of its data set, with that score."""
    for printed in read_published(f"goe_table{table}.csv"):
        name = PRESETS[printed["id_dataset"]]
        name = name if isinstance(name, str) else name[table]
        rule = next(
            rule for rule in KEY["rows"]
            if f"goe_table{table}.csv" in rule["files"]
            and all(printed[key] == value for key, value in rule["printed"].items())
        )  # fmt: skip
        wanted = rule["columns"]
        given = yaml.safe_load((ROOT / f"workflow/presets/{name}.yaml").read_text())
        labels = [
            (row["method"], row.get("variant", ""))
            for row in (given["rows"][row] for row in given["only"]["rows"])
            if wanted["score"] in row.get("scores", METHODS[row["method"]].scores)
        ]
        assert (wanted["method"], wanted["variant"]) in labels, (name, printed)


def test_controls_stand_in_the_table_and_win_nothing():
    control = [row("text_statistics", "", score, 0, name, figure, 0.999)
               for score in ("best", "length") for name in ("near", "far")
               for figure in FIGURES]  # fmt: skip
    cells = compare_with_goe(averaged(rows() + control), "2", OUTLIERS, "corrected")
    names = {cell["score"] for cell in cells if cell["outliers"] == "control"}
    assert names == {"best of five", "length before the cut"}
    text = markdown(goe_layout(cells, ["a choice"]))
    assert "99.90" in text
    assert "**99.90**" not in text
    assert "a choice." in text
    assert "Text statistics" in text


def test_values_that_print_alike_are_all_best():
    """As in BOOD's tables: a deviation, or a digit that nobody sees, decides nothing."""
    found = [each for each in rows() if each["score"] in ("", "msp")]
    for each in found:
        if each["metric"] == "auroc":
            each["value"] = 0.9 + (each["method"] == "oe") * (each["seed"] - 0.5) / 100
    text = markdown(goe_layout(compare_with_goe(averaged(found), "1", OUTLIERS, "corrected"), []))
    assert "| **90.00 ± 0.00** |" in text
    assert "| **90.00 ± 0.71** |" in text


def test_stage_writes_both_tables_and_each_set(tmp_path):
    made = artifact_of(tmp_path, rows())
    settings = {"table": "1", "outliers": OUTLIERS, "notes": NOTES}
    found = fake_artifacts.run_stage(
        tmp_path, goe_tables.main, "goe_tables", settings, {"metrics": made}
    )
    text = (found.folder / "goe_table1.md").read_text()
    assert "corrected" in text
    assert "as printed" in text
    assert "near (n = 20)" in text
    assert r"\begin{tabular}" in (found.folder / "goe_table1.tex").read_text()
    with (found.folder / "goe_table1.csv").open(newline="") as handle:
        cells = list(csv.DictReader(handle))
    assert {cell["profile"] for cell in cells} == {"corrected", "as_printed"}
    cells = records(read_csv(found.folder / "goe_table1.csv"))
    assert [cell for cell in cells if cell["profile"] == "corrected"] == compare_with_goe(
        averaged(rows()), "1", OUTLIERS, "corrected"
    )
    assert len(markdown(each_set(averaged(rows()), OUTLIERS)).splitlines()) > 8


def artifact_of(root, found):
    lines = [",".join(metrics.COLUMNS)]
    lines += [",".join(str(each[key]) for key in metrics.COLUMNS) for each in found]
    return fake_artifacts.make(root, "metrics", files={"metrics.csv": "\n".join(lines) + "\n"})


def test_intervals_are_students():
    values = [0.1, 0.4, 0.3, 0.6]
    mean, low, high = interval(values)
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (mean, low, high) == pytest.approx((np.mean(values), *expected))
    one = interval([0.5])
    assert one[0] == 0.5
    assert math.isnan(one[1])


def test_averages_are_over_test_sets_seed_by_seed():
    found = averages(pd.DataFrame(rows()))["oe", "", "msp", "auroc", ""]
    assert found == pytest.approx(
        [np.mean([value_of(1, "msp", s, name, ("auroc", "")) for name in ("near", "far")])
         for s in (0, 1)]
    )  # fmt: skip


def test_sweeps_draw_a_figure_for_each_setting_and_keep_the_curves(tmp_path):
    labels = [("ce", ""), ("oe", ""), ("oe", "scale=0"), ("oe", "scale=2"), ("oe", "count=100")]
    made = artifact_of(tmp_path, rows(labels))
    settings = {
        "figures": {"gan_images.scale": "figure3"},
        "sweeps": {"gan_images.scale": [[0, "scale=0"], [2, "scale=2"], [50, ""]],
                   "gan_images.count": [[100, "count=100"], [4000, ""]]},
        "defaults": {"gan_images.scale": 50, "gan_images.count": 4000},
        "method": "oe", "baseline": {"method": "ce", "variant": ""}, "notes": NOTES,
    }  # fmt: skip
    found = fake_artifacts.run_stage(
        tmp_path, goe_sweeps.main, "goe_sweeps", settings, {"metrics": made}
    )
    names = {path.name for path in found.folder.iterdir()}
    assert {"goe_figure3.png", "goe_figure3.svg", "curves.csv"} <= names
    assert "goe_sweep_gan_images_count.png" in names
    with (found.folder / "curves.csv").open(newline="") as handle:
        points = list(csv.DictReader(handle))
    assert len(points) == (3 + 2) * 2 * 2
    (point,) = [p for p in points if (p["value"], p["score"], p["metric"]) == ("2", "msp", "AUROC")]
    expected = interval(averages(pd.DataFrame(rows(labels)))["oe", "scale=2", "msp", "auroc", ""])
    assert [float(point[key]) for key in ("mean", "low", "high")] == pytest.approx(expected)


def followed(root, place, epochs):
    """An epochs artifact whose values tell place, score, set and epoch apart."""
    lines = [",".join(EPOCH_COLUMNS)]
    for epoch in epochs:
        for score in ("msp", "energy"):
            for name in ("near", "far"):
                for metric, convention in FIGURES:
                    value = 0.5 + 0.02 * epoch + 0.01 * place + 0.1 * (name == "far")
                    cells = (epoch, score, "cats", name, "test", metric, convention, value, 9, 9)
                    lines.append(",".join(map(str, cells)))
    files = {"epochs.csv": "\n".join(lines) + "\n"}
    return fake_artifacts.make(root, "epochs", files=files, settings={"place": place})


def test_epochs_are_drawn_by_kind_of_outliers(tmp_path):
    made = [followed(tmp_path, place, range(4)) for place in range(4)]
    labels = [
        {"outliers": kind, "seed": seed} for kind in ("noise", "generated") for seed in (0, 1)
    ]
    settings = {"figure": "figure4", "rows": labels, "notes": NOTES}
    found = fake_artifacts.run_stage(
        tmp_path, goe_epochs.main, "goe_epochs", settings, {"epochs": made}
    )
    names = {path.name for path in found.folder.iterdir()}
    assert {"goe_figure4_msp_auroc.png", "goe_figure4_energy_fpr95.svg"} <= names
    with (found.folder / "epochs.csv").open(newline="") as handle:
        assert len(list(csv.DictReader(handle))) == 4 * 4 * 2 * 2 * 5


def test_curves_over_epochs_begin_at_the_network_before(tmp_path):
    """One row started from another and has an epoch 0, one did not."""
    parts = []
    for place, epochs in enumerate((range(3), range(1, 3))):
        part = read_csv(followed(tmp_path, place, epochs).folder / "epochs.csv")
        part.insert(0, "outliers", ("100", "2,000")[place])
        part.insert(1, "seed", 0)
        parts.append(part)
    found = goe_epochs.Followed(pd.concat(parts))
    curve = found.curve("100", "msp", ["near", "far"], ("auroc", ""))
    assert curve.values.tolist() == [0, 1, 2]
    assert curve.found[:, 0] == pytest.approx([0.55, 0.57, 0.59])
    late = found.curve("2,000", "msp", ["near"], ("auroc", ""))
    assert late.values.tolist() == [1, 2]
    ((name, _, metric, panels), _) = found.by_count()
    assert (name, metric) == ("goe_figure5", "AUROC")
    assert {score: list(lines) for score, lines in panels.items()} == {
        score: ["100 outliers", "2,000 outliers"] for score in ("MSP", "Energy")
    }


def test_figure_5_is_the_number_of_outliers_over_the_epochs(tmp_path):
    counts = (100, 20_000, 100_000)
    made = [followed(tmp_path, place, range(26)) for place in range(3)]
    labels = [{"outliers": f"{count:,}", "seed": 0} for count in counts]
    settings = {"figure": "figure5", "rows": labels, "notes": NOTES}
    found = fake_artifacts.run_stage(
        tmp_path, goe_epochs.main, "goe_epochs", settings, {"epochs": made}
    )
    names = {path.name for path in found.folder.iterdir()}
    assert {"goe_figure5.png", "goe_figure5.svg", "goe_figure5_fpr95.png", "epochs.csv"} <= names


def test_gallery_shows_each_scale_and_each_temperature(tmp_path):
    rng = np.random.default_rng(0)
    data = fake_artifacts.make(
        tmp_path, "dataset",
        arrays={"train/images": rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
                "train/labels": np.arange(6) % 3},
    )  # fmt: skip
    shards = [
        fake_artifacts.make(
            tmp_path, "gan_images",
            arrays={"images": rng.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8),
                    "labels": np.arange(9) % 3},
            files={"outliers.json": {"parameters": {"scale": scale, "meaning": "std"}}},
            settings={"scale": scale},
        )
        for scale in (0, 1, 50)
    ]  # fmt: skip
    drawn = [
        fake_artifacts.make(
            tmp_path, "texts", settings={"t": heat},
            files={
                "texts.txt": "a b\nc d\n",
                "outliers.json": {"parameters": {"temperature": heat}},
            },
        )
        for heat in (1, 2.5)
    ]  # fmt: skip
    found = fake_artifacts.run_stage(
        tmp_path, goe_gallery.main, "goe_gallery", {"columns": 3},
        {"dataset": data, "gan_images": shards, "texts": drawn},
    )  # fmt: skip
    assert (found.folder / "goe_figure1.png").is_file()
    assert "**T = 2.5**\n\n- a b\n- c d" in (found.folder / "goe_texts.md").read_text()
