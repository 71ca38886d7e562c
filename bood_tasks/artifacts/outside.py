"""What lies outside the artifact tree: files that settings name, their digests, and results/."""

import hashlib
import json
import os
from pathlib import Path

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.spec import DIGEST_LENGTH, ROOT

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

    Reads headers only, so that truncated weights are found before any job starts. The format: 8
    bytes with the header's length, little-endian; a JSON header with each tensor's offsets; data.
    """
    for file in sorted(folder.rglob("*.safetensors")):
        size = file.stat().st_size
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            header = handle.read(length) if 0 < length < size else b""
        try:
            ends = [
                item["data_offsets"][1] for item in json.loads(header).values() if "dtype" in item
            ]
        except (ValueError, KeyError, TypeError, AttributeError):
            ends = []
        if size != 8 + length + max(ends, default=-1):
            raise ValueError(
                f"{setting} must hold whole weights, and {file} ({size} bytes) is damaged or "
                "incomplete; copy this file again"
            )


def content_digest(path: Path) -> str:
    """Return the shortened SHA-256 of a file, or of a folder's names and files.

    Hashes are cached by path, size and modification time, so that planning stays fast.
    """
    cache_path = ROOT / ".digests.json"
    try:
        cache = json.loads(cache_path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        cache = {}
    files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
    total, fresh = hashlib.sha256(), False
    for item in files:
        state = item.stat()
        key = str(item.resolve())
        known = cache.get(key)
        if known is None or known[:2] != [state.st_size, state.st_mtime_ns]:
            with item.open("rb") as handle:
                known = [
                    state.st_size,
                    state.st_mtime_ns,
                    hashlib.file_digest(handle, "sha256").hexdigest(),
                ]
            cache[key], fresh = known, True
        name = item.relative_to(path).as_posix() if path.is_dir() else ""
        total.update(f"{name}\0{known[2]}\n".encode())
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
