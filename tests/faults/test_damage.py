"""Damaged artifacts are named and remade alone; a copied store reruns nothing."""

import os
import shutil
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from tests.workflow.conftest import Workdir

pytestmark = pytest.mark.long


def truncate(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:-1])
    return "bytes, should have"


def flip(path: Path) -> str:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return "has other content"


def delete(path: Path) -> str:
    path.unlink()
    return "is missing"


@pytest.mark.parametrize("damage", [truncate, flip, delete])
def test_damage_is_named_and_its_artifact_remade_alone(fresh, damage):
    spec = fresh.specs("features")[0]  # far below finished results
    before = fresh.manifests()
    folder = (fresh.path / spec.manifest).parent
    chunk = next(folder.glob("data.zarr/features/c/0/*"))
    expected = damage(chunk)
    named = fresh.bood("verify")
    assert named.returncode == 1
    assert str(chunk.relative_to(folder)) in named.stdout
    assert expected in named.stdout
    times = {path: (fresh.path / path).stat().st_mtime_ns for path in before}
    repaired = fresh.bood("verify", "--repair")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert fresh.manifests() == before
    touched = {path for path in before if (fresh.path / path).stat().st_mtime_ns != times[path]}
    assert touched == {spec.manifest}
    assert fresh.bood("verify").returncode == 0


def test_repair_leaves_alone_what_the_configuration_does_not_know(fresh):
    spec = fresh.specs("distances")[0]
    stranger = (fresh.path / spec.manifest).parent.with_name("0123456789abcdef")
    shutil.copytree((fresh.path / spec.manifest).parent, stranger)
    done = fresh.bood("verify", "--repair")
    assert done.returncode == 1
    assert "no artifact of this configuration" in done.stderr
    assert (stranger / "manifest.json").exists()


def test_gc_lists_and_then_removes_what_no_configuration_reaches(fresh):
    before = fresh.manifests()
    overlay = {"distances": {"step_size": 0.07}}
    spec = fresh.specs("distances", overlay)[0]
    assert fresh.snakemake(spec.manifest, overlay=overlay).returncode == 0
    preset = Path(__file__).parents[2] / "workflow/presets/smoke.yaml"
    keep = f"{preset}+folder.yaml"
    done = fresh.bood_plain("gc", keep)
    assert done.returncode == 0, done.stderr
    assert str(Path(spec.manifest).parent) in done.stdout
    assert (fresh.path / spec.manifest).exists()  # a dry run
    assert fresh.bood_plain("gc", "--delete", keep).returncode == 0
    assert fresh.manifests() == before


def test_clocks_that_disagree_rerun_nothing(fresh):
    rng = np.random.default_rng(1)
    for file in fresh.path.rglob("*"):
        if "pictures" not in file.parts:
            moment = time.time() + float(rng.uniform(-3e7, 3e7))  # a year back, a year ahead
            os.utime(file, (moment, moment))
    assert fresh.planned() == {}


POISON = """
import os
open(os.environ["TORCH_WAS_IMPORTED"], "w").close()
raise ImportError("nobody may import torch here")
"""


def test_tables_and_figures_come_from_a_read_only_copy_of_the_scores_without_torch(
    finished, tmp_path
):
    """And of the little that says what pictures and jobs were: see README."""
    store, work = tmp_path / "store", Workdir(tmp_path / "elsewhere")
    copied = {"scores", "pixel_statistics", "costs"}
    (work.path / "artifacts").mkdir(parents=True)
    shutil.copytree(finished.path / "pictures", work.path / "pictures")
    for stage in copied:
        shutil.copytree(finished.path / "artifacts" / stage, store / stage)
        (work.path / "artifacts" / stage).symlink_to(store / stage)
    everything = [store, *store.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in everything}
    (tmp_path / "poison").mkdir()
    (tmp_path / "poison/torch.py").write_text(POISON)
    marker = tmp_path / "torch-was-imported"
    environment = {"PYTHONPATH": str(tmp_path / "poison"), "TORCH_WAS_IMPORTED": str(marker)}
    began = time.monotonic()
    done = work.snakemake("tables", "score_figures", "metrics", env=environment)
    print(f"tables and figures from scores: {time.monotonic() - began:.1f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not marker.exists()
    assert before == {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in everything}
    assert {p.name for p in (work.path / "artifacts").iterdir() if p.is_dir()} == {
        *copied, "metrics", "tables", "figures",
    }  # fmt: skip
    made = [
        p
        for p in (work.path / "results").rglob("*")
        if p.is_file() and ".published" not in str(p) and p.name != "README.md"  # tells of its run
    ]
    assert len(made) > 5
    for path in made:
        original = finished.path / path.relative_to(work.path)
        assert path.read_bytes() == original.read_bytes(), path
    for path in everything:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
