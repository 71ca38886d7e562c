"""Run a command with N GPUs of its own: `python -m bood_tasks.jobs.gpu N -- CMD...`.

Snakemake counts GPUs but hands none out. Here one `flock` per device is the lease: the command
inherits the locked file, so the lease ends when its last process does, however it dies.

The devices are those in CUDA_VISIBLE_DEVICES (indices count as nvidia-smi's do), else all of
the machine's. N = 0, or a machine without one, runs the command on the CPU. A batch system that
gave exactly N is left alone. BOOD_LEASE_DIR moves the lock files, where a machine's jobs do not
share /tmp; BOOD_FAKE_GPUS (comma-separated names) stands in for nvidia-smi in tests.
"""

import argparse
import getpass
import json
import os
import random
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bood_tasks.artifacts.locks import try_lock
from bood_tasks.artifacts.manifest import MANIFEST_COPY

POLL_SECONDS = 0.2
SECONDS_BETWEEN_MESSAGES = 60.0
MOST_OF_A_NOTE = 400  # bytes
BATCH_JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "COBALT_JOBID")


def machine_devices(environment: Mapping[str, str]) -> list[str]:
    """Return the UUIDs of the machine's GPUs, none where there is no driver."""
    fake = environment.get("BOOD_FAKE_GPUS")
    if fake is not None:
        return [name for name in fake.split(",") if name]
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    if answer.returncode != 0:
        reason = (answer.stdout + answer.stderr).strip()
        print(f"gpu: nvidia-smi lists no device, so the CPU works: {reason}", file=sys.stderr)
        return []
    return answer.stdout.split()


def allowed_devices(devices: list[str], visible: str | None) -> list[str]:
    """Return those of `devices` that CUDA_VISIBLE_DEVICES names by index, UUID or its start."""
    if visible is None:
        return devices
    chosen = []
    for entry in filter(None, (part.strip() for part in visible.split(","))):
        if entry == "-1":
            break  # CUDA sees nothing from the first invalid entry on; -1 is the usual one
        if entry.startswith("MIG-"):  # a slice of a GPU, which nvidia-smi's list leaves out
            found = [entry]
        elif entry.isdigit():
            found = devices[int(entry) : int(entry) + 1]
        else:
            found = [device for device in devices if device.startswith(entry)]
        if len(found) != 1:
            raise ValueError(
                f"CUDA_VISIBLE_DEVICES must name GPUs of this machine, got {entry!r}; "
                f"it has {', '.join(devices) or 'none'}"
            )
        chosen += found
    return list(dict.fromkeys(chosen))


def lease_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of lock files that all users of this machine share."""
    folder = Path(environment.get("BOOD_LEASE_DIR") or "/tmp/bood-leases")
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)
    return folder


def _open(path: Path) -> int:
    """Open a lock file, made writable for every user, whoever comes first."""
    try:
        # without O_CREAT: Linux refuses that on another user's file in a sticky folder
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_CREAT, 0o666)
        if os.fstat(descriptor).st_uid == os.getuid():
            os.fchmod(descriptor, 0o666)
    found = os.fstat(descriptor)  # anybody can put a file here, and this one is written
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise ValueError(
            f"{path} must be a plain file that this workflow has made; remove it, or set "
            "BOOD_LEASE_DIR to a folder of your own"
        )
    return descriptor


def _note(path: Path) -> str:
    """Return what a lock file says of its holder: anybody's text, so a short and printable part."""
    try:
        with path.open("rb") as handle:
            text = handle.read(MOST_OF_A_NOTE).decode(errors="replace")
    except OSError:
        return ""
    return "".join(letter for letter in text if letter.isprintable()).strip()


def _lease_now(folder: Path, devices: list[str], count: int) -> dict[str, int]:
    """Return `count` devices with their locked files, or none at all."""
    held: dict[str, int] = {}
    for device in devices:
        descriptor = _open(folder / f"{device}.lock")
        if not try_lock(descriptor):
            os.close(descriptor)
            continue
        held[device] = descriptor
        if len(held) == count:
            return held
    for descriptor in held.values():
        os.close(descriptor)
    return {}


def _holders(folder: Path, devices: list[str]) -> str:
    """Say who holds each device, by the notes in the lock files."""
    notes = ((device, folder / f"{device}.lock") for device in devices)
    return "; ".join(
        f"{device}: {_note(path) if path.is_file() and not path.is_symlink() else ''}"
        for device, path in notes
    )


def lease(folder: Path, devices: list[str], count: int, note: str) -> dict[str, int]:
    """Return `count` of `devices` with their locked files, waiting until so many are free.

    All or nothing: a job that waits holds none, so jobs of any size cannot block each other
    for ever. `note` tells others who holds the device.
    """
    told = -SECONDS_BETWEEN_MESSAGES
    while not (held := _lease_now(folder, devices, count)):
        if time.monotonic() - told >= SECONDS_BETWEEN_MESSAGES:
            told = time.monotonic()
            print(
                f"gpu: waiting for {count} of {len(devices)} devices; "
                f"last holders: {_holders(folder, devices)}",
                file=sys.stderr,
                flush=True,
            )
        # two jobs that took one device each have both let go; unequal waits part them
        time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))
    for descriptor in held.values():
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note.encode(errors="replace"), 0)
    return held


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # containers run under numbers without a name
        return str(os.getuid())


def prepare(count: int, command: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Lease `count` GPUs and return the environment to run `command` in.

    Raises ValueError if there are GPUs, but fewer than `count`.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    entries = [entry for entry in (visible or "").split(",") if entry.strip()]
    batch = any(environment.get(name) for name in BATCH_JOB_VARIABLES)
    if count and batch and len(entries) == count:
        return dict(environment)
    devices = machine_devices(environment) if count else []
    if devices:
        devices = allowed_devices(devices, visible)
    if not devices:
        return {**environment, "CUDA_VISIBLE_DEVICES": ""}
    if count > len(devices):
        raise ValueError(
            f"gpu must be at most the {len(devices)} devices this job may use, got {count}; "
            "lower the rule's gpu resource or widen CUDA_VISIBLE_DEVICES"
        )
    note = f"process {os.getpid()} of {_user()}, {shlex.join(command)[:200]}"
    held = lease(lease_folder(environment), devices, count, note)
    for descriptor in held.values():
        os.set_inheritable(descriptor, True)
    # torch takes UUIDs; an index would mean another device inside another visible set
    return {**environment, "CUDA_VISIBLE_DEVICES": ",".join(held)}


def finished_meanwhile(command: list[str]) -> bool:
    """Whether the command is a stage's whose artifact another process has finished."""
    if not {"--out", "--spec"} <= set(command):  # or a long command, in a file
        return False
    out = Path(command[command.index("--out") + 1])
    if not out.with_name(MANIFEST_COPY).is_file():
        return False
    from bood_tasks.artifacts.locks import try_hold
    from bood_tasks.jobs.job import finished

    with try_hold(out.parent) as free:
        return free and finished(out, json.loads(command[command.index("--spec") + 1]))


def main(argv: list[str] | None = None) -> None:
    """Become the command; returns only by an error, or if there is nothing left to do."""
    argv = sys.argv[1:] if argv is None else argv
    cut = argv.index("--") if "--" in argv else len(argv)  # argparse would drop later `--` too
    command = argv[cut + 1 :]
    parser = argparse.ArgumentParser(
        prog="python -m bood_tasks.jobs.gpu", usage="%(prog)s N -- COMMAND...", description=__doc__
    )
    parser.add_argument("count", metavar="N", type=int, help="GPUs to lease; 0: run on the CPU")
    arguments = parser.parse_args(argv[:cut])
    if not command:
        parser.error("a command must follow `--`")
    if arguments.count < 0:
        parser.error(f"N must be at least 0, got {arguments.count}")
    if finished_meanwhile(command):  # needs no device, and no heavy imports
        return
    try:
        environment = prepare(arguments.count, command, os.environ)
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        print(f"error: cannot run {command[0]!r}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()
