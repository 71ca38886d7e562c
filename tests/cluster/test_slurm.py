"""The run of tests/workflow on a real Slurm of one machine with fake GPUs, and what may happen."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import yaml

from bood_tasks.catalogue.stages import STAGES
from tests.workflow.conftest import Workdir, finished, fresh, job_at_work

__all__ = ["finished", "fresh"]
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]
ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PROFILE = ROOT / "profiles/slurm"
SMOKE = ROOT / "workflow/presets/smoke.yaml"
PATIENCE = 1200  # seconds, on a busy machine; a status query that fails for good hangs the plugin


class Cluster:
    """A private Slurm in a folder."""

    def __init__(self, folder: Path, nodes: int):
        self.folder = folder
        size = {"GPUS": "4", "CPUS": "8", "MEM_MB": "64000", "NODES": str(nodes)}
        done = subprocess.run(
            [HERE / "start-slurm.sh", folder], capture_output=True, text=True,
            env=os.environ | size | {"SLURMD_TIMEOUT": "10"},
        )  # fmt: skip
        if done.returncode:
            self.stop()
            raise RuntimeError(done.stdout + done.stderr)
        self.env = os.environ | {
            "SLURM_CONF": str(folder / "etc/slurm.conf"),
            "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "BOOD_FAKE_GPUS": "GPU-a,GPU-b,GPU-c,GPU-d",
            "BOOD_LEASE_DIR": str(folder / "leases"),
        }

    def stop(self) -> None:
        subprocess.run([HERE / "stop-slurm.sh", self.folder], check=True, capture_output=True)

    def snakemake(
        self, workdir: Path, *arguments: str, overlay: dict | None = None, profile: Path = PROFILE
    ):
        """Start the workflow with its jobs on this cluster."""
        (workdir / "overlay.yaml").write_text(yaml.safe_dump(overlay or {"seeds": [0]}))
        with (workdir / "snakemake.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile",
                 "--directory", workdir, "--workflow-profile", profile,
                 "--slurm-init-seconds-before-status-checks", "3",
                 "--seconds-between-status-checks", "3", "--latency-wait", "10",
                 "--configfile", SMOKE, "folder.yaml", "overlay.yaml", *arguments],
                cwd=workdir, env=self.env, text=True,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def jobs(self) -> list[str]:
        """Return the numbers of the jobs that run."""
        command = ["squeue", "-h", "-t", "R", "-o", "%i"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True)
        return done.stdout.split()

    def submitted(self) -> list[dict[str, str]]:
        """Return what Slurm knows of every job, ended or not."""
        command = ["scontrol", "show", "job", "--oneliner"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("JobId=")]
        return [dict(part.partition("=")[::2] for part in line.split(" ")) for line in lines]


@pytest.fixture(params=[1])
def cluster(request):
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        Path(folder).chmod(0o755)  # munge refuses a socket below a private folder
        made = Cluster(Path(folder), request.param)
        yield made
        made.stop()


def manifests(workdir: Path) -> dict[str, bytes]:
    """Every manifest but those of what says how long jobs took."""
    found = workdir.glob("artifacts/*/*/*/manifest.json")
    return {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in sorted(found)
        if path.parts[-4] not in ("comparison", "costs", "report")
    }


@pytest.fixture
def workdir(fresh):
    """A copy of the finished local run."""
    return fresh.path


def finish(process, workdir):
    assert process.wait(PATIENCE) == 0, (workdir / "snakemake.log").read_text()[-5000:]


def overlapping(runs):
    """Return how many jobs ran at once at most, and on one device."""
    runs = [
        (run["started"], run["started"] + run["seconds"], run["visible_devices"]) for run in runs
    ]
    most = max(sum(b <= start < e for b, e, _ in runs) for start, _, _ in runs)
    shared = max(
        sum(b <= start < e and d == device for b, e, d in runs) for start, _, device in runs
    )
    return most, shared


def test_it_runs_on_slurm_with_the_same_results(cluster, finished, tmp_path):
    workdir = tmp_path / "work"
    shutil.copytree(finished.path / "pictures", workdir / "pictures")
    shutil.copy(finished.path / "folder.yaml", workdir)
    (tmp_path / "profile").mkdir()
    settings = (PROFILE / "config.yaml").read_text()
    assert settings.count("cpu_partition: gpu ") == 1
    settings = settings.replace("cpu_partition: gpu ", "cpu_partition: cpu ")
    (tmp_path / "profile/config.yaml").write_text(settings)
    finish(cluster.snakemake(workdir, profile=tmp_path / "profile"), workdir)
    assert manifests(workdir) == manifests(finished.path)
    runs = [json.loads(p.read_text()) for p in workdir.glob("artifacts/*/*/*/run.json")]
    on_gpu = [run for run in runs if run["visible_devices"]]
    assert len(on_gpu) == sum(STAGES[Path(path).parts[1]].gpu for path in manifests(workdir))
    assert {run["visible_devices"] for run in on_gpu} <= {"0", "1", "2", "3"}
    most, shared = overlapping(on_gpu)
    assert most <= 4
    assert shared == 1
    wants_gpu = {job["Partition"]: "TresPerJob" in job for job in cluster.submitted()}
    assert wants_gpu == {"gpu": True, "cpu": False}


def wait_for_progress(workdir, spec, process):
    folder = (workdir / spec.manifest).parent
    for _ in range(1200):
        if (folder / ".progress/spec").exists():
            return
        assert process.poll() is None, (workdir / "snakemake.log").read_text()[-3000:]
        time.sleep(0.1)
    raise AssertionError("the job never began")


def begun(cluster, workdir):
    """Take the encoder away and start the workflow; return its spec, all manifests, the process."""
    (spec,) = Workdir(workdir).specs("encoder")
    before = manifests(workdir)
    shutil.rmtree((workdir / spec.manifest).parent)
    process = cluster.snakemake(workdir, "--", spec.manifest)
    wait_for_progress(workdir, spec, process)
    return spec, before, process


@pytest.mark.parametrize("how", ["scancel", "kill -9", "walltime"])
def test_a_job_that_dies_is_submitted_again(cluster, workdir, how):
    spec, before, process = begun(cluster, workdir)
    (job,) = cluster.jobs()
    if how == "kill -9":
        job_at_work(workdir, spec).kill()
    else:
        terminate = ["scancel", *(["--signal=TERM", "--full"] if how == "walltime" else []), job]
        subprocess.run(terminate, env=cluster.env, check=True)
    finish(process, workdir)
    assert manifests(workdir) == before
    first, second = cluster.submitted()
    assert (first["TimeLimit"], second["TimeLimit"]) == ("02:00:00", "04:00:00")
    assert first["MinMemoryNode"] != second["MinMemoryNode"]


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_a_lost_node_loses_nothing(cluster, workdir):
    spec, before, process = begun(cluster, workdir)
    where = subprocess.run(
        ["squeue", "-h", "-t", "R", "-o", "%N"], env=cluster.env, capture_output=True, text=True
    ).stdout.strip()
    daemon = psutil.Process(int((cluster.folder / f"run/slurmd-{where}.pid").read_text()))
    for victim in [daemon, job_at_work(workdir, spec)]:
        victim.send_signal(signal.SIGSTOP)
    for step in psutil.process_iter(["name"]):
        if step.info["name"].startswith("slurmstepd"):
            for child in step.children(recursive=True):
                child.kill()
            step.kill()
    daemon.kill()
    finish(process, workdir)
    assert manifests(workdir) == before


def test_snakemake_killed_with_9_finds_its_jobs_work(cluster, workdir):
    spec, before, process = begun(cluster, workdir)
    process.kill()
    process.wait()
    finish(cluster.snakemake(workdir, "--", spec.manifest), workdir)
    assert manifests(workdir) == before


def test_packed_shards_run_one_after_the_other_on_one_device(cluster, workdir):
    overlay = {"images": {"shard": 10}}
    specs = Workdir(workdir).specs("images", overlay)
    specs = [spec for spec in specs if "boundary" in spec.name]
    assert len(specs) == 4
    process = cluster.snakemake(
        workdir, "--group-components", "shards=2", "--", *[spec.manifest for spec in specs],
        overlay=overlay,
    )  # fmt: skip
    finish(process, workdir)
    submitted = cluster.submitted()
    assert len(submitted) == 2
    for job in submitted:
        assert re.fullmatch(r"gres.gpu:1", job["TresPerJob"])
        assert job["TimeLimit"] == "02:00:00"  # twice a shard's hour
    runs = [json.loads((workdir / s.manifest).with_name("run.json").read_text()) for s in specs]
    assert {run["visible_devices"] for run in runs} <= {"0", "1", "2", "3"}
    assert overlapping(runs)[1] == 1
