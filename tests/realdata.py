"""Real data for tests that need them: not part of the project, so most machines have none.

Nothing of them is written here. Archives of losslessly kept pictures, and corpora, lie there.
"""

import io
import os
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

BESIDE = Path(__file__).parents[1] / "../shared/realdata"


def real_folder() -> Path | None:
    """Return the folder of real data, $BOOD_REALDATA or ../shared/realdata beside the checkout."""
    folder = Path(os.environ.get("BOOD_REALDATA") or BESIDE).resolve()
    return folder if folder.is_dir() else None


def realdata() -> Path:
    """Return the folder of real data; skip the test where there is none."""
    return real_folder() or pytest.skip("no real data here; BOOD_REALDATA names their folder")


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


@cache
def real_pictures(archive: str, folder: str, count: int) -> list[np.ndarray]:
    """Return the first `count` pictures of an archive's folder, uint8 [h, w, 3]."""
    found = []
    for content in _packed(archive)[folder][:count]:
        with PIL.Image.open(io.BytesIO(content)) as picture:
            found.append(np.array(picture.convert("RGB")))
    return found
