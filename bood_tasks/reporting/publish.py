"""Copy a product into results/, replacing what was there, and record which artifact it is.

The record `.published/<kind>-<digest>.json` stands if and only if results/ holds that artifact's
files: records are withdrawn before the first file changes and written after the last one is on the
disk. One process at a time changes results/.

results/ is one configuration's: with a publication of one goes what others have published, file by
file as their records list them; the artifacts stay. `results/README.md` says whose it is.
"""

import argparse
import contextlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bood_tasks.artifacts import disk
from bood_tasks.artifacts.locks import alone_in
from bood_tasks.artifacts.manifest import damaged_files, payload_files, write_json
from bood_tasks.artifacts.outside import require_writable
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.products import PRODUCTS
from bood_tasks.jobs.job import run

README = "README.md"
WITHDRAWN = "withdrawn: "  # begins a line of the log that everybody should read


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


@dataclass(frozen=True)
class About:
    """A run's note: the records of its configuration, and what results/README.md shall say."""

    records: frozenset[str]
    readme: str


def read_about(path: Path) -> About | None:
    """Return what a run says of its configuration; None where it has said nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return About(frozenset(content["records"]), content["readme"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{path} does not say whose results these are: {error}", file=sys.stderr)
        return None


def publish(
    artifact: Artifact, record: Path, *, kind: str, about: About | None = None
) -> list[Path]:
    """Copy the artifact's payload into the results folder and return the files there.

    Files that an earlier publication of this kind put there and this one lacks are removed, with
    `about` also those of other configurations; all others are left alone. The next call of the same
    kind finishes what a killed one began.
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
        if about:
            _withdraw_others(record, results, about)
            _say_whose(record.parent, results, about.readme)
        return _exchange(artifact, record, results, kind)


def _withdraw_others(record: Path, results: Path, about: About) -> None:
    """Remove what other configurations have published, but for files that this one has, too.

    What stands in no record stays. Who is killed on the way leaves a `.pending`, which the next
    publication finishes.
    """
    published = record.parent
    own = {
        note for note in published.glob("*-*.json") if note.name in about.records | {record.name}
    }
    stay = set().union(*map(_recorded, own))
    others: dict[str, list[Path]] = {}
    for note in sorted({*published.glob("*-*.json"), *published.glob("*.pending")} - own):
        kind = note.stem if note.suffix == ".pending" else note.stem.rpartition("-")[0]
        others.setdefault(kind, []).append(note)
    told = []
    for kind, notes in others.items():
        names = sorted(set().union(*map(_recorded, notes)) - stay)
        pending = published / f"{kind}.pending"
        write_json(pending, {"files": names})
        for note in notes:
            if note != pending:
                note.unlink()
        for name in names:
            (results / name).unlink(missing_ok=True)
        for folder in {parent for name in names for parent in Path(name).parents[:-1]}:
            with contextlib.suppress(OSError):  # it holds something else
                (results / folder).rmdir()
        pending.unlink()
        if names and kind != record.name.rpartition("-")[0]:
            told.append(f"{kind} ({len(names)} file{'s' * (len(names) > 1)})")
    if told:
        print(f"{WITHDRAWN}{', '.join(told)}, which another configuration published in {results}")


def _say_whose(published: Path, results: Path, text: str) -> None:
    """Write results/README.md, unless one stands there that somebody else has written."""
    readme, record = results / README, published / README
    if readme.exists() and not record.exists():
        print(f"{readme} is not of this workflow and stays; {record} says whose results these are")
    elif _text(readme) == _text(record):  # as it was written, or gone
        disk.write_text(readme, text)
    disk.write_text(record, text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


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
    parser.add_argument("--about", type=Path, help="what the run says of its configuration")
    arguments = parser.parse_args(argv)
    about = read_about(arguments.about) if arguments.about else None
    artifact = Artifact(arguments.manifest)
    for path in publish(artifact, arguments.out, kind=arguments.kind, about=about):
        print(path)


if __name__ == "__main__":
    run(main)
