"""The presets of the papers: planned without data, stopped without data."""

import re

import pytest

from tests.workflow.conftest import run_presets

ONE_SEED = {"seeds": [0]}


@pytest.mark.parametrize(
    ("preset", "shards"),  # 40 of each row with images, and the ID decodes
    [("bood-imagenet100", 81), pytest.param("dreamood-cifar100", 41, marks=pytest.mark.long)],
)
def test_a_dry_run_of_paper_scale_needs_no_data(tmp_path, preset, shards):
    done = run_presets(tmp_path, [preset], ONE_SEED, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^images +{shards}$", done.stdout + done.stderr, re.MULTILINE)
    assert not (tmp_path / "artifacts").exists()


def test_missing_data_are_all_named_before_the_first_job(tmp_path):
    done = run_presets(tmp_path, ["bood-cifar100"], ONE_SEED)
    assert done.returncode != 0
    for name in ("cifar100", "svhn", "places365", "lsun", "isun", "dtd"):
        assert f"datasets.{name} (" in done.stdout + done.stderr
    assert not (tmp_path / "artifacts").exists()
