"""Every paper preset, whole, in the small: all its rules, scores, tables and figures are made.

Only counts are lowered; files have their published formats, weights their released layouts.
"""

import contextlib
import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import yaml

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.stages import STAGES
from bood_tasks.config.load import effective_config
from bood_tasks.config.root import Config
from bood_tasks.plan import plan as planning
from tests.workflow.conftest import run_presets
from tests.workflow.small_presets import ROOT, SMALL, leaves, not_a_lower_count

pytestmark = pytest.mark.xdist_group("small presets")
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
def test_what_the_presets_say_that_they_make_is_looked_at(name):
    said = [
        re.search(r"^# Makes: (.+)$", path.read_text(), re.MULTILINE) for path in files_of(name)
    ]
    promised = {target for found in said if found for target in found[1].split(", ")}
    assert promised <= {*SMALL[name].tables, *SMALL[name].figures}


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
        small = SMALL[self.name]
        done = run_presets(self.path, small.presets, small.overlay, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def cells(self, name: str) -> list[dict]:
        """Return the rows of a .csv in results/, wherever it lies."""
        (file,) = (self.path / "results").rglob(f"{name}.csv")
        with file.open(newline="", encoding="utf-8") as handle:
            return list(csv.DictReader(handle))

    def artifacts(self, stage: str) -> list[Artifact]:
        found = self.path.glob(f"artifacts/{stage}/*/*/manifest.json")
        return [Artifact(path) for path in sorted(found)]


QUICK = "goe-newsgroups"  # the others are left to `make test-all`


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[] if n == QUICK else pytest.mark.long) for n in SMALL],
)
def made(request, tmp_path_factory) -> Made:
    """A run: its files written, every artifact made, then all that Snakemake finds left to do."""
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
    jobs = re.findall(r"^(\w+) +\d+$", run.snakemake(), re.MULTILINE)
    assert set(jobs) <= {"publish", "all", "total"}  # every artifact that it plans is there
    return run


def test_every_artifact_planned_is_made_and_none_beside(made):
    with contextlib.chdir(made.path):
        plan = planning.make(made.config)
    planned = sorted(spec.manifest for spec in plan.specs.values())
    found = made.path.glob("artifacts/*/*/*/manifest.json")
    assert sorted(path.relative_to(made.path).as_posix() for path in found) == planned
    asked = [*SMALL[made.name].tables, *SMALL[made.name].figures]
    assert "Nothing to be done" in made.snakemake("--dry-run", *asked)


def test_every_row_and_score_is_measured_on_every_set(made):
    config, test = made.config, SMALL[made.name].test
    assert list(test) == config.test
    expected = {
        (row.method, row.variant, score, name)
        for row in config.rows.values() for score in row.scores for name in test
    }  # fmt: skip
    cells = made.cells("metrics")
    assert expected <= {(c["method"], c["variant"], c["score"], c["ood_dataset"]) for c in cells}
    assert np.isfinite([float(cell["value"]) for cell in cells]).all()
    for cell in cells:
        if cell["ood_dataset"] in test:
            assert int(cell["n_ood"]) == test[cell["ood_dataset"]]


def test_tables_have_ours_wherever_the_preset_has_the_row(made):
    """A dash may stand only for a row of the paper that the preset does not make."""
    rows = {(row.method, row.variant): row.scores for row in made.config.rows.values()}
    if made.config.ablations:
        base = made.config.rows[made.config.ablations.row]
        rows |= {(base.method, name): base.scores for name in made.config.ablations.variants}
    for name in SMALL[made.name].tables:
        cells = made.cells(name)
        assert cells
        if name in ("table4", "table5"):
            methods = {cell["method"].lower() for cell in cells if cell["ours"]}
            assert methods == {"bood", "dreamood"} & {method for method, _ in rows}
            continue
        for cell in cells:
            if cell["our_method"] and cell["our_method"] not in METHODS:  # no row: a control
                continue
            makes = name.startswith("goe") or cell["score"] in rows.get(
                (cell["our_method"], cell["variant"]), ()
            )
            assert bool(cell["mean"]) == makes, cell
        assert any(cell["mean"] and cell["published"] for cell in cells)


def test_figures_are_there(made):
    names = " ".join(path.name for path in (made.path / "results").rglob("*.png"))
    for figure in SMALL[made.name].figures:
        assert re.search(rf"\b{figure}(?!\d)", names), figure


@pytest.mark.long
@pytest.mark.parametrize("made", ["bood-cifar100-ablations"], indirect=True)
def test_the_preset_below_is_made_with_it(made):
    files = [ROOT / "config.yaml", PRESETS / "bood-cifar100.yaml", made.path / "overlay.yaml"]
    with contextlib.chdir(made.path):
        plan = planning.make(effective_config(files))
        left = {spec.stage for spec in plan.specs.values() if not Path(spec.manifest).is_file()}
    assert {STAGES[stage].room for stage in left} <= {"reporting"}


@pytest.mark.long
@pytest.mark.parametrize("made", ["bood-cifar100-ablations"], indirect=True)
def test_pictures_are_decoded_in_shards_as_the_preset_says(made):
    shards = [item for item in made.artifacts("images") if item.settings["decode"] == "outliers"]
    images = made.config.images
    ranges = {(shard.settings["start"], shard.settings["stop"]) for shard in shards}
    assert ranges == {(0, images.shard), (images.shard, images.per_class)}
    for shard in shards:
        assert shard["images"].shape[1:] == (images.saved_size, images.saved_size, 3)
        assert shard.settings["dtype"] == "float16"
    facts = json.loads((shards[0].folder / "run.json").read_text())
    assert facts["images_per_second"] > 0
    assert facts["tflops"] > 0
    for encoder in made.artifacts("encoder"):
        assert list(encoder.json("encoder.json")["accuracy"]) == ["test"]  # all rows trained
