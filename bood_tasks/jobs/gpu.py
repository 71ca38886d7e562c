"""Run a command with N devices of its own: `python -m bood_tasks.jobs.gpu N -- CMD...`.

Snakemake counts GPUs but hands none out. Here one `flock` per device is the lease: the command
inherits the locked file, so the lease ends when its last process does, however it dies.

The devices are those that the user made visible (CUDA_VISIBLE_DEVICES, or ROCm's variables), else
all of the machine's; devices.py finds them. N = 0 runs the command on the CPU, and so does a
machine without any, with nothing hidden. A batch system that gave exactly N is left alone. One
line on stderr says what the command runs on. BOOD_LEASE_DIR moves the lock files, where a machine's
jobs do not share /tmp; BOOD_FAKE_GPUS (comma-separated names) stands in for nvidia-smi in tests.
"""

import argparse
import getpass
import json
import os
import random
import shlex
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bood_tasks.artifacts.locks import try_lock
from bood_tasks.artifacts.manifest import MANIFEST_COPY
from bood_tasks.jobs.devices import CUDA, DEVICE, HIP, ROCR, Device, entries, find

LEASES = "/tmp/bood-leases"
POLL_SECONDS = 0.2
SECONDS_BETWEEN_MESSAGES = 60.0
MOST_OF_A_NOTE = 400  # bytes
BATCH_JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "COBALT_JOBID")


def lease_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of lock files that all users of this machine share."""
    folder = Path(environment.get("BOOD_LEASE_DIR") or LEASES)
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
    """Lease `count` devices and return the environment to run `command` in.

    Raises ValueError if there are devices, but fewer than `count`, or no lock can be had.
    """
    if not count:
        return {**environment, CUDA: "", HIP: "-1", DEVICE: "cpu"}
    given = [entries(environment.get(name)) for name in (CUDA, HIP, ROCR)]
    batch = any(environment.get(name) for name in BATCH_JOB_VARIABLES)
    if batch and any(len(named) == count for named in given):
        return dict(environment)
    found = find(environment, Path(environment.get("BOOD_LEASE_DIR") or LEASES))
    if not found.devices:
        what = "the CPU works" if found.sure else "nothing is leased, the command looks for itself"
        print(f"gpu: {what}: {found.said}", file=sys.stderr)
        return dict(environment)
    if count > len(found.devices):
        raise ValueError(
            f"gpu must be at most the {len(found.devices)} devices this job may use, got {count}; "
            "lower the rule's gpu resource or widen CUDA_VISIBLE_DEVICES"
        )
    note = f"process {os.getpid()} of {_user()}, {shlex.join(command)[:200]}"
    by_key = {_file_name(device): device for device in found.devices}
    folder = environment.get("BOOD_LEASE_DIR") or LEASES
    try:
        held = lease(lease_folder(environment), list(by_key), count, note)
    except OSError as error:
        raise ValueError(
            f"{folder} must take the lock files of this machine's devices: "
            f"{error.strerror} ({error.filename or folder}); set BOOD_LEASE_DIR to a folder with "
            "free space, of your own, and on a file system with flock"
        ) from None
    for descriptor in held.values():
        os.set_inheritable(descriptor, True)
    leased = [by_key[key] for key in held]
    names = ", ".join(f"{device.name} ({device.key})" for device in leased)
    print(f"gpu: {names} works, found by {found.said}", file=sys.stderr)
    # torch takes UUIDs; an index would mean another device inside another visible set
    handed = {found.variable: ",".join(device.value for device in leased)}
    return {**environment, **(handed if found.variable else {}), DEVICE: found.kind}


def _file_name(device: Device) -> str:
    """Return the name of a device's lock file; older names of MIG slices hold slashes."""
    return device.key.replace("/", "_")


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
