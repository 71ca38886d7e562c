"""Killed and mistaken runs: nothing computed is lost, and each mistake names its cure."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.workflow.conftest import ROOT, hear_interrupts, job_at_work

pytestmark = pytest.mark.long


def wait_until(condition, process):
    for _ in range(6000):
        if condition():
            return
        assert process.poll() is None, "it ended too early"
        time.sleep(0.02)
    raise AssertionError("it never came")


def wait_for(path, process):
    wait_until(path.exists, process)


def take_away(work, spec):
    """Remove a finished artifact; return its manifest and its folder."""
    undisturbed, folder = work.manifest(spec), (work.path / spec.manifest).parent
    shutil.rmtree(folder)
    return undisturbed, folder


def stop_job(work, spec, process):
    """Halt the stage that Snakemake runs as soon as it has begun; return its process."""
    wait_for((work.path / spec.manifest).parent / ".progress" / "spec", process)
    job = job_at_work(work.path, spec)
    job.suspend()
    return job


def kill_when(work, spec, condition, number=signal.SIGKILL):
    """Start a stage, wait until the condition holds, kill its process."""
    folder = (work.path / spec.manifest).parent
    shutil.rmtree(folder)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        work.command(spec), cwd=work.path, env=environment, preexec_fn=hear_interrupts
    )
    wait_until(lambda: condition(folder / ".progress"), process)
    process.send_signal(number)
    process.wait()
    assert not (folder / "manifest.json").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "walltime"])
@pytest.mark.parametrize(
    ("stage", "which", "sign", "kept"),
    [
        ("images", "boundary", "kept", 100),  # a whole block
        ("detector", "boundary", "checkpoint.safetensors", 100),  # STEPS_PER_CHECKPOINT
    ],
)
def test_a_stage_killed_in_the_middle_continues_to_the_same_result(
    fresh, stage, which, sign, kept, number
):
    spec = next(item for item in fresh.specs(stage) if which in item.name)
    undisturbed = fresh.manifest(spec)
    kill_when(
        fresh,
        spec,
        lambda progress: (progress / sign).exists() and (progress / sign).stat().st_size,
        number,
    )
    done = fresh.snakemake(spec.manifest)
    (log,) = (fresh.path / "logs" / stage).glob(f"*{spec.digest}.log")
    began = re.search(rf"^{stage}: (\d+)/", log.read_text(), re.MULTILINE)
    assert int(began.group(1)) == kept  # the rest alone is done again
    assert done.returncode == 0, done.stderr
    assert fresh.manifest(spec) == undisturbed
    run = (fresh.path / spec.manifest).with_name("run.json").read_text()
    assert '"resumed": true' in run


def test_interrupt_leaves_no_artifact_and_the_next_run_finishes(fresh):
    spec = fresh.specs("encoder")[0]
    undisturbed = fresh.manifest(spec)
    kill_when(fresh, spec, lambda progress: progress.exists(), signal.SIGINT)
    assert fresh.snakemake(spec.manifest).returncode == 0
    assert fresh.manifest(spec) == undisturbed


def test_ctrl_c_stops_the_workflow_and_the_next_run_goes_on(fresh):
    spec = fresh.specs("encoder")[0]
    undisturbed, folder = take_away(fresh, spec)
    process = fresh.start(spec.manifest)
    wait_for(folder / ".progress", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert process.wait() != 0
    assert not (folder / "manifest.json").exists()
    done = fresh.snakemake(spec.manifest)  # no lock is left behind
    assert done.returncode == 0, done.stderr
    assert fresh.manifest(spec) == undisturbed


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"distances": {"step_sise": 1}}, "did you mean 'step_size'?"),
        ({"distances": {"step_size": 0}}, "distances.step_size must be greater than 0, got 0"),
        ({"ood_features": {"rate": 5}}, "write 5 % as 0.05"),
        ({"test": ["digitz"]}, "test must name a data set, got 'digitz'; did you mean 'digits'?"),
        ({"datasets": {"mine": {"path": "nowhere"}}}, "datasets.mine.path must name something"),
        (
            {"generator": {"path": "embedded:genrator"}},
            "generator.path must name something that exists",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_mistake_is_refused_before_any_job_with_its_cure(finished, overlay, message):
    done = finished.snakemake(overlay=overlay)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Job stats" not in done.stdout + done.stderr


def test_a_nested_value_on_the_command_line_is_refused_with_the_cure(finished):
    done = finished.snakemake("--dry-run", "--config", "distances={'step_size': '0.1'}")
    assert done.returncode != 0
    assert "--configfile" in done.stdout + done.stderr


def test_results_that_cannot_be_written_are_refused_before_any_job(fresh):
    shutil.rmtree(fresh.path / "results")
    (fresh.path / "results").write_text("a file in the way")
    done = fresh.snakemake()
    assert done.returncode != 0
    assert "results" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_truncated_weights_are_refused_before_any_job(fresh):
    model = fresh.path / "model"
    shutil.copytree(ROOT / "bood_tasks/embedded/generator", model)
    weights = next((model / "unet").glob("*.safetensors"))
    with weights.open("r+b") as handle:
        handle.truncate(weights.stat().st_size // 2)
    done = fresh.snakemake("report", overlay={"generator": {"path": "model"}})
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "generator.path must hold whole weights" in said
    assert str(weights.relative_to(fresh.path)) in said
    assert "Job stats" not in said


def test_a_damaged_artifact_is_never_read_as_a_result(fresh):
    spec = fresh.specs("features")[0]
    chunk = next((fresh.path / spec.manifest).parent.glob("data.zarr/features/c/0/*"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    distances = fresh.specs("distances", {"distances": {"step_size": 0.07}})[0]
    done = fresh.snakemake(distances.manifest, overlay={"distances": {"step_size": 0.07}})
    assert done.returncode != 0
    last = done.stderr.splitlines()[-4:]
    assert last[0] == "1 of 1 jobs failed, 0 are done:"
    assert "bood verify" in last[1] + last[2]
    assert "the same command goes on from there: snakemake " in last[-1]


def test_a_cancelled_job_is_tried_again(fresh):
    spec = fresh.specs("encoder")[0]
    undisturbed, folder = take_away(fresh, spec)
    process = fresh.start("--retries", "1", "--", spec.manifest)
    wait_for(folder / ".progress" / "spec", process)
    job_at_work(fresh.path, spec).terminate()
    assert process.wait() == 0
    assert fresh.manifest(spec) == undisturbed


def test_snakemake_killed_with_9_and_run_again_needs_no_unlocking(fresh):
    """Its job lives on: the second run waits for it and takes over what it finished."""
    spec = fresh.specs("encoder")[0]
    undisturbed, folder = take_away(fresh, spec)
    process = fresh.start(spec.manifest)
    orphan = stop_job(fresh, spec, process)
    process.kill()
    process.wait()
    second = fresh.start(spec.manifest)
    (log,) = (fresh.path / "logs/encoder").glob(f"*{spec.digest}.log")
    words = f"waiting for process {orphan.pid}"
    wait_until(lambda: log.is_file() and words in log.read_text(), second)
    orphan.resume()
    assert second.wait() == 0
    assert fresh.manifest(spec) == undisturbed
    assert "was finished by another process" in log.read_text()  # nothing was lost
    assert '"resumed": false' in (folder / "run.json").read_text()


def test_the_second_of_two_runs_is_refused_clearly_and_the_first_one_finishes(fresh):
    spec = fresh.specs("encoder")[0]
    undisturbed, _ = take_away(fresh, spec)
    process = fresh.start(spec.manifest)
    job = stop_job(fresh, spec, process)
    second = fresh.snakemake(spec.manifest)
    job.resume()
    assert second.returncode != 0
    assert "lock" in (second.stdout + second.stderr).lower()
    assert process.wait() == 0
    assert fresh.manifest(spec) == undisturbed


POWER_CUT = """
import os, runpy, signal, sys
real, name = os.replace, sys.argv.pop(1)
def cut(source, target):
    if str(target).endswith(name):
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
os.replace = cut
runpy.run_module("bood_tasks.jobs", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("name", "resumed_at"),
    [("run.json", 160), (".finished.json", 160), ("/manifest.json", 0)],  # the last is put back
)
def test_a_power_cut_between_payload_and_manifest_loses_nothing(fresh, name, resumed_at):
    """Payload written, no manifest; the manifest written beside its place, not yet renamed."""
    spec = next(item for item in fresh.specs("images") if "boundary" in item.name)
    undisturbed, folder = take_away(fresh, spec)
    command = [sys.executable, "-c", POWER_CUT, name, *fresh.command(spec)[3:]]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(command, cwd=fresh.path, env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "manifest.json").exists()
    assert fresh.snakemake(spec.manifest).returncode == 0
    assert fresh.manifest(spec) == undisturbed
    assert f'"resumed_at": {resumed_at},' in (folder / "run.json").read_text()
    log = next((fresh.path / "logs/images").glob(f"*{spec.digest}.log")).read_text()
    assert "images: 0/" not in log  # no image was made twice


def test_a_manifest_finished_beside_a_started_job_is_put_back(fresh):
    """Snakemake removes outputs before it starts a job, whoever has written them meanwhile."""
    spec = fresh.specs("encoder")[0]
    undisturbed = fresh.manifest(spec)
    manifest = fresh.path / spec.manifest
    before = (manifest.parent / "run.json").read_bytes()
    manifest.unlink()
    twin = manifest.with_name(".finished.json")
    os.utime(twin)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "BOOD_STARTED": str(time.time() - 60)}
    done = subprocess.run(fresh.command(spec), cwd=fresh.path, env=environment)
    assert done.returncode == 0
    assert fresh.manifest(spec) == undisturbed
    assert (manifest.parent / "run.json").read_bytes() == before


@pytest.mark.parametrize(("forced", "again"), [((), False), (("--force",), True)])
def test_a_removed_manifest_is_put_back_and_a_forced_run_makes_everything_again(
    fresh, forced, again
):
    """As when Snakemake removed it for a job and both were killed before that began."""
    spec = fresh.specs("features")[0]
    undisturbed = fresh.manifest(spec)
    manifest = fresh.path / spec.manifest
    before = (manifest.parent / "run.json").read_bytes()
    if not forced:
        manifest.unlink()
    done = fresh.snakemake(*forced, "--", spec.manifest)
    assert done.returncode == 0, done.stderr
    assert fresh.manifest(spec) == undisturbed
    assert ((manifest.parent / "run.json").read_bytes() != before) is again
