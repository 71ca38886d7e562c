"""Where a soak works: a folder, or an ext4 of its own whose power can be cut and that can be full.

Of the latter root alone has the use, on Linux: it is a file, mounted as a loop device. Its bytes at
a moment are what a disk would hold had the power gone then. What had not been sent to it is lost.
"""

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

SIZE_MB = 2000
BYTES_PER_INODE = 4096  # an artifact is many small files
RELEASES = 50  # tries to unmount: a process that was killed holds its files for a moment


class Folder:
    """A plain folder; a power cut can only be imitated, and it is never full."""

    device = False

    def __init__(self, place: Path):
        self.folder = place / "work"
        self.folder.mkdir()

    def close(self) -> None:
        """Nothing is to be undone."""


class LoopDevice:
    """An ext4 in a file. Raises OSError where none can be mounted, which takes root."""

    device = True

    def __init__(self, place: Path, size_mb: int = SIZE_MB):
        self.image, self.folder = place / "disk.img", place / "work"
        self.folder.mkdir()
        with self.image.open("wb") as handle:
            handle.truncate(size_mb << 20)
        _call("mkfs.ext4", "-q", "-F", "-m", "0", "-i", str(BYTES_PER_INODE), self.image)
        self._mount()

    def _mount(self) -> None:
        _call("mount", "-o", "loop", self.image, self.folder)

    def snapshot(self) -> Path:
        """Return a copy of the bytes that the device holds now."""
        copy = self.image.with_suffix(".cut")
        _call("cp", "--sparse=always", self.image, copy)
        return copy

    def restart(self, copy: Path) -> None:
        """Go on from a copy, as after a power cut: its journal is replayed. No process is left."""
        self.close()
        os.replace(copy, self.image)
        self._mount()

    @contextmanager
    def full(self):
        """No byte is free meanwhile."""
        ballast = self.folder / "ballast"
        with ballast.open("wb") as handle:
            free = shutil.disk_usage(self.folder).free
            while free >= 4096:  # others write at the same time
                try:
                    os.posix_fallocate(handle.fileno(), handle.seek(0, os.SEEK_END), free)
                except OSError:
                    free //= 2
        try:
            yield
        finally:
            ballast.unlink()

    def close(self) -> None:
        """Unmount."""
        for attempt in range(RELEASES):
            try:
                return _call("umount", self.folder)
            except OSError:
                if attempt == RELEASES - 1:
                    raise
                time.sleep(0.2)


def _call(*command: object) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")


@contextmanager
def disk(place: Path, kind: str):
    """Yield a Folder or a LoopDevice, which "auto" takes where it can be had; it is closed at the
    end. `place` is an empty folder. Raises OSError for a "loop" that cannot be had."""
    made = None
    if kind != "folder":
        try:
            made = LoopDevice(place)
        except OSError as error:
            if kind == "loop":
                raise
            shutil.rmtree(place / "work", ignore_errors=True)
            print(f"no loop device here ({error}); power cuts are imitated", flush=True)
    made = made or Folder(place)
    try:
        yield made
    finally:
        made.close()
