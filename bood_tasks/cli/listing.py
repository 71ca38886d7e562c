"""The tables that `bood ls` prints, and the summary at the end of a run."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bood_tasks.artifacts.manifest import DamagedArtifact, read_facts, read_manifest
from bood_tasks.artifacts.usage import duration, size
from bood_tasks.catalogue.products import PRODUCTS, RESULTS
from bood_tasks.cli.upkeep import manifests_below

MOST = 3  # differences and counts of an artifact that are shown
MOST_LETTERS = 24  # of a setting's value
MOST_ROWS = 3  # that are named


def print_table(rows: list[tuple[str, ...]], columns: dict[str, str]) -> None:
    """Print a table; `columns` maps a heading to its side, left or right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, side in columns.items():
        table.add_column(heading, justify=side, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 160  # a pipe has no width: leave names whole
    console.print(table)


def ls(paths: list[Path], rows: Mapping[str, list[str]]) -> None:
    """Print a table of the artifacts in `paths`; `rows`: those that each digest serves."""
    lines, specs = [], {}
    manifests = list(manifests_below(paths))
    for manifest in manifests:
        try:
            specs[manifest] = read_manifest(manifest)
        except DamagedArtifact:
            continue
    apart = differences({path: content["spec"] for path, content in specs.items()})
    for manifest in manifests:
        folder = manifest.parent
        named = (folder.parent.parent.name, folder.parent.name, folder.name)
        if manifest not in specs:
            lines.append((*named, "", "", "is damaged: see `bood verify`", "", "", ""))
            continue
        content, facts = specs[manifest], read_facts(manifest)
        each = [f"{count} {what}" for what, count in content["rows"].items()]
        counts = ", ".join(each[:MOST] + ([f"{len(each) - MOST} more"] if len(each) > MOST else []))
        held = sum(item["size"] for item in content["files"].values())
        made = facts.get("started") or manifest.stat().st_mtime
        seconds, served = facts.get("seconds"), rows.get(folder.name, [])
        lines.append(
            (
                *named,
                ", ".join(served) if len(served) <= MOST_ROWS else f"{len(served)} rows",
                time.strftime("%Y-%m-%d %H:%M", time.localtime(made)),
                counts,
                size(held),
                "" if seconds is None else duration(seconds),
                apart.get(manifest, ""),
            )
        )
    headings = ("stage", "name", "digest", "row", "made", "rows", "size", "time", "differs in")
    sides = dict.fromkeys(headings, "left") | {"size": "right", "time": "right"}
    unused = [n for n, heading in enumerate(headings) if heading in ("row", "rows", "differs in")
              and not any(line[n] for line in lines)]  # fmt: skip
    kept = [n for n in range(len(headings)) if n not in unused]
    print_table(
        [tuple(line[n] for n in kept) for line in lines],
        {headings[n]: sides[headings[n]] for n in kept},
    )


def differences(specs: Mapping[Path, Mapping]) -> dict[Path, str]:
    """Return, for each manifest whose stage and name others have, too, what sets it apart.

    Settings of what it is made from are found through their manifests; where one is not there, its
    digest stands for it.
    """
    alike: dict[tuple[str, str], list[Path]] = {}
    for manifest, spec in specs.items():
        alike.setdefault((spec["stage"], manifest.parent.parent.name), []).append(manifest)
    known: dict[str, dict[str, Any]] = {}
    found = {}
    for group in alike.values():
        if len(group) < 2:
            continue
        flat = {manifest: _flat(specs[manifest], manifest.parents[3], known) for manifest in group}
        names = dict.fromkeys(name for values in flat.values() for name in values)
        differ = [n for n in names if len({json.dumps(v.get(n)) for v in flat.values()}) > 1]
        for manifest, values in flat.items():
            told = [f"{name}={_short(values[name])}" for name in differ if name in values]
            more = [f"{len(told) - MOST} more"] if len(told) > MOST else []
            found[manifest] = ", ".join(told[:MOST] + more)
    return found


def _flat(spec: Mapping, root: Path, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the settings of an artifact, and of all that it is made from, by dotted names.

    Of many inputs of one role, e.g. shards, the first stands for all, and their number.
    """
    found: dict[str, Any] = {"version": spec.get("version")}

    def below(path: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                below(f"{path}.{key}" if path else key, item)
        else:
            found[path] = value

    below("", spec["settings"])
    for role, digests in spec.get("inputs", {}).items():
        if isinstance(digests, list):
            found[f"{role}.number"] = len(digests)
            digests = digests[0] if digests else ""
        if digests not in known:
            manifests = sorted(root.glob(f"*/*/{digests}/manifest.json")) if digests else []
            known[digests] = {}
            try:
                content = read_manifest(manifests[0])["spec"]
                known[digests] = _flat(content, root, known)
            except (IndexError, DamagedArtifact, FileNotFoundError):
                known[digests] = {"digest": digests}
        for name, value in known[digests].items():
            found.setdefault(f"{role}.{name}", value)
    return found


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def stage_times(manifests: Iterable[Path]) -> None:
    """Print the time that each stage took for these artifacts."""
    stages: dict[str, list[float]] = {}
    for manifest in manifests:
        if manifest.is_file():
            try:
                stage = read_manifest(manifest)["spec"]["stage"]
            except DamagedArtifact as error:
                print(error)
                continue
            stages.setdefault(stage, []).append(read_facts(manifest).get("seconds", 0.0))
    rows = [(stage, str(len(times)), duration(sum(times))) for stage, times in stages.items()]
    print_table(rows, {"stage": "left", "artifacts": "right", "time": "right"})


def summary(manifests: Iterable[Path], results: Path) -> None:
    """Print the time that each stage took for these artifacts, and the files in `results`."""
    stage_times(manifests)
    if results.is_dir():
        print("\n".join(str(path) for path in sorted(results.iterdir()) if path.name[0] != "."))


def summarise(plan, note: Path, logs: list[str]) -> None:
    """Print the summary at the end of a workflow: `plan` knows every artifact asked for, `note` is
    what the run said of itself when it began, `logs` are Snakemake's own."""
    stage_times(Path(spec.manifest) for spec in plan.specs.values())
    for line in made(RESULTS, {f"{k}-{s.digest}.json": k for k, s in plan.shown().items()}, note):
        print(line)
    for log in logs:
        print(f"log of the run: {os.path.relpath(log)}")


def made(results: Path, records: Mapping[str, str], note: Path) -> list[str]:
    """Return what lies in `results` of one configuration, in lines: what was published after `note`
    was written, and what stood there before. `records`: the kind of each of its records."""
    began = note.stat().st_mtime if note.is_file() else 0.0
    now, before = [], []
    for name, kind in records.items():
        record = results / ".published" / name
        if not record.is_file():
            continue
        paths = [results / item for item in json.loads(record.read_text(encoding="utf-8"))["files"]]
        folder = results / PRODUCTS[kind].folder
        whole = folder != results
        shown = [f"{folder}/ ({len(paths)} files of {kind})"] if whole else list(map(str, paths))
        (now if record.stat().st_mtime >= began else before).extend(shown)
    lines = sorted(now)
    if before:
        lines.append(f"from earlier runs of this configuration: {', '.join(sorted(before))}")
    return lines
