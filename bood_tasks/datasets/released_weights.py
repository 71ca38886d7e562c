"""Released weights on disk: fetched where that is allowed, and checked before they are read."""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bood_tasks.catalogue.weights import WEIGHTS
from bood_tasks.datasets.download import fetch_file
from bood_tasks.jobs.environment import run_setting


def fetch_weights(name: str, folder: Path) -> None:
    """Fetch released weights into a folder; a file that is there stays.

    Raises OSError if the network fails and ValueError for a wrong checksum.
    """
    entry = WEIGHTS[name]
    print(f"fetching {entry.title} into {folder}", flush=True)
    for file, (address, checksum) in entry.files.items():
        if (folder / file).is_file():
            continue
        fetch_file(address, folder / file, partial(_require, checksum=checksum))


def require_released(path: Path, settings: Mapping, setting: str) -> None:
    """Check the files of released weights at `path`, the file or its folder, fetched first if they
    may be; weights of one's own pass.

    Raises FileNotFoundError for one that is not there and ValueError for a wrong checksum, each
    with the cure.
    """
    name = settings.get("released")
    if name is None:
        return
    folder = path if len(settings["files"]) > 1 else path.parent
    if not WEIGHTS[name].holds(folder) and run_setting("download"):
        fetch_weights(name, folder)
    if not WEIGHTS[name].holds(folder):
        raise FileNotFoundError(WEIGHTS[name].missing(setting, folder))
    for file, checksum in settings["files"].items():
        _require(folder / file, checksum)


def _require(path: Path, checksum: str) -> None:
    with path.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if not found.startswith(checksum):
        raise ValueError(
            f"{path} must have the SHA-256 {checksum}, got {found}; delete it and fetch it again, "
            "or name it by its path if it is another file on purpose"
        )
