"""One process at a time makes an artifact, and what another one has finished is not made again.

A job can outlive the Snakemake that started it (killed, or its cluster lost sight of it); the next
run then starts the same job beside it. The lock is a `flock` next to the artifact's folder, so it
ends with the process that holds it, however that dies.
"""

import fcntl
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTED = "BOOD_STARTED"  # when this Snakemake began, seconds since 1970
FORCED = "BOOD_FORCED"  # whether it was told to make finished things again
POLL_SECONDS = 0.2
SECONDS_BETWEEN_MESSAGES = 60.0
_HELD: dict[Path, int | None] = {}  # what this process holds


def lock_path(folder: Path) -> Path:
    """Return the lock file of an artifact's folder; beside it, since the folder may be wiped."""
    return folder.with_name(f".{folder.name}.lock")


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def try_lock(descriptor: int) -> bool:
    """Take a lock if nobody has it. Raises OSError where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked(path: Path, *, wait: bool) -> int | None:
    """Return the locked file, or None: taken (not `wait`), or locks are unknown here."""
    descriptor, told = _open(path), -SECONDS_BETWEEN_MESSAGES
    while True:
        try:
            free = try_lock(descriptor)
        except OSError as error:
            print(f"no locks in {path.parent} ({error.strerror}): go on without", file=sys.stderr)
            break
        if free:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}".encode(), 0)
            return descriptor
        if not wait:
            break
        if time.monotonic() - told >= SECONDS_BETWEEN_MESSAGES:
            told = time.monotonic()
            holder = path.read_text(encoding="utf-8", errors="replace")
            print(f"waiting for {holder}, which makes the same artifact", file=sys.stderr)
        time.sleep(POLL_SECONDS)
    os.close(descriptor)
    return None


def hold(folder: Path) -> None:
    """Hold the artifact in `folder` until this process ends, waiting for who else makes it."""
    path = lock_path(folder).absolute()
    if path not in _HELD:
        _HELD[path] = _locked(path, wait=True)  # never closed: that is the point


@contextmanager
def try_hold(folder: Path) -> Iterator[bool]:
    """Hold an artifact for a while; yields whether nobody else does."""
    path = lock_path(folder)
    descriptor = _locked(path, wait=False)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def made_meanwhile(record: Path) -> bool:
    """Whether a file was written since this workflow began; False for a stage run by hand."""
    try:
        return record.stat().st_mtime > float(os.environ[STARTED])
    except (KeyError, ValueError, FileNotFoundError):
        return False


def already_made(manifest: Path, record: Path) -> bool:
    """Whether a finished artifact is used instead of being made again.

    `record` is the copy of its manifest that stays. Snakemake removes a manifest before it starts
    a job, and either may be killed then. So what is finished counts, unless this run was forced
    (--forcerun) or a stage is run by hand on a finished artifact; what another process finished
    since this run began counts even then.
    """
    made_again = manifest.exists() or bool(os.environ.get(FORCED))
    return made_meanwhile(record) or not made_again


def clear_stale_locks(workdir: Path) -> None:
    """Remove the lock that a Snakemake killed on this machine left in its working folder.

    Whoever holds `.snakemake/bood.lock` is alive; this process then holds it to its end. Locks of
    another machine stay: its processes cannot be seen from here, and not every file system shares
    a `flock`.
    """
    path = workdir / ".snakemake" / "bood.lock"
    try:
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        if _locked(path, wait=False) is None or not before.endswith(f" on {platform.node()}"):
            return
        for stale in (workdir / ".snakemake" / "locks").glob("*.lock"):
            stale.unlink(missing_ok=True)
    except OSError:  # a folder that cannot be written: Snakemake says so itself
        return
