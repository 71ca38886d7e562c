"""A full disk, a real one: a small tmpfs in a mount namespace of the test's own."""

import os
import shutil
import subprocess

import pytest

from tests.workflow.conftest import ROOT

pytestmark = pytest.mark.long

# A full file system for the stage alone; what it holds when the stage has ended is copied out.
RUN = """
mount -t tmpfs -o size="$1" tmpfs "$2" || exit 99
kept=$3 place=$2; shift 3
"$@"; status=$?
cp -a "$place/." "$kept/"
exit $status
"""


@pytest.mark.parametrize(
    ("stage", "which", "kilobytes"), [("images", "boundary", 330), ("detector", "boundary", 100)]
)
def test_a_full_disk_is_named_and_freed_space_finishes_the_job(
    fresh, tmp_path, stage, which, kilobytes
):
    spec = next(item for item in fresh.specs(stage) if which in item.name)
    undisturbed = fresh.manifest(spec)
    place = (fresh.path / spec.manifest).parent.parent  # of all artifacts of this name
    kept = tmp_path / "kept"
    shutil.rmtree(place)
    place.mkdir()
    kept.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", RUN, "run",
         f"{kilobytes}k", str(place), str(kept), *fresh.command(spec)],
        cwd=fresh.path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert "free some space and run again" in done.stderr
    folder = kept / spec.digest
    assert not (folder / "manifest.json").exists()
    if stage == "images":  # the first block was written
        assert (folder / ".progress" / "kept").read_text().count("data.zarr/images/c/") == 1
    shutil.rmtree(place)
    shutil.copytree(kept, place)
    again = fresh.snakemake(spec.manifest)
    assert again.returncode == 0, again.stderr
    assert fresh.manifest(spec) == undisturbed
