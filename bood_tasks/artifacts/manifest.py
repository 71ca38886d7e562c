"""The manifest of an artifact: written last, it says what the folder holds."""

import hashlib
import json
import math
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from bood_tasks.artifacts import disk
from bood_tasks.artifacts.spec import digest_of, to_json

FORMAT = 1
MANIFEST_COPY = ".finished.json"  # stays when Snakemake removes the manifest before a job
NO_PAYLOAD = ("manifest.json", "run.json", MANIFEST_COPY, ".progress")
SMALL_BYTES = 2**16  # chunks up to here are hashed whenever an artifact is opened
CHUNK = re.compile(r"data\.zarr/(.+/)?c/\d+(/\d+)*")  # has checksums of its own, read with it


class DamagedArtifact(ValueError):
    """A finished artifact whose files are not what its manifest says."""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def payload_files(folder: Path) -> list[Path]:
    """Return an artifact's payload, sorted: everything but manifest, run facts and progress."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in NO_PAYLOAD
    )


def write_json(path: Path, value: object) -> None:
    """Replace `path` in one step with sorted, indented JSON that is on the disk on return."""
    disk.write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_manifest(manifest: Path) -> dict:
    """Return a manifest's content: format, spec, rows, files."""
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        found = {key: content[key] for key in ("format", "spec", "rows", "files")}
        digest_of(found["spec"])
        if not isinstance(found["spec"]["stage"], str) or "settings" not in found["spec"]:
            raise ValueError("its spec names no stage")
        if not all(type(count) is int for count in found["rows"].values()):
            raise ValueError("its rows are no counts")
        for name, item in found["files"].items():
            inside = not Path(name).is_absolute() and ".." not in Path(name).parts
            sized = type(item["size"]) is int and 0 <= item["size"] < 2**63
            if not inside or not sized or not re.fullmatch("[0-9a-f]{64}", item["sha256"]):
                raise ValueError(f"{name!r} is no payload file")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{manifest.parent} holds no manifest.json, so it is no finished artifact; "
            "ask Snakemake for it by name"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedArtifact(f"{manifest} is damaged: {error!r}") from error
    if found["format"] != FORMAT:
        raise DamagedArtifact(f"{manifest} has format {found['format']}, this code reads {FORMAT}")
    return found


def read_facts(manifest: Path) -> dict:
    """Return what run.json says of how an artifact was made; no result depends on it.

    What is not there is left out, and so is what cannot be: a damaged or foreign file, a time or a
    rate that is no number.
    """
    path = manifest.with_name("run.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds {type(found).__name__}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        print(f"{path} cannot be read and is left out: {error}", file=sys.stderr)
        return {}
    numbers = ("seconds", "process_seconds", "tflops", "images_per_second", "peak_memory_mb")
    return {key: value for key, value in found.items() if key not in numbers or _is_amount(value)}


def _is_amount(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= sys.float_info.max and math.isfinite(value)


def restore(manifest: Path, identity: Mapping) -> bool:
    """Put a removed manifest back from its twin if the payload is whole; return whether it was."""
    try:
        content = read_manifest(manifest.with_name(MANIFEST_COPY))
    except (FileNotFoundError, DamagedArtifact):
        return False
    if content["spec"] != json.loads(to_json(identity)):
        return False
    if damaged_files(manifest.parent, content["files"], rehash=True):
        return False
    write_json(manifest, content)
    shutil.rmtree(manifest.parent / ".progress", ignore_errors=True)  # killed before it was gone
    return True


def damaged_files(folder: Path, files: Mapping[str, Mapping], *, rehash: bool) -> list[str]:
    """Return one line per file that is missing, of another size or of other content.

    The content of all files is checked but for large chunks of arrays: each has a CRC-32C of its
    own, without which it does not read. They are hashed, too, if `rehash`.
    """
    problems = []
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif path.stat().st_size != expected["size"]:
            problems.append(
                f"{name} has {path.stat().st_size} bytes, should have {expected['size']}"
            )
        elif (rehash or expected["size"] <= SMALL_BYTES or not CHUNK.fullmatch(name)) and sha256(
            path
        ) != expected["sha256"]:
            problems.append(f"{name} has other content than its manifest says")
    return problems
