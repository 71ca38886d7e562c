"""Every paper preset, whole, in the small: all its rules, scores, tables and figures are made.

Only counts are lowered; files have their published formats, weights their released layouts.
"""

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import yaml

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.products import targets
from bood_tasks.config.load import effective_config
from bood_tasks.config.root import Config
from tests.workflow.small_presets import ROOT, SMALL, leaves, not_a_lower_count

PRESETS = ROOT / "workflow/presets"
PAPER = [  # the embedded ones are run elsewhere, at their own size
    path.stem for path in sorted(PRESETS.glob("*.yaml"))
    if path.stem.startswith(("bood-", "dreamood-", "goe-")) and "embedded" not in path.stem
    and "smoke" not in path.stem
]  # fmt: skip


def files_of(name: str) -> list[Path]:
    return [PRESETS / f"{preset}.yaml" for preset in SMALL[name].presets]


def whole_config(name: str) -> Config:
    """A run's configuration before its overlay."""
    return effective_config([ROOT / "config.yaml", *files_of(name)])


def test_every_paper_preset_is_run():
    assert {preset for small in SMALL.values() for preset in small.presets} == set(PAPER)


@pytest.mark.parametrize("name", SMALL)
def test_overlays_lower_counts_and_touch_nothing_else(name):
    settings = whole_config(name).model_dump()
    wrong = [
        not_a_lower_count(path, value, settings) for path, value in leaves(SMALL[name].overlay)
    ]
    assert not [line for line in wrong if line]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("detector", "lr"), 0.01, "detector.lr is no count"),
        (("rows", "ce", "scores"), ["msp"], "rows.ce.scores is no count"),
        (("scoring", "godin", "magnitudes"), [0.0], "scoring.godin.magnitudes is no count"),
        (("detector", "epochs"), 200, "detector.epochs: 200 must be lower than 200"),
        (("ablations", "sweeps", "ood_features.rate"), [0.5], "must be some of"),
        (("generator", "path"), "embedded:generator", "must be stable-diffusion"),
    ],
)
def test_an_overlay_that_does_more_is_refused(path, value, told):
    settings = whole_config("bood-cifar100-ablations").model_dump()
    assert told in not_a_lower_count(path, value, settings)


@dataclass
class Made:
    """One preset's finished run."""

    name: str
    path: Path

    @cached_property
    def config(self) -> Config:
        overlay = self.path / "overlay.yaml"
        return effective_config([ROOT / "config.yaml", *files_of(self.name), overlay])

    def snakemake(self, *arguments: str) -> str:
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
            "--directory", str(self.path), "--cores", "2", *arguments,
            "--configfile", *map(str, files_of(self.name)), "overlay.yaml",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def cells(self, name: str) -> list[dict]:
        """The cells of a table: those of its .csv."""
        folder = "goe" if name.startswith("goe") else "tables"
        file = self.path / f"results/{folder}/{name}.csv"
        with file.open(newline="", encoding="utf-8") as handle:
            return list(csv.DictReader(handle))

    def artifacts(self, stage: str) -> list[Artifact]:
        return [
            Artifact(path)
            for path in sorted(self.path.glob(f"artifacts/{stage}/*/*/manifest.json"))
        ]


@pytest.fixture(scope="module", params=SMALL)
def made(request, tmp_path_factory) -> Made:
    """A run: its files written, every artifact made, all published by Snakemake."""
    small, path = SMALL[request.param], tmp_path_factory.mktemp(request.param)
    small.write(path)
    (path / "overlay.yaml").write_text(yaml.safe_dump(dict(small.overlay)))
    run = Made(request.param, path)
    done = subprocess.run(
        [sys.executable, "-m", "tests.workflow.fork_jobs", *map(str, files_of(run.name)),
         "overlay.yaml"],
        cwd=path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    run.said = run.snakemake()
    return run


def rules_in(said: str) -> Counter:
    """Return {rule: jobs} of the last table of jobs that Snakemake printed."""
    return Counter({rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE)})


pytestmark = pytest.mark.xdist_group("small presets")
long = pytest.mark.long


@long
def test_snakemake_plans_just_what_was_made(made):
    """The jobs ran outside Snakemake: to it nothing is left but to copy products to results/."""
    assert set(rules_in(made.said)) <= {"publish", "all", "total"}
    assert "Nothing to be done" in made.snakemake("--dry-run")
    wanted = [name for name in (*SMALL[made.name].tables, *SMALL[made.name].figures)]
    assert set(wanted) <= set(targets())
    assert "Nothing to be done" in made.snakemake("--dry-run", *wanted)


@long
def test_tables_are_whole(made):
    for name in SMALL[made.name].tables:
        cells = made.cells(name)
        ours = "ours" if "ours" in cells[0] else "mean"
        assert cells
        assert not [cell for cell in cells if not cell[ours]], name
        assert np.isfinite([float(cell[ours]) for cell in cells]).all()


@long
def test_every_row_and_score_has_its_figures_on_every_set(made):
    (path,) = (made.path / "results").glob("metrics.csv")
    with path.open(newline="", encoding="utf-8") as handle:
        cells = list(csv.DictReader(handle))
    config = made.config
    expected = {
        (row.method, row.variant, score, name)
        for row in config.rows.values() for score in row.scores for name in config.test
    }  # fmt: skip
    found = {(c["method"], c["variant"], c["score"], c["ood_dataset"]) for c in cells}
    assert expected <= found
    for cell in cells:
        if cell["ood_dataset"] in SMALL[made.name].test:
            assert int(cell["n_ood"]) == SMALL[made.name].test[cell["ood_dataset"]]
