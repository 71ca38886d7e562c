"""GOE in the small: generators trained, outliers drawn, mixed sources, tables and figures, run."""

import csv

import pytest
import yaml

from tests.workflow.conftest import ROOT, Workdir

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("goe")]

GOE = yaml.safe_load((ROOT / "workflow/presets/goe-smoke.yaml").read_text())
TARGETS = ("goe_table1", "goe_table2", "goe_figures")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Workdir:
    work = Workdir(tmp_path_factory.mktemp("goe"), pictures=False)
    done = work.snakemake(*TARGETS, overlay=GOE)
    assert done.returncode == 0, done.stdout + done.stderr
    return work


def cells(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize(("table", "control"), [(1, "Pixel"), (2, "Text")])
def test_tables_hold_every_row_beside_the_published(whole, table, control):
    found = cells(whole.path / f"results/goe/goe_table{table}.csv")
    ours = {(cell["outliers"], cell["score"]) for cell in found if cell["mean"]}
    assert {(kind, score) for kind in ("none", "Noise", "Generated") for score in
            ("MSP", "Energy")} <= ours  # fmt: skip
    assert any(cell["delta"] for cell in found)
    assert any(cell["row"].startswith(control) for cell in found)
    if table == 1:
        assert ("mixed", "Energy") in ours
    else:
        assert ("control", "length before the cut") in ours


def test_figures_are_there(whole):
    names = {path.name for path in (whole.path / "results/goe").rglob("*")}
    assert {"goe_figure1.png", "goe_figure2.svg", "goe_figure5.png", "goe_figure2_text.png",
            "goe_figure4_energy_auroc.png", "goe_texts.md"} <= names  # fmt: skip


def test_nothing_is_left_to_do_and_another_scale_shares_all_but_its_own(whole):
    again = whole.snakemake("-n", *TARGETS, overlay=GOE)
    assert "Nothing to be done" in again.stdout + again.stderr
    sweeps = {"gan_images.scale": [0, 1, 3, 4]}
    more = GOE | {"ablations": GOE["ablations"] | {"sweeps": GOE["ablations"]["sweeps"] | sweeps}}
    planned = whole.snakemake("-n", "goe_figure2", overlay=more)
    jobs = planned.stdout + planned.stderr
    for rule, count in (("gan_images", 2), ("detector", 1), ("outputs", 1), ("scores", 2)):
        assert f"{rule} " in jobs
        line = next(line for line in jobs.splitlines() if line.split()[:1] == [rule])
        assert int(line.split()[1]) == count
    assert not any(line.split()[:1] == ["gan_generator"] for line in jobs.splitlines())
