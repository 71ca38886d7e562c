"""One process at a time makes an artifact, and what another one has finished is not made again.

A job can outlive the Snakemake that started it (killed, or its cluster lost sight of it); the next
run then starts the same job beside it. The lock is a `flock` next to the artifact's folder, so it
ends with the process that holds it, however that dies.
"""

import fcntl
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

STARTED = "BOOD_STARTED"  # when this Snakemake began, seconds since 1970
FORCED = "BOOD_FORCED"  # whether it was told to make finished things again
POLL_SECONDS = 0.2
SECONDS_BETWEEN_MESSAGES = 60.0
SECONDS_AHEAD = 60.0  # what clocks may differ by; a file further ahead tells nothing by its age
SECONDS_FOR_A_SHARE = 2.0  # another Snakemake has the lock alone for a moment when it starts
_HELD: dict[Path, int | None] = {}  # what this process holds


def lock_path(folder: Path) -> Path:
    """Return the lock file of an artifact's folder; beside it, since the folder may be wiped."""
    return folder.with_name(f".{folder.name}.lock")


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take a lock if nobody has it, or if all who have it share it, too.

    Raises OSError where the file system knows no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still has its name: gc removes the locks of what it removes."""
    try:
        found, there = os.fstat(descriptor), path.stat()
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino)


def _warn(place: Path, error: OSError) -> None:
    print(f"no locks in {place} ({error.strerror}): go on without", file=sys.stderr)


def _locked(path: Path, *, wait: bool, note: str = "") -> int | None:
    """Return the locked file; None if it is taken (not `wait`).

    Raises OSError where locks are unknown or the folder cannot be written. `note` is a second line
    in the file, for others.
    """
    descriptor, told = _open(path), -SECONDS_BETWEEN_MESSAGES
    try:
        while not try_lock(descriptor):
            if not wait:
                os.close(descriptor)
                return None
            if time.monotonic() - told >= SECONDS_BETWEEN_MESSAGES:
                told = time.monotonic()
                holder = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
                print(f"waiting for {holder}, which makes the same artifact", file=sys.stderr)
            time.sleep(POLL_SECONDS)
    except OSError:
        os.close(descriptor)
        raise
    if not _is_at(descriptor, path):
        os.close(descriptor)
        return _locked(path, wait=wait, note=note)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{_holder()}\n{note}".rstrip().encode(), 0)
    return descriptor


def _holder() -> str:
    return f"process {os.getpid()} on {platform.node()}"


def hold(folder: Path, reads: Iterable[str] = ()) -> None:
    """Hold the artifact in `folder` until this process ends, waiting for who else makes it.

    `reads`: the digests of the artifacts that it is made from, which nobody may remove meanwhile.
    """
    path = lock_path(folder).absolute()
    if path in _HELD:
        return
    try:  # never closed: that is the point
        _HELD[path] = _locked(path, wait=True, note=json.dumps(sorted(reads)))
    except OSError as error:
        _warn(path.parent, error)
        _HELD[path] = None


@contextmanager
def try_hold(folder: Path) -> Iterator[bool | None]:
    """Hold an artifact for a while; yields whether nobody else does, None if that cannot be told.

    It cannot where a file system knows no locks, or cannot be written.
    """
    path = lock_path(folder)
    try:
        descriptor = _locked(path, wait=False)
        free = descriptor is not None
    except OSError:
        descriptor, free = None, None
    try:
        yield free
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _note_if_held(path: Path) -> str | None:
    """Return what a lock file says if a process holds it, "" if none does.

    None where that cannot be told: the file cannot be opened, or nothing there knows locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    except OSError:
        return None
    try:
        # shared: two that look at the same time do not take each other for a holder
        free = try_lock(descriptor, shared=True)
        return "" if free else path.read_text(encoding="utf-8", errors="replace") or " "
    except OSError:
        return None
    finally:
        os.close(descriptor)


def holder(folder: Path) -> str | None:
    """Return who makes an artifact at the moment, `process 12 on node3`, "" for nobody.

    None where that cannot be told, see `_note_if_held`.
    """
    note = _note_if_held(lock_path(folder))
    return note and note.partition("\n")[0]


def in_use(path: Path) -> bool | None:
    """Whether processes have or share a lock; None where that cannot be told."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        return not try_lock(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def being_read(root: Path) -> set[str]:
    """Return the digests of all artifacts that jobs of a store read at the moment."""
    found: set[str] = set()
    for path in root.glob("*/*/.*.lock"):
        note = (_note_if_held(path) or "").partition("\n")[2]
        try:
            found |= {str(digest) for digest in json.loads(note or "[]")}
        except (ValueError, TypeError):
            continue
    return found


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in a folder; where no locks are known, go on without."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        _warn(folder, error)
    try:
        yield
    finally:
        os.close(descriptor)


def made_meanwhile(record: Path) -> bool:
    """Whether a file was written since this workflow began; False for a stage run by hand.

    A file of the future was written by another clock, and is not.
    """
    try:
        began = float(os.environ[STARTED])
        return began < record.stat().st_mtime < time.time() + SECONDS_AHEAD
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

    All that run in a folder share `.snakemake/bood.lock` to their ends, so who can have it alone
    for a moment knows that no other lives. Locks of another machine stay: its processes cannot be
    seen from here, and not every file system shares a `flock`.
    """
    path = workdir / ".snakemake" / "bood.lock"
    if path.absolute() in _HELD:
        return
    try:
        descriptor = _open(path)
        before = path.read_text(encoding="utf-8", errors="replace").splitlines()
        alone = try_lock(descriptor)
        if alone:
            if before and all(line.endswith(f" on {platform.node()}") for line in before):
                for stale in (workdir / ".snakemake" / "locks").glob("*.lock"):
                    stale.unlink(missing_ok=True)
            os.ftruncate(descriptor, 0)
        else:
            deadline = time.monotonic() + SECONDS_FOR_A_SHARE
            while not try_lock(descriptor, shared=True) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        with path.open("a", encoding="utf-8") as handle:
            handle.write(f"{_holder()}\n")
        if alone:
            try_lock(descriptor, shared=True)
        _HELD[path.absolute()] = descriptor
    except OSError:  # a folder that cannot be written: Snakemake says so itself
        return
