"""Real pictures for tests: where the measuring data lie, and some of them, never written here.

The folder is no part of the project: it holds archives of losslessly kept pictures. Tests that need
it are skipped where it is absent; writers of published formats draw pictures of their own then.
"""

import io
import os
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest


def realdata() -> Path | None:
    """Return the folder of real data: BOOD_REALDATA, or shared/realdata beside the repository."""
    beside = Path(__file__).parents[2] / "shared/realdata"
    folder = Path(os.environ.get("BOOD_REALDATA") or beside)
    return folder if folder.is_dir() else None


needs_realdata = pytest.mark.skipif(realdata() is None, reason="no real data here (BOOD_REALDATA)")


@cache
def _packed(archive: str) -> dict[str, list[bytes]]:
    """Return {folder: its files} of an archive, read once: it can be read from its start alone."""
    found: dict[str, list[bytes]] = {}
    with tarfile.open(realdata() / f"{archive}.tar.xz", "r|xz") as stream:
        for member in stream:
            if member.isfile():
                folder = member.name.rpartition("/")[0]
                found.setdefault(folder, []).append(stream.extractfile(member).read())
    return found


def real_files(archive: str) -> dict[str, bytes]:
    """Return {name from the archive's top folder: content} of every file of an archive."""
    found = {}
    with tarfile.open(realdata() / f"{archive}.tar.xz", "r|xz") as stream:
        for member in stream:
            if member.isfile():
                name = member.name.removeprefix("./").removeprefix(f"{archive}/")
                found[name] = stream.extractfile(member).read()
    return found


@cache
def real_pictures(archive: str, folder: str, count: int) -> list[np.ndarray]:
    """Return the first `count` pictures of an archive's folder, uint8 [h, w, 3]."""
    found = []
    for content in _packed(archive)[folder][:count]:
        with PIL.Image.open(io.BytesIO(content)) as picture:
            found.append(np.array(picture.convert("RGB")))
    return found
