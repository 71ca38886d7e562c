"""What lies outside the artifact tree: files that settings name, their digests, and results/."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.spec import DIGEST_LENGTH, ROOT
from bood_tasks.catalogue.corpora import TEXT_SUFFIXES
from bood_tasks.catalogue.datasets import IMAGE_SUFFIXES
from bood_tasks.catalogue.imglist import read_list
from bood_tasks.catalogue.walk import walk
from bood_tasks.networks.headers import header

SHIPPED = "embedded:"


def locate(path: str, setting: str) -> Path:
    """Return the file or folder that a setting names; `embedded:x` is package data.

    Raises FileNotFoundError that names the setting.
    """
    shipped = path.startswith(SHIPPED)
    found = EMBEDDED / path.removeprefix(SHIPPED) if shipped else Path(path)
    if not found.exists():
        names = ", ".join(sorted(item.name for item in EMBEDDED.iterdir()))
        cure = (
            f"shipped are: {names}"
            if shipped
            else "put it there or correct the path (relative to the working folder)"
        )
        raise FileNotFoundError(f"{setting} must name something that exists, got {path!r}; {cure}")
    return found


def require_whole_weights(folder: Path, setting: str) -> None:
    """Raise ValueError unless every .safetensors file below is as long as its header says.

    Reads headers only, so that truncated weights are found before any job starts.
    """
    for file in walk(folder, (".safetensors",)).files:
        size = file.stat().st_size
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
        try:
            ends = [item["data_offsets"][1] for item in header(file).values()]
        except (KeyError, TypeError, IndexError):
            ends = []
        if not ends or size != 8 + length + max(ends):
            raise ValueError(
                f"{setting} must hold whole weights, and {file} ({size} bytes) is damaged or "
                "incomplete; copy this file again"
            )


# What stages read of a folder; others read every file.
READ_OF_FOLDERS = {
    "dataset": IMAGE_SUFFIXES,
    "corpus": TEXT_SUFFIXES,
    "network": (".json",),  # of a transformers model, whose weights are `pretrained`
    "vocabulary": (".json",),
}


def content_digest(path: Path, suffixes: tuple[str, ...] | None = IMAGE_SUFFIXES) -> str:
    """Return the shortened SHA-256 of a file, or of the names and contents of a folder's files.

    Of a folder, those that `walk` gives for these suffixes count: what a stage reads, and nothing
    else (None: every file; generators are read so). Hashes are cached by path, size and
    modification time, so that planning stays fast.
    """
    files = sorted(walk(path, suffixes).files) if path.is_dir() else [path]
    return _digest([(file.relative_to(path).as_posix() if path.is_dir() else "", file)
                    for file in files])  # fmt: skip


def lists_digest(root: Path, lists: Mapping[str, str], pictures: str, setting: str) -> str:
    """Return the shortened SHA-256 of a data set's list files, {split: file}, and of the pictures
    that they name below the folder `pictures`. A picture that is not there counts as such.

    Raises ValueError as read_list does.
    """
    files = {split: root / file for split, file in sorted(lists.items())}
    paths = {line.path for file in files.values() for line in read_list(file, setting)}
    named = [(f"list {split}", file) for split, file in files.items()]
    named += [(path, root / pictures / path) for path in sorted(paths)]
    return _digest((name, file if file.is_file() else None) for name, file in named)


def _digest(files: Iterable[tuple[str, Path | None]]) -> str:
    """Return the shortened SHA-256 of files, each under a name; None: it is not there."""
    cache_path = ROOT / ".digests.json"
    try:
        cache = json.loads(cache_path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        cache = {}
    total, fresh = hashlib.sha256(), False
    for name, item in files:
        if item is None:
            total.update(os.fsencode(f"{name}\0\n"))
            continue
        state = item.stat()
        key = ascii(str(item.resolve()))[1:-1]  # names need not be UTF-8
        known = cache.get(key)
        if known is None or known[:2] != [state.st_size, state.st_mtime_ns]:
            with item.open("rb") as handle:
                known = [
                    state.st_size,
                    state.st_mtime_ns,
                    hashlib.file_digest(handle, "sha256").hexdigest(),
                ]
            cache[key], fresh = known, True
        total.update(os.fsencode(f"{name}\0{known[2]}\n"))
    if fresh:
        _keep(cache_path, cache)
    return total.hexdigest()[:DIGEST_LENGTH]


def _keep(cache_path: Path, cache: dict) -> None:
    """Write the cache; a store that is read-only works without one."""
    try:
        cache_path.parent.mkdir(parents=True, exist_ok=True)
        scratch = cache_path.with_name(f"{cache_path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(cache), encoding="utf-8")
        os.replace(scratch, cache_path)
    except OSError:
        return


def require_writable(folder: Path) -> None:
    """Raise ValueError or PermissionError unless files can be made in the folder (made too)."""
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise ValueError(f"results must be a folder, got the file {place}; move it away")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PermissionError(
            f"results must be a folder that can be written, got {folder} ({error.strerror}); "
            "change its permissions or free some space"
        ) from None
