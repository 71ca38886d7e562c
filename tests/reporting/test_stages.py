"""The stages that write tables and curves, on small artifacts with known numbers."""

import csv
import io
import json

import numpy as np
import pytest

from bood_tasks.reporting.figures import sweeps
from bood_tasks.reporting.tables import ablations, costs, summary, tables
from bood_tasks.reporting.tables.frames import read_csv
from bood_tasks.scoring import metrics
from tests import fake_artifacts
from tests.reporting.test_tables import SETTINGS

SETS = {"near": 200, "far": 100}


def metrics_artifact(root, rows):
    """`rows`: {(method, variant, seed): FPR95 of each set}."""
    found = []
    for (method, variant, seed), rates in rows.items():
        common = {
            "method": method, "variant": variant, "seed": seed, "id_dataset": "cats",
            "split": "test", "n_id": 500,
        }  # fmt: skip
        found.append(
            common
            | {"score": "", "ood_dataset": "", "metric": "id_acc", "convention": ""}
            | {"value": 0.9, "n_ood": 0}
        )
        for dataset, rate in zip(SETS, rates, strict=True):
            for metric, convention, value in (
                ("fpr95", "id", rate), ("fpr95", "ood", rate / 2), ("auroc", "", 1 - rate / 2),
                ("aupr_in", "", 0.5), ("aupr_out", "", 0.5),
            ):  # fmt: skip
                found.append(
                    common
                    | {"score": "energy", "ood_dataset": dataset, "n_ood": SETS[dataset]}
                    | {"metric": metric, "convention": convention, "value": value}
                )
    text = io.StringIO()
    writer = csv.DictWriter(text, metrics.COLUMNS)
    writer.writeheader()
    writer.writerows(found)
    return fake_artifacts.make(
        root, "metrics",
        files={
            "metrics.csv": text.getvalue(),
            "differences.csv": ",".join(metrics.DIFFERENCES) + "\n",
        },
    )  # fmt: skip


def cells(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_tables_hold_the_summary_and_the_papers_main_tables(tmp_path):
    given = metrics_artifact(tmp_path, {("ce", "", 0): (0.6, 0.2), ("bood", "", 0): (0.4, 0.1)})
    made = fake_artifacts.run_stage(
        tmp_path, tables.main, "tables", {"notes": SETTINGS}, {"metrics": given}
    )
    names = {f"table{n}.{kind}" for n in (1, 2, 7) for kind in ("csv", "md", "tex")}
    own = {"summary.csv", "summary.md", "summary.tex", "summary_caption.tex"}
    assert set(made.files) == names | own
    row = next(
        row for row in cells(made.folder / "table1.csv")
        if (row["method"], row["published_ood_dataset"], row["metric"], row["convention"])
        == ("BOOD", "Average", "fpr95", "id")
    )  # fmt: skip
    assert float(row["mean"]) == pytest.approx(0.25)
    assert float(row["published"]) == pytest.approx(0.1067)
    assert float(row["delta"]) == pytest.approx(0.25 - 0.1067)
    text = (made.folder / "table1.md").read_text()
    assert "FPR95 with ID positive" in text
    assert "FPR95 with OOD positive" in text
    assert "near 200, far 100." in text
    assert "unit-length features" in text  # the choices that decide the numbers


def test_each_table_says_what_is_not_as_published(tmp_path):
    given = metrics_artifact(tmp_path, {("bood", "", 0): (0.4, 0.1)})
    unlike = {"1": ["changed in this run: encoder.lr = 1, published 0.1 (a place)"], "2": []}
    settings = {"notes": SETTINGS, "departures": unlike}
    made = fake_artifacts.run_stage(tmp_path, tables.main, "tables", settings, {"metrics": given})
    first, second = ((made.folder / f"table{n}.md").read_text() for n in (1, 2))
    said = (
        "Not as published \N{EN DASH} changed in this run: encoder.lr = 1, published 0.1 (a place)."
    )
    assert first.count(said) == 2  # under either convention of FPR95
    assert "Not as published" not in second + (made.folder / "summary.md").read_text()


def test_pixel_statistics_are_never_the_best_row(tmp_path):
    """They are chosen on the test sets, so the best detector stays bold."""
    given = metrics_artifact(
        tmp_path, {("bood", "", 0): (0.4, 0.1), ("pixel_statistics", "", 0): (0.0, 0.0)}
    )
    made = fake_artifacts.run_stage(
        tmp_path, tables.main, "tables", {"notes": SETTINGS}, {"metrics": given}
    )
    text = (made.folder / "table1.md").read_text()
    assert "| BOOD | Energy | ours | **25.00** |" in text
    assert "| Pixel statistics | energy | ours | 0.00 |" in text.replace("Energy", "energy")


def test_ablations_compare_variants_with_the_papers_rows(tmp_path):
    given = metrics_artifact(
        tmp_path,
        {
            ("bood", "", 0): (0.4, 0.1),
            ("bood", "boundary-unperturbed", 0): (0.9, 0.7),
            ("bood", "resnet34", 0): (0.3, 0.3),
        },
    )
    made = fake_artifacts.run_stage(
        tmp_path, ablations.main, "ablations", {"notes": SETTINGS}, {"metrics": given}
    )
    assert {"table3.csv", "table6.md", "table8.tex", "ablations.csv"} <= set(made.files)

    def ours(table, method):
        return next(
            row["mean"] for row in cells(made.folder / f"table{table}.csv")
            if (row["method"], row["metric"], row["convention"]) == (method, "fpr95", "id")
        )  # fmt: skip

    assert float(ours(3, "boundary identification only")) == pytest.approx(0.8)
    assert float(ours(3, "BOOD")) == pytest.approx(0.25)
    assert float(ours(8, "BOOD, ResNet-34")) == pytest.approx(0.3)
    assert ours(8, "BOOD, ResNet-50") == ""


def cost_artifact(root, stage, *, seconds, number=0, payload=1000):
    made = fake_artifacts.make(
        root, stage, files={"payload.txt": "x" * payload}, settings={"number": number}
    )
    path = made.folder / "run.json"
    path.unlink(missing_ok=True)
    if seconds is not None:
        path.write_text(json.dumps({"seconds": seconds}))
    return made


def test_costs_add_up_what_the_shards_took(tmp_path):
    made = [
        cost_artifact(tmp_path, "encoder", seconds=1800),
        cost_artifact(tmp_path, "features", seconds=1800),
        cost_artifact(tmp_path, "distances", seconds=360),
        cost_artifact(tmp_path, "ood_features", seconds=0, payload=2**20),
        cost_artifact(tmp_path, "images", seconds=3600, payload=2**20),
        cost_artifact(tmp_path, "images", seconds=7200, number=1, payload=2**20),
        cost_artifact(tmp_path, "detector", seconds=3600),
    ]
    done = fake_artifacts.run_stage(tmp_path, costs.main, "costs", {}, {"bood": made})
    hours = {row["quantity"]: row for row in cells(done.folder / "table4.csv")
             if row["method"] == "BOOD"}  # fmt: skip
    assert float(hours["Building latent space"]["ours"]) == 1
    assert float(hours["OOD features synthesizing"]["ours"]) == pytest.approx(0.1)
    assert float(hours["OOD image generation"]["ours"]) == 3
    assert float(hours["Total"]["ours"]) == pytest.approx(5.1)
    room = {row["quantity"]: row for row in cells(done.folder / "table5.csv")
            if row["method"] == "BOOD"}  # fmt: skip
    assert float(room["OOD features"]["ours"]) == pytest.approx(1, rel=0.01)  # MB
    assert float(room["OOD images"]["ours"]) == pytest.approx(2 / 1024, rel=0.01)  # G


def test_costs_leave_out_a_stage_whose_time_is_unknown(tmp_path):
    """Half of the shards' time would pass for all of it."""
    made = [
        cost_artifact(tmp_path, "images", seconds=3600),
        cost_artifact(tmp_path, "images", seconds=None, number=1),
        cost_artifact(tmp_path, "detector", seconds=3600),
    ]
    assert costs.seconds(made) == {"detector": 3600}


def test_sweeps_draw_the_papers_figures_and_one_for_any_other_setting(tmp_path):
    rows = {("ce", "", 0): (0.8, 0.6), ("bood", "", 0): (0.4, 0.2)}
    rows |= {("bood", "ood_weight=1", 0): (0.6, 0.4), ("bood", "lr=1", 0): (0.5, 0.5)}
    notes = SETTINGS | {"images": SETTINGS["images"] | {"per_class": 25}}
    settings = {
        "sweeps": {
            "detector.ood_weight": [[1, "ood_weight=1"], [2.5, ""]],
            "detector.lr": [[0.1, ""], [1, "lr=1"]],
        },
        "defaults": {"detector.ood_weight": 2.5, "detector.lr": 0.1},
        "notes": notes,
    }
    made = fake_artifacts.run_stage(
        tmp_path, sweeps.main, "sweeps", settings, {"metrics": metrics_artifact(tmp_path, rows)}
    )
    captions = made.json("captions.json")["figures"]
    assert [item["file"] for item in captions] == ["figure6.png", "sweep_detector_lr.png"]
    assert "25 images a class, seed 0: no deviation known." in captions[0]["caption"]
    assert {"figure6.svg", "sweeps.csv"} <= set(made.files)


def test_a_curve_is_the_average_over_test_sets_at_each_point(tmp_path):
    rows = {("bood", "a", 0): (0.8, 0.6), ("bood", "a", 1): (0.6, 0.6)}
    rows |= {("bood", "", seed): (0.4, 0.2) for seed in (0, 1)}
    path = metrics_artifact(tmp_path, rows).folder / "metrics.csv"
    table = summary.Lookup(summary.aggregate(read_csv(path)))
    found = sweeps.curve(table, ("bood", "energy"), {1: "a", 2.5: ""}, 2.5)
    np.testing.assert_allclose(found.values, [1, 2.5])
    np.testing.assert_allclose(found.mean["FPR95"], [0.65, 0.3])
    np.testing.assert_allclose(found.std["FPR95"], [np.std([0.7, 0.6], ddof=1), 0], atol=1e-12)
    assert found.default == 2.5
