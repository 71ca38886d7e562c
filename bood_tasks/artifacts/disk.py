"""Files that a power cut leaves as they were or as they were to be, and never in between.

A file is on the disk when `fsync` of it has returned, its name when that of its folder has.
Whatever vouches for a file (a manifest, a note of progress, a record of results/) is written after
the file is on the disk.
"""

import errno
import os
from pathlib import Path

# What file systems answer that cannot sync a folder, some network and FUSE ones. An error of the
# disk itself is none of them.
CANNOT_SYNC_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EISDIR)


def sync(path: Path) -> None:
    """Return when a file's content, or a folder's list of names, is on the disk."""
    folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        if folder and error.errno in CANNOT_SYNC_FOLDERS:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not folder or error.errno not in CANNOT_SYNC_FOLDERS:
            raise
    finally:
        os.close(descriptor)


def replace(scratch: Path, path: Path) -> None:
    """Give a finished file its name in one step; file and name are on the disk on return."""
    sync(scratch)
    os.replace(scratch, path)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace a file's content in one step; it is on the disk on return."""
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text(text, encoding="utf-8")
    replace(scratch, path)
