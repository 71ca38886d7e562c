"""Every method, table and figure of the BOOD paper in the small: the default in shape, run."""

import csv
import re
import shutil

import pytest
import yaml

from bood_tasks.config.fields import merged
from tests.reporting.test_latex import compiles
from tests.workflow.conftest import ROOT, Workdir

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("paper")]

DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
PAPER = yaml.safe_load((ROOT / "workflow/presets/paper-smoke.yaml").read_text())
FROM_SCORES = {"metrics_artifact": 3, "tables_artifact": 1, "ablations_artifact": 1}
FROM_SCORES |= {"sweeps_artifact": 1, "figures_artifact": 1, "report_artifact": 1}
FROM_SCORES |= {"best_artifact": 1, "comparison_artifact": 1}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Workdir:
    work = Workdir(tmp_path_factory.mktemp("whole"), pictures=False)
    done = work.snakemake("tables", "figures", "report", overlay=PAPER)
    assert done.returncode == 0, done.stdout + done.stderr
    return work


def cells(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_it_has_the_shape_of_the_default():
    assert PAPER["only"] == {"rows": list(DEFAULT["rows"]), "variants": None, "sweeps": None}
    assert PAPER["rows"]["ce"] == DEFAULT["rows"]["ce"]
    assert set(PAPER["ablations"]["sweeps"]) == set(DEFAULT["ablations"]["sweeps"])


def test_every_table_has_ours_beside_the_published(whole):
    tables = whole.path / "results/tables"
    for number in range(1, 9):
        assert {path.suffix for path in tables.glob(f"table{number}.*")} == {".csv", ".md", ".tex"}
    for number in (1, 3, 6, 8):
        averages = [
            row for row in cells(tables / f"table{number}.csv")
            if row["published_ood_dataset"] == "Average" and row["convention"] != "ood"
        ]  # fmt: skip
        assert len(averages) >= 6
        assert all(row["mean"] for row in averages)
        assert any(row["delta"] for row in averages)
        assert all(row["published"] or row["published_missing"] for row in averages)
    for number in (4, 5):
        assert all(row["ours"] and row["published"] for row in cells(tables / f"table{number}.csv"))


def test_pdflatex_takes_every_table(whole, tmp_path):
    for path in (whole.path / "results/tables").glob("*.tex"):
        shutil.copy(path, tmp_path)
    compiles(tmp_path, "summary.tex", *(f"table{number}.tex" for number in range(1, 9)))


def test_every_figure_is_there(whole):
    names = " ".join(path.name for path in (whole.path / "results").glob("*/*.png"))
    assert set(re.findall(r"figure(\d)", names)) == set("12345678")
    for name in ("near", "clipart", "digits", "textures"):
        assert f"scores_{name}.png" in names
    assert "roc.png" in names


def test_tables_and_curves_follow_from_scores_alone(whole, tmp_path):
    """With the few that say what pictures and jobs were: what a laptop needs of a cluster's run."""
    copy = whole.copy(tmp_path / "copy")
    shutil.rmtree(copy.path / "results")
    kept = {"scores", "pixel_statistics", "costs", "dataset", "examples", "gallery", "losses"}
    kept |= {"outlier_distance"}
    for folder in (copy.path / "artifacts").iterdir():
        if folder.is_dir() and folder.name not in kept:
            folder.rename(tmp_path / folder.name)
    jobs = copy.planned("tables", "figures", "report", overlay=PAPER)
    assert {rule: n for rule, n in jobs.items() if rule.endswith("_artifact")} == FROM_SCORES
    assert jobs["scores"] == jobs["detector"] == 0


@pytest.mark.parametrize(
    ("target", "detectors", "images"),
    [
        ("table1", 8, 2),  # seven methods and the noise row; images of BOOD and DreamOOD
        ("table3", 7, 7),  # one a variant, the reference and ResNet-18 being one
        ("table4", 2, 2),
        ("figure6", 5, 3),  # cross-entropy, the reference, r, beta, K
        ("figure1", 0, 3),  # the ID decodes as well, and no detector
    ],
)
def test_a_table_asks_for_what_it_shows_alone(tmp_path, target, detectors, images):
    jobs = Workdir(tmp_path, pictures=False).planned(target, overlay=PAPER)
    if target == "figure6":  # figure 5 is made in one go with it
        detectors, images = detectors + 2, images + 2
    assert (jobs["detector"], jobs["images"]) == (detectors, images)


def test_another_beta_trains_a_detector_and_makes_nothing_before_it(whole):
    overlay = merged(PAPER, {"ablations": {"sweeps": {"detector.ood_weight": [1.0, 7.0]}}})
    jobs = whole.planned("figure6", overlay=overlay)
    assert jobs == {
        "detector": 1, "outputs": 1, "scores": 1, "metrics_artifact": 1, "sweeps_artifact": 1,
        "publish": 1, "figure6": 1,
    }  # fmt: skip


def test_a_configuration_without_ablations_says_why_it_has_no_table_3(tmp_path):
    work = Workdir(tmp_path, pictures=False)
    done = work.snakemake("--dry-run", "table3", overlay={"seeds": [0]})
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "this configuration has no ablations: write ablations.variants" in said
