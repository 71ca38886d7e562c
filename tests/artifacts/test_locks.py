"""One process at a time makes an artifact; a killed one leaves nothing in the way."""

import os
import platform
import subprocess
import sys
import time

import pytest

from bood_tasks.artifacts import locks
from bood_tasks.artifacts.locks import (
    FORCED,
    STARTED,
    already_made,
    clear_stale_locks,
    lock_path,
    made_meanwhile,
    try_hold,
)

HOLD = """
import sys
from pathlib import Path
from bood_tasks.artifacts import locks
locks.hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the claim on `tmp_path / "a"`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "a")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_claim_keeps_others_out_until_its_process_is_killed(tmp_path, other):
    with try_hold(tmp_path / "a") as free:
        assert not free
    with try_hold(tmp_path / "b") as free:
        assert free
    other.kill()
    other.wait()
    with try_hold(tmp_path / "a") as free:
        assert free


def test_whoever_waits_is_told_for_whom(tmp_path, other, capsys, monkeypatch):
    monkeypatch.setattr(locks, "_HELD", {})
    real = time.sleep

    def end_the_other(seconds):
        other.kill()
        other.wait()
        real(seconds)

    monkeypatch.setattr(locks.time, "sleep", end_the_other)
    locks.hold(tmp_path / "a")
    assert f"waiting for process {other.pid} on {platform.node()}" in capsys.readouterr().err
    assert lock_path(tmp_path / "a").read_text().startswith(f"process {os.getpid()} on")
    (descriptor,) = locks._HELD.values()
    locks.hold(tmp_path / "a")  # its own claim stops nobody
    os.close(descriptor)


def test_a_released_claim_is_free_again(tmp_path):
    for _ in range(2):
        with try_hold(tmp_path / "a") as free:
            assert free


def test_a_file_system_without_locks_stops_no_job(tmp_path, monkeypatch, capsys):
    def unknown(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", unknown)
    monkeypatch.setattr(locks, "_HELD", {})
    locks.hold(tmp_path / "a")
    assert "Operation not supported" in capsys.readouterr().err


@pytest.mark.parametrize(("offset", "expected"), [(-60, True), (60, False)])
def test_made_meanwhile_compares_with_the_start_of_the_workflow(
    tmp_path, monkeypatch, offset, expected
):
    (tmp_path / "record").touch()
    monkeypatch.setenv(STARTED, str(time.time() + offset))
    assert made_meanwhile(tmp_path / "record") is expected
    assert not made_meanwhile(tmp_path / "no such file")


def test_nothing_was_made_meanwhile_for_a_stage_run_by_hand(tmp_path, monkeypatch):
    (tmp_path / "record").touch()
    monkeypatch.delenv(STARTED, raising=False)
    assert not made_meanwhile(tmp_path / "record")


@pytest.mark.parametrize("forced", ["", "1"])
@pytest.mark.parametrize("there", [True, False])
def test_finished_things_are_made_again_only_when_told(tmp_path, monkeypatch, forced, there):
    manifest, twin = tmp_path / "manifest.json", tmp_path / ".finished.json"
    twin.touch()
    if there:
        manifest.touch()
    monkeypatch.setenv(FORCED, forced)
    monkeypatch.setenv(STARTED, str(time.time() + 60))  # finished before this run
    assert already_made(manifest, twin) is (not there and not forced)
    monkeypatch.setenv(STARTED, str(time.time() - 60))  # meanwhile
    assert already_made(manifest, twin)


TAKE_OVER = """
import sys
from pathlib import Path
from bood_tasks.artifacts.locks import clear_stale_locks
clear_stale_locks(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def left_behind(folder, host):
    """Return the lock that a killed Snakemake left in a folder, last held on `host`."""
    stale = folder / ".snakemake/locks/0.input.lock"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.touch()
    (folder / ".snakemake/bood.lock").write_text(f"process 1 on {host}")
    return stale


@pytest.mark.parametrize(("host", "there"), [(platform.node(), False), ("elsewhere", True)])
def test_a_stale_lock_of_this_machine_goes_that_of_another_stays(tmp_path, host, there):
    stale = left_behind(tmp_path, host)
    subprocess.run(
        [sys.executable, "-c", TAKE_OVER, tmp_path], stdin=subprocess.DEVNULL, check=True
    )
    assert stale.exists() is there


def test_the_lock_of_a_living_snakemake_stays(tmp_path):
    stale = left_behind(tmp_path, platform.node())
    command = [sys.executable, "-c", TAKE_OVER, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as living:
        assert living.stdout.readline() == "held\n"
        stale.touch()
        clear_stale_locks(tmp_path)
        assert stale.exists()
        living.kill()


def test_a_second_run_beside_a_living_one_is_known_when_the_first_has_ended(tmp_path):
    """Otherwise a third one would take the second for dead."""
    command = [sys.executable, "-c", TAKE_OVER, str(tmp_path)]
    pipe = subprocess.PIPE

    def begin():
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert process.stdout.readline() == "held\n"
        return process

    first = begin()
    second = begin()
    first.communicate()
    stale = tmp_path / ".snakemake/locks/0.input.lock"
    stale.parent.mkdir()
    stale.touch()
    third = begin()
    assert stale.exists()
    for process in (second, third):
        process.communicate()
    begin().communicate()
    assert not stale.exists()


def test_a_lock_whose_file_was_removed_is_no_lock(tmp_path, other):
    lock_path(tmp_path / "a").unlink()  # as gc does with what it removes
    with try_hold(tmp_path / "a") as free:
        assert free
        with try_hold(tmp_path / "a") as again:
            assert again is False


def test_where_nobody_can_tell_the_answer_is_none(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", unknown)
    with try_hold(tmp_path / "a") as free:
        assert free is None


def test_a_file_of_the_future_was_not_made_meanwhile(tmp_path, monkeypatch):
    record = tmp_path / "record"
    record.touch()
    monkeypatch.setenv(STARTED, str(time.time() - 60))
    assert made_meanwhile(record)
    ahead = time.time() + 2 * 86400
    os.utime(record, (ahead, ahead))
    assert not made_meanwhile(record)


def test_what_a_job_reads_is_known_while_it_lives(tmp_path):
    code = HOLD.replace("Path(sys.argv[1])", "Path(sys.argv[1]), sys.argv[2:]")
    made = tmp_path / "features/fake/0123"
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", code, made, "aa", "bb"], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout.readline() == "held\n"
    assert locks.being_read(tmp_path) == {"aa", "bb"}
    process.communicate()
    assert locks.being_read(tmp_path) == set()
