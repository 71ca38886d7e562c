"""The workflow in others' hands: the folder's own settings, as a module, on other executors and
storage, where only what lies in one folder that all jobs see is not lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bood_tasks.cli.arguments import with_overlays
from bood_tasks.cli.init import configuration
from bood_tasks.plan import plan as planning

ROOT = Path(__file__).parents[2]
TINY = {
    "seeds": [0],
    "test": ["clipart"],
    "validation": [],
    "control": [],
    "datasets": {"fashion8": {"train_per_class": 20, "validation_per_class": 10}},
    "detector": {"width": 4, "epochs": 1, "batch_size": 16},
    "rows": {"ce": {"method": "ce", "scores": ["msp"]}},
    "only": {"rows": ["ce"], "variants": [], "sweeps": []},
}
USER = """
configfile: "mine.yaml"

module bood:
    snakefile: "{snakefile}"
    config: config["bood"]
{more}
use rule * from bood as bood_*

rule all:
    default_target: True
    input: rules.bood_metrics.input
"""


def snakemake(folder: Path, *words: str, snakefile: Path | None = ROOT / "Snakefile"):
    command = [sys.executable, "-P", "-m", "snakemake", *words]
    command += ["--snakefile", str(snakefile)] if snakefile else []
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TINY))
    return tmp_path


@pytest.fixture
def module(home) -> Path:
    """A workflow of somebody else's, which has its own config.yaml."""
    (home / "config.yaml").write_text("samples: [a, b]")
    (home / "mine.yaml").write_text(yaml.safe_dump({"bood": TINY, "samples": [1]}))
    (home / "Snakefile").write_text(USER.format(snakefile=ROOT / "workflow/Snakefile", more=""))
    return home


def digest(home: Path) -> str:
    """The digest of the metrics of TINY."""
    (home / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return planning.make(with_overlays([home / "tiny.yaml"])).targets["metrics"].digest


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_snakemake_lays_the_folder_s_config_yaml_over_the_package_s(home, snakefile):
    done = snakemake(home, "-n", "metrics", snakefile=ROOT / snakefile)
    assert done.returncode == 0, done.stderr
    assert f"metrics-{digest(home)}.json" in done.stdout + done.stderr


@pytest.mark.long
def test_a_mistake_is_placed_in_the_file_that_counts(home):
    (home / "more.yaml").write_text("seeds: [1]\nencoder:\n  epochs: -1")
    done = snakemake(home, "-n", "--configfile", "more.yaml")
    assert "epochs must be greater than or equal to 1, got -1" in done.stdout + done.stderr
    assert "more.yaml, line 3)" in done.stdout + done.stderr
    (home / "config.yaml").write_text("encoder: {epochs: -2}")
    done = snakemake(home, "-n")
    assert "got -2 (config.yaml, line 1)" in done.stdout + done.stderr


def test_as_a_module_it_completes_the_settings_that_it_is_given(module):
    done = snakemake(module, "-n", snakefile=None)
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    (module / "config.yaml").unlink()
    assert f"metrics-{digest(module)}.json" in text
    assert "bood_detector" in text


@pytest.mark.long
@pytest.mark.parametrize(
    "more", ["    prefix: 'other'", "    replace_prefix: {'artifacts/': 'x/'}"]
)
def test_a_module_with_a_prefix_is_refused(module, more):
    path = module / "Snakefile"
    path.write_text(USER.format(snakefile=ROOT / "Snakefile", more=more))
    done = snakemake(module, "-n", snakefile=None)
    assert done.returncode != 0
    assert "without prefix and replace_prefix" in done.stdout + done.stderr


@pytest.mark.long
def test_a_module_runs_and_its_onstart_tells_of_the_run(module):
    with (module / "Snakefile").open("a") as file:
        file.write("\nonstart:\n    bood.onstart()\n")
    done = snakemake(module, "--cores", "2", snakefile=None)
    assert done.returncode == 0, done.stderr
    assert (module / "results/metrics.csv").is_file()
    (note,) = (module / ".snakemake/bood").glob("run-*.json")
    assert len(json.loads(note.read_text())["makes"]) == 7


def test_storage_that_would_lose_what_manifests_list_is_refused_before_the_first_job(home):
    words = ["--cores", "1", "--default-storage-provider", "fs", "--default-storage-prefix"]
    done = snakemake(home, *words, str(home / "store"), "--shared-fs-usage", "none")
    assert done.returncode != 0
    assert "--shared-fs-usage must hold input-output" in done.stdout + done.stderr
    assert "--default-storage-provider fs" in done.stdout + done.stderr
    assert not (home / "artifacts").exists() or not [*(home / "artifacts").glob("*/*")]
    assert not (home / "store").exists()


SUBMIT = """#!/bin/sh
for script; do :; done        # the last word is the job's script
setsid sh "$script" > /dev/null 2>&1 < /dev/null &
echo $!
echo "$script" >> submitted
"""


@pytest.mark.long
def test_another_cluster_s_submit_command_does(home):
    """cluster-generic, which stands for every scheduler that has no plugin of its own."""
    (home / "submit.sh").write_text(SUBMIT)
    (home / "submit.sh").chmod(0o755)
    submit = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", "./submit.sh"]
    done = snakemake(
        home, "--jobs", "2", *submit, "--seconds-between-status-checks", "1",
        "--latency-wait", "20", "metrics",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (home / "results/metrics.csv").is_file()
    facts = [json.loads(path.read_text()) for path in home.glob("artifacts/*/*/*/run.json")]
    assert len(facts) == 7
    assert len((home / "submitted").read_text().splitlines()) == 7  # publishing is local


def test_the_catalogue_s_configuration_is_what_init_writes():
    assert (ROOT / "config/config.yaml").read_text() == configuration()[1]
    shown = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert set(shown["usage"]) == {"mandatory-flags", "software-stack-deployment"}
