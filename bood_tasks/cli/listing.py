"""The tables that `bood ls` prints, and the summary at the end of a run."""

from collections.abc import Iterable
from pathlib import Path

from bood_tasks.artifacts.manifest import DamagedArtifact, read_facts, read_manifest
from bood_tasks.artifacts.usage import duration, size
from bood_tasks.cli.upkeep import manifests_below

RESULTS = Path("results")


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


def ls(paths: list[Path]) -> None:
    """Print a table of the artifacts in `paths`."""
    rows = []
    for manifest in manifests_below(paths):
        folder = manifest.parent
        try:
            content = read_manifest(manifest)
        except DamagedArtifact as error:
            rows.append((folder.parent.parent.name, folder.parent.name, folder.name, str(error)))
            continue
        counts = ", ".join(f"{count} {what}" for what, count in content["rows"].items())
        held = sum(item["size"] for item in content["files"].values())
        seconds = read_facts(manifest).get("seconds")
        rows.append(
            (
                content["spec"]["stage"],
                folder.parent.name,
                folder.name,
                counts,
                size(held),
                "" if seconds is None else duration(seconds),
            )
        )
    sides = ("left", "left", "left", "left", "right", "right")
    headings = ("stage", "name", "digest", "rows", "size", "time")
    print_table(rows, dict(zip(headings, sides, strict=True)))


def summary(manifests: Iterable[Path], results: Path) -> None:
    """Print the time that each stage took for these artifacts, and the files in `results`."""
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
    if results.is_dir():
        print("\n".join(str(path) for path in sorted(results.iterdir()) if path.name[0] != "."))


def summarise(plan) -> None:
    """Print the summary at the end of a workflow: `plan` knows every artifact asked for."""
    summary((Path(spec.manifest) for spec in plan.specs.values()), RESULTS)
