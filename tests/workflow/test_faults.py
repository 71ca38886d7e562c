"""Killed and mistaken runs: nothing computed is lost, and each mistake names its cure."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from tests.workflow.conftest import ROOT, hear_interrupts

pytestmark = pytest.mark.xdist_group("workflow")


def kill_when(work, spec, condition, number=signal.SIGKILL):
    """Start a stage, wait until the condition holds, kill its process."""
    folder = (work.path / spec.manifest).parent
    shutil.rmtree(folder)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        work.command(spec), cwd=work.path, env=environment, preexec_fn=hear_interrupts
    )
    for _ in range(1200):
        if condition(folder / ".progress"):
            break
        assert process.poll() is None, "the stage ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(number)
    process.wait()
    assert not (folder / "manifest.json").exists()


@pytest.mark.parametrize(
    ("stage", "which", "sign"),
    [("images", "boundary", "rows"), ("detector", "boundary", "checkpoint.safetensors")],
)
def test_a_stage_killed_in_the_middle_continues_to_the_same_result(fresh, stage, which, sign):
    spec = next(item for item in fresh.specs(stage) if which in item.name)
    undisturbed = fresh.manifest(spec)
    kill_when(fresh, spec, lambda progress: (progress / sign).exists())
    done = fresh.snakemake(spec.manifest)
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
    undisturbed = fresh.manifest(spec)
    folder = (fresh.path / spec.manifest).parent
    shutil.rmtree(folder)
    process = fresh.start(spec.manifest)
    for _ in range(1200):
        if (folder / ".progress").exists():
            break
        assert process.poll() is None, "the workflow ended before it could be interrupted"
        time.sleep(0.05)
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
    shutil.copytree(ROOT / "bood_tasks/data/generator", model)
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
    assert "bood verify" in done.stdout + done.stderr
