"""The manifest of an artifact: written last, it says what the folder holds."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from bood_tasks.artifacts import disk
from bood_tasks.artifacts.spec import digest_of, to_json

FORMAT = 1
MANIFEST_COPY = ".finished.json"  # stays when Snakemake removes the manifest before a job
NO_PAYLOAD = ("manifest.json", "run.json", MANIFEST_COPY, ".progress")
SMALL_BYTES = 2**16  # files up to here are hashed whenever an artifact is opened


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
        dict(found["rows"])
        for name, item in found["files"].items():
            inside = not Path(name).is_absolute() and ".." not in Path(name).parts
            if not inside or not isinstance(item["size"], int) or len(item["sha256"]) != 64:
                raise ValueError(f"{name!r} is no payload file")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{manifest.parent} holds no manifest.json, so it is no finished artifact; "
            "ask Snakemake for it by name"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedArtifact(f"{manifest} is damaged: {error!r}") from error
    if found["format"] != FORMAT:
        raise DamagedArtifact(f"{manifest} has format {found['format']}, this code reads {FORMAT}")
    return found


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
    return True


def damaged_files(folder: Path, files: Mapping[str, Mapping], *, rehash: bool) -> list[str]:
    """Return one line per file that is missing, of another size or of other content.

    The content of small files (a damaged zarr.json would change an array's meaning) is always
    checked, that of all others if `rehash`; each chunk of an array has a CRC-32C of its own.
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
        elif (rehash or expected["size"] <= SMALL_BYTES) and sha256(path) != expected["sha256"]:
            problems.append(f"{name} has other content than its manifest says")
    return problems
