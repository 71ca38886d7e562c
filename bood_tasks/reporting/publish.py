"""Copy a product into results/, replacing what was there, and record which artifact it is.

The record `.published/<kind>-<digest>.json` stands if and only if results/ holds that artifact's
files: records are withdrawn before the first file changes and written after the last one is on the
disk. One process at a time changes results/.
"""

import argparse
import json
import shutil
from pathlib import Path

from bood_tasks.artifacts import disk
from bood_tasks.artifacts.locks import alone_in
from bood_tasks.artifacts.manifest import damaged_files, payload_files, write_json
from bood_tasks.artifacts.outside import require_writable
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.products import PRODUCTS
from bood_tasks.jobs.job import run


def _replace(source: Path, target: Path) -> None:
    """Copy in one step, so that nobody reads half a file; it is on the disk on return."""
    if target.is_dir():
        raise ValueError(f"{target} must be a file, got a folder; move it away")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.tmp")
    shutil.copyfile(source, scratch)
    disk.replace(scratch, target)


def _recorded(record: Path) -> set[str]:
    """Return the names of files below results/ that a record lists; a damaged one lists none."""
    try:
        names = json.loads(record.read_text(encoding="utf-8"))["files"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in names if not Path(name).is_absolute() and ".." not in Path(name).parts}


def publish(artifact: Artifact, record: Path, *, kind: str) -> list[Path]:
    """Copy the artifact's payload into the results folder and return the files there.

    Files that an earlier publication of this kind put there and this one lacks are removed,
    others left alone. The next call of the same kind finishes what a killed one began.
    """
    expected = f"{kind}-{artifact.digest}.json"
    if record.name != expected:
        raise ValueError(f"--out must be named {expected}, got {record.name}")
    damage = damaged_files(artifact.folder, artifact.files, rehash=True)
    if damage:
        raise ValueError(f"{artifact.folder}: {damage[0]}; run `bood verify --repair`")
    results, folder = record.parent.parent, Path(PRODUCTS[kind].folder)
    require_writable(record.parent)
    require_writable(results / folder)
    with alone_in(record.parent):
        return _exchange(artifact, record, results, kind)


def _exchange(artifact: Artifact, record: Path, results: Path, kind: str) -> list[Path]:
    """Replace the files of one kind by an artifact's payload; nobody else does so meanwhile."""
    folder = Path(PRODUCTS[kind].folder)
    payload = {
        (folder / path.relative_to(artifact.folder)).as_posix(): path
        for path in payload_files(artifact.folder)
    }
    pending = record.parent / f"{kind}.pending"
    earlier = sorted(record.parent.glob(f"{kind}-*.json"))
    ours = set(payload).union(*map(_recorded, [pending, *earlier]))
    write_json(pending, {"files": sorted(ours)})
    for note in earlier:
        note.unlink()
    for name, source in payload.items():
        _replace(source, results / name)
    for name in ours - set(payload):
        (results / name).unlink(missing_ok=True)
    write_json(
        record,
        {"artifact": artifact.folder.as_posix(), "digest": artifact.digest, "files": list(payload)},
    )
    pending.unlink()
    return [results / name for name in payload]


def exhibits(record: Path) -> dict[str, str]:
    """Return what `snakemake --report` shows of a publication: {file: what it is}.

    Pictures go with title and caption, other files by name. Nothing before it is published.
    """
    results = record.parent.parent
    files = sorted(name for name in _recorded(record) if (results / name).is_file())
    found = {name: name for name in files}
    for name in files:
        if Path(name).name == "captions.json":
            shown = json.loads((results / name).read_text(encoding="utf-8"))["figures"]
            found = {
                Path(name).with_name(item["file"]).as_posix(): f"{item['title']}. {item['caption']}"
                for item in shown
            }
    return {(results / name).as_posix(): text for name, text in found.items() if name in files}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--in", dest="manifest", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, help="results/.published/<record>")
    parser.add_argument("--kind", required=True, choices=list(PRODUCTS))
    arguments = parser.parse_args(argv)
    for path in publish(Artifact(arguments.manifest), arguments.out, kind=arguments.kind):
        print(path)


if __name__ == "__main__":
    run(main)
