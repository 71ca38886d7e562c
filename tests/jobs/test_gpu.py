"""Device leases, with invented devices and real processes."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bood_tasks.artifacts.spec import to_json
from bood_tasks.jobs import gpu
from bood_tasks.jobs.gpu import _note as holder_note
from bood_tasks.jobs.gpu import prepare
from tests import fake_artifacts
from tests.workflow.conftest import hear_interrupts

GPU = [sys.executable, "-m", "bood_tasks.jobs.gpu"]
SHOW = ["sh", "-c", 'echo "[$CUDA_VISIBLE_DEVICES]"']
# Fails if another job is on one of its devices: mkdir is atomic.
OCCUPY = """
for device in $(echo $CUDA_VISIBLE_DEVICES | tr , ' '); do mkdir "$0/$device" || exit 9; done
sleep 0.1
for device in $(echo $CUDA_VISIBLE_DEVICES | tr , ' '); do rmdir "$0/$device"; done
"""


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """An environment with three devices and lock files of its own, outside any batch system."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return {**kept, "BOOD_LEASE_DIR": str(tmp_path / "leases"), "BOOD_FAKE_GPUS": "u0,u1,u2"}


def run(count: int, command: list[str], environment: dict) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*GPU, str(count), "--", *command],
        env=environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


@pytest.fixture
def start():
    """Start a job in the background; what still runs after the test is killed."""
    jobs = []

    def start(count: int, command: list[str], environment: dict) -> subprocess.Popen:
        job = subprocess.Popen(
            [*GPU, str(count), "--", *command],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=hear_interrupts,
        )  # fmt: skip
        jobs.append(job)
        return job

    yield start
    for job in jobs:
        job.kill()
        job.communicate()


def test_jobs_at_once_never_share_a_device(start, machine, tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    sizes = [1, 2, 1, 3, 2, 1, 2, 1]
    jobs = [start(size, ["sh", "-c", OCCUPY, str(room)], machine) for size in sizes]
    assert [job.wait(timeout=60) for job in jobs] == [0] * len(sizes)


def test_sixteen_mixed_jobs_of_two_starters_never_share_one_of_four_devices(
    start, machine, tmp_path
):
    room = tmp_path / "room"
    room.mkdir()
    four = machine | {"BOOD_FAKE_GPUS": "u0,u1,u2,u3"}
    jobs = [start(1 + turn % 2, ["sh", "-c", OCCUPY, str(room)], four) for turn in range(15)]
    victim = start(1, ["sleep", "60"], four)  # killed as by -9 while the others wait
    time.sleep(0.5)
    victim.kill()
    assert [job.wait(timeout=60) for job in jobs] == [0] * 15
    # nothing leaked: all four devices are free at once
    assert run(4, SHOW, four).stdout == "[u0,u1,u2,u3]\n"


SNAKEFILE = """
rule all:
    input: expand("{name}.done", name=[f"{config['who']}{k}" for k in range(4)])

rule job:
    output: "{name}.done"
    resources: gpu=lambda wildcards: 1 + int(wildcards.name[-1]) % 2
    shell: "python -m bood_tasks.jobs.gpu {resources.gpu} -- sh occupy.sh && touch {output}"
"""


def test_two_snakemake_runs_at_once_share_the_devices(machine, tmp_path):
    """Each believes that it has all four devices; the leases keep their jobs apart."""
    room = tmp_path / "room"
    room.mkdir()
    body = OCCUPY.replace("$0", str(room))
    environment = machine | {
        "BOOD_FAKE_GPUS": "u0,u1,u2,u3",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{machine['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    runs = []
    for who in ("a", "b"):
        folder = tmp_path / who
        folder.mkdir()
        (folder / "Snakefile").write_text(SNAKEFILE)
        (folder / "occupy.sh").write_text(body)
        command = ["snakemake", "--cores", "8", "--resources", "gpu=4", "--config", f"who={who}"]
        runs.append(
            subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True,
            )
        )  # fmt: skip
    for run_of_one in runs:
        output, _ = run_of_one.communicate(timeout=120)
        assert run_of_one.returncode == 0, output
    assert len(list(tmp_path.glob("*/*.done"))) == 8
    assert not list(room.iterdir())


def test_two_devices_come_as_two_different_ones(machine):
    shown = run(2, SHOW, machine).stdout.strip().strip("[]").split(",")
    assert len(set(shown)) == 2
    assert set(shown) <= {"u0", "u1", "u2"}


@pytest.mark.parametrize("code", [0, 7])
def test_command_exit_code_comes_through(machine, code):
    assert run(1, ["sh", "-c", f"exit {code}"], machine).returncode == code


def test_command_arguments_pass_unchanged(machine):
    arguments = ["--out", "a b", "--", "$HOME", "-1"]
    shown = run(1, [sys.executable, "-c", "import sys; print(sys.argv[1:])", *arguments], machine)
    assert shown.stdout.strip() == repr(arguments)


def test_killed_holder_frees_its_device(start, machine):
    machine["BOOD_FAKE_GPUS"] = "only"
    holder = start(1, ["sh", "-c", "echo ready; exec sleep 60"], machine)
    assert holder.stdout.readline() == "ready\n"
    waiter = start(1, SHOW, machine)
    time.sleep(0.5)
    assert waiter.poll() is None
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert waiter.communicate(timeout=10)[0] == "[only]\n"


def test_waiting_job_names_the_holder(start, machine):
    machine["BOOD_FAKE_GPUS"] = "only"
    holder = start(1, ["sh", "-c", "echo ready; exec sleep 60"], machine)
    holder.stdout.readline()
    waiter = start(1, SHOW, machine)
    message = waiter.stderr.readline()
    holder.kill()
    assert "waiting for 1 of 1 devices" in message
    assert f"only: process {holder.pid} of " in message
    assert "sleep 60" in message


def test_lease_lasts_until_the_last_process_of_a_job(start, machine):
    """An orphaned worker still computes on the device."""
    machine["BOOD_FAKE_GPUS"] = "only"
    parent = start(1, ["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"], machine)
    orphan = int(parent.stdout.readline())
    parent.wait(timeout=10)
    waiter = start(1, SHOW, machine)
    time.sleep(0.5)
    still_waiting = waiter.poll() is None
    os.kill(orphan, signal.SIGKILL)
    assert still_waiting
    assert waiter.wait(timeout=10) == 0


def test_waiting_job_holds_no_device(start, machine):
    machine["BOOD_FAKE_GPUS"] = "u0,u1"
    holder = start(1, ["sh", "-c", "echo ready; exec sleep 60"], machine)
    holder.stdout.readline()
    large = start(2, SHOW, machine)
    large.stderr.readline()
    small = run(1, SHOW, machine)
    holder.kill()
    assert small.stdout == "[u1]\n"
    assert large.communicate(timeout=10)[0] == "[u0,u1]\n"


def test_interrupted_waiter_leaves_without_traceback(start, machine):
    machine["BOOD_FAKE_GPUS"] = "only"
    holder = start(1, ["sh", "-c", "echo ready; exec sleep 60"], machine)
    holder.stdout.readline()
    waiter = start(1, SHOW, machine)
    waiter.stderr.readline()
    waiter.send_signal(signal.SIGINT)
    rest = waiter.communicate(timeout=10)[1]
    assert waiter.returncode == 130
    assert "Traceback" not in rest


@pytest.mark.parametrize(("count", "devices"), [(0, "u0"), (1, ""), (4, "")])
def test_no_device_wanted_or_present_means_cpu(machine, count, devices):
    machine["BOOD_FAKE_GPUS"] = devices
    assert run(count, SHOW, machine).stdout == "[]\n"


def test_more_devices_than_present_are_refused(machine):
    answer = run(4, SHOW, machine)
    assert answer.returncode == 1
    assert "gpu must be at most the 3 devices this job may use, got 4" in answer.stderr


def test_missing_command_is_named(machine):
    answer = run(1, ["no-such-command"], machine)
    assert answer.returncode == 127
    assert "cannot run 'no-such-command'" in answer.stderr


def test_leases_stay_among_the_visible_devices(machine):
    machine["CUDA_VISIBLE_DEVICES"] = "1"
    assert run(1, SHOW, machine).stdout == "[u1]\n"


@pytest.mark.parametrize("scheduler", ["SLURM_JOB_ID", "PBS_JOBID"])
def test_batch_job_with_exactly_its_devices_keeps_them(machine, scheduler):
    given = {**machine, scheduler: "12", "CUDA_VISIBLE_DEVICES": "5"}
    assert prepare(1, SHOW, given) == given
    assert not Path(machine["BOOD_LEASE_DIR"]).exists()


def test_batch_job_with_more_devices_leases_among_them(machine):
    given = {**machine, "SLURM_JOB_ID": "12", "CUDA_VISIBLE_DEVICES": "1,2"}
    assert run(1, SHOW, given).stdout == "[u1]\n"


def test_a_stage_that_another_process_finished_is_not_run(machine, tmp_path):
    made = fake_artifacts.make(tmp_path, "anchors", files={"x": "y"})
    content = made.manifest.read_bytes()
    command = ["false", "--out", str(made.manifest), "--spec", to_json(made.spec)]
    made.manifest.unlink()  # as Snakemake does before it starts the job
    assert run(1, command, machine).returncode == 0
    assert made.manifest.read_bytes() == content
    (made.folder / "x").write_text("z")
    made.manifest.unlink()
    assert run(1, command, machine).returncode == 1  # damaged: it is to be made


@pytest.mark.parametrize("kind", ["fifo", "hard link", "folder"])
def test_a_lock_that_somebody_else_has_prepared_is_refused_and_not_written(machine, tmp_path, kind):
    folder = tmp_path / "leases"
    folder.mkdir()
    lock, secret = folder / "u0.lock", tmp_path / "secret"
    secret.write_text("precious")
    {
        "fifo": lambda: os.mkfifo(lock),
        "hard link": lambda: os.link(secret, lock),
        "folder": lock.mkdir,
    }[kind]()
    done = run(1, ["true"], machine | {"BOOD_FAKE_GPUS": "u0"})
    assert done.returncode == 1
    assert "u0.lock" in done.stderr
    assert "Traceback" not in done.stderr
    assert secret.read_text() == "precious"


def test_a_holders_note_is_short_and_printable(tmp_path):
    path = tmp_path / "u0.lock"
    path.write_bytes(b"process 1 of root\x1b]0;x\x07\x1b[2J")
    with path.open("r+b") as handle:
        handle.truncate(4 * 10**10)  # sparse
    assert holder_note(path) == "process 1 of root]0;x[2J"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSPC, errno.EACCES])
def test_locks_that_cannot_be_had_are_refused_with_the_cure(machine, monkeypatch, code):
    """No flock (NFS, Lustre), a full /tmp, another user's folder."""

    def refused(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(gpu, "try_lock", refused)
    with pytest.raises(ValueError, match=rf"{os.strerror(code)}.*set BOOD_LEASE_DIR") as caught:
        prepare(1, SHOW, machine)
    assert machine["BOOD_LEASE_DIR"] in str(caught.value)
