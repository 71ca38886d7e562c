"""Whole runs on a device: each rule of the small presets, a kill, an export, leases.

They need Snakemake and the packages of envs/requirements.txt; `--gpu-device cpu` tries them on
smoke.yaml alone.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from bood_tasks.catalogue.stages import STAGES
from bood_tasks.jobs.devices import find
from tests.jobs.test_gpu import OCCUPY

pytest.importorskip("snakemake", reason="whole runs need Snakemake")
from tests.workflow.conftest import ROOT, Workdir

TARGETS = {
    "paper-smoke": ("tables", "figures"), "goe-smoke": ("goe_table1", "goe_table2", "goe_figures"),
    "smoke": ("metrics",),
}  # fmt: skip


def runs_of(work):
    """What each finished artifact's job said of itself, by manifest."""
    return {
        path: json.loads(path.with_name("run.json").read_text())
        for path in sorted(work.path.glob("artifacts/*/*/*/manifest.json"))
    }


@pytest.fixture(scope="module", params=["paper-smoke", "goe-smoke"])
def work(request, tmp_path_factory, device, jobs_environment):
    preset = "smoke" if device == "cpu" else request.param
    if device == "cpu" and request.param != "paper-smoke":
        pytest.skip("one small run tries this test on the CPU")
    work = Workdir(tmp_path_factory.mktemp(preset), pictures=False)
    overlay = yaml.safe_load((ROOT / f"workflow/presets/{preset}.yaml").read_text())
    command = work.command_line(*TARGETS[preset], overlay=overlay, text=None)
    done = subprocess.run(
        command, cwd=work.path, env=jobs_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return work


def test_every_rule_that_may_runs_on_the_device(work, device):
    """Each stage with a lease; what torch was imported for says where it worked."""
    on_device = {
        path.parts[-4]: run["device"] for path, run in runs_of(work).items() if "device" in run
    }
    leased = {stage: name for stage, name in on_device.items() if STAGES[stage].gpu}
    assert leased
    assert all((name == "cpu") == (device == "cpu") for name in leased.values()), leased


def test_a_killed_training_goes_on(work, jobs_environment):
    """The detector of a row is made again; killed at a checkpoint, it ends with its bytes."""
    manifest = next(path for path in runs_of(work) if path.parts[-4] == "detector")
    folder, content = manifest.parent, json.loads(manifest.read_text())
    before = (folder / "model.safetensors").read_bytes()
    inputs = [
        str(path)
        for path in runs_of(work)
        if any(path.parent.name in str(given) for given in content["spec"]["inputs"].values())
    ]
    command = [
        sys.executable, "-m", "bood_tasks.jobs.gpu", "1", "--", sys.executable, "-m",
        "bood_tasks.jobs", "--in", *inputs, "--out", str(manifest), "--spec",
        json.dumps(content["spec"]),
    ]  # fmt: skip
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    one_thread = {"OMP_NUM_THREADS": "1"}  # as Snakemake gives it: sums depend on their number
    where = {"cwd": work.path, "env": jobs_environment | one_thread | {"PYTHONPATH": str(ROOT)}}
    checkpoint = folder / ".progress" / "checkpoint.safetensors"
    with subprocess.Popen(
        command, start_new_session=True, stderr=subprocess.DEVNULL, **where
    ) as job:
        while not checkpoint.is_file():
            assert job.poll() is None, "it ended before its first checkpoint"
            time.sleep(0.02)
        os.killpg(job.pid, signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=False, **where)
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "run.json").read_text())["resumed"]
    after = (folder / "model.safetensors").read_bytes()
    assert len(after) == len(before)
    if jobs_environment.get("BOOD_DEVICE") == "cpu":  # a GPU's sums have no fixed order
        assert after == before


def test_an_export_says_what_the_device_says(work, device, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="exports need onnxruntime")
    from bood_tasks.artifacts.store import Artifact
    from bood_tasks.deploy.export import export
    from bood_tasks.deploy.load import load_detector

    scores = {
        Artifact(path).settings["score"]: path.parent
        for path in runs_of(work)
        if path.parts[-4] == "scores"
    }
    folder = scores.get("energy") or next(iter(scores.values()))
    os.chdir(work.path)
    detector = load_detector(folder, device)
    side = detector.input.size
    pictures = np.random.default_rng(0).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    said = detector(pictures)
    export(folder, tmp_path / "d.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "d.onnx", providers=["CPUExecutionProvider"])
    found, _ = session.run(None, {"pictures": pictures.transpose(0, 3, 1, 2)})
    np.testing.assert_allclose(found, said.scores, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("size", [1, 2])
def test_leases_of_one_and_two_devices(size, device, jobs_environment, tmp_path):
    """The machine's own devices, or two invented ones where it has none or one."""
    given = jobs_environment | {"BOOD_LEASE_DIR": str(tmp_path / "leases")}
    given["PYTHONPATH"] = str(ROOT)
    found = [] if device == "cpu" else find(given).devices
    if len(found) < max(2, size):
        given = {name: value for name, value in given.items() if name != "BOOD_DEVICE"}
        given.pop("CUDA_VISIBLE_DEVICES", None)
        given["BOOD_FAKE_GPUS"] = "u0,u1"
    room = tmp_path / "room"
    room.mkdir()
    command = [
        sys.executable, "-m", "bood_tasks.jobs.gpu", str(size), "--", "sh", "-c", OCCUPY, str(room)
    ]  # fmt: skip
    jobs = [subprocess.Popen(command, env=given, stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [job.wait(timeout=60) for job in jobs] == [0, 0, 0]
