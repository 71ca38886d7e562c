"""The presets of the papers: planned without data, stopped without data."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def snakemake(folder, preset, *arguments):
    (folder / "overlay.yaml").write_text("seeds: [0]\n")
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(folder), "--cores", "2", *arguments,
        "--configfile", str(ROOT / f"workflow/presets/{preset}.yaml"), "overlay.yaml",
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("preset", "shards"),  # 40 of each row with images, and the ID decodes
    [("bood-imagenet100", 81), pytest.param("dreamood-cifar100", 41, marks=pytest.mark.long)],
)
def test_a_dry_run_of_paper_scale_needs_no_data(tmp_path, preset, shards):
    done = snakemake(tmp_path, preset, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^images +{shards}$", done.stdout + done.stderr, re.MULTILINE)
    assert not (tmp_path / "artifacts").exists()


def test_missing_data_are_all_named_before_the_first_job(tmp_path):
    done = snakemake(tmp_path, "bood-cifar100")
    assert done.returncode != 0
    for name in ("cifar100", "svhn", "places365", "lsun", "isun", "dtd"):
        assert f"datasets.{name} (" in done.stdout + done.stderr
    assert not (tmp_path / "artifacts").exists()
