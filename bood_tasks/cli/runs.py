"""What a run of the workflow says of itself: for `bood status`, and for whoever opens results/.

`.snakemake/bood/run-<digest of the configuration>.json`, written before the first job.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bood_tasks import PROJECT, __version__
from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.spec import digest_of
from bood_tasks.catalogue.titles import row_name
from bood_tasks.cli.rows import scores_of
from bood_tasks.config.datasets import is_text
from bood_tasks.config.files import shown
from bood_tasks.config.root import Config
from bood_tasks.plan.choice import lineage
from bood_tasks.plan.plan import Plan
from bood_tasks.reporting.tables.layout import escape

FOLDER = Path(".snakemake", "bood")
TYPED = "BOOD_TYPED"  # `bood run` says so what its user typed


@dataclass(frozen=True)
class Run:
    """One run: its overlays and `--config` values, the whole configuration as JSON, when
    (seconds since 1970) and where it began, its command and log, the digests of the artifacts that
    it makes; and what publishing reads: the records of this configuration, results/README.md."""

    files: list[str]
    overrides: dict[str, Any]
    config: str
    began: float
    host: str
    process: int
    command: str
    log: str
    makes: list[str]
    records: list[str]
    readme: str


def note_of(config: Mapping) -> Path:
    """Return the file in which runs of a configuration, as YAML gives it, say what they do."""
    return FOLDER / f"run-{digest_of({'config': _as_text(config)})}.json"


def _as_text(config: Mapping) -> str:
    """Return a configuration as JSON; what JSON cannot hold, YAML's dates, as it is written.

    Its order stays: that of rows is the order in which tables show them.
    """
    return json.dumps(config, default=str)


def command_line(argv: Sequence[str]) -> str:
    """Return the command that started this Snakemake, to be typed again."""
    if typed := os.environ.get(TYPED):
        return typed
    return shlex.join(["snakemake", *argv[1:]])


def note(
    raw: dict[str, Any],
    config: Config,
    plan: Plan,
    *,
    files: Iterable[str | Path],
    overrides: dict[str, Any],
    outputs: Iterable[str],
    log: str,
) -> Run:
    """Write what this run is; `outputs` are the files that it will make."""
    names = [shown(file) for file in files]
    began = time.time()
    run = Run(
        names, overrides, _as_text(raw), began, platform.node(), os.getpid(),
        command_line(sys.argv), log,
        [name for name in (Path(item).parent.name for item in outputs) if name in plan.specs],
        records_of(plan),
        readme(config, names, overrides, began),
    )  # fmt: skip
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_json(note_of(raw), asdict(run))
    return run


def records_of(plan: Plan) -> list[str]:
    """Return the names of the records that a plan's configuration publishes."""
    return sorted(f"{kind}-{spec.digest}.json" for kind, spec in plan.shown().items())


def plan_on(path: Path, plan: Plan) -> list[str]:
    """Return the digests of what a run makes besides, since its plan has grown, and add them to
    what it has said of itself."""
    new = {
        digest for digest in lineage(plan.choice) if not Path(plan.specs[digest].manifest).is_file()
    }
    if not path.is_file():
        return sorted(new)
    content = json.loads(path.read_text(encoding="utf-8"))
    more = sorted(new - set(content["makes"]))
    write_json(path, content | {"makes": content["makes"] + more, "records": records_of(plan)})
    return more


def last() -> Run | None:
    """Return the run that began last in this folder, None if none has said what it is."""
    found = []
    for path in FOLDER.glob("run-*.json"):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append(Run(**{field.name: content[field.name] for field in fields(Run)}))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of another version, or being written
    return max(found, key=lambda run: run.began, default=None)


def version() -> str:
    """Return the commit of this clone, as `git describe` names it, else the package's version."""
    if not (PROJECT / ".git").exists():
        return __version__
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--tags"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):  # no git here, or a clone of somebody else's
        return __version__
    return f"{__version__}, commit {said.stdout.strip()}"


def readme(config: Config, files: list[str], overrides: dict[str, Any], began: float) -> str:
    """Return results/README.md: whose these files are, and what uses the detectors behind them."""
    named = ", ".join(["config.yaml", *files])
    changed = "".join(f", `--config {key}={json.dumps(value)}`" for key, value in overrides.items())
    overlays = f" --configfile {shlex.join(files)}" if files else ""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(began))
    lines = [
        "# What lies here",
        "",
        f"Results of one configuration: {named}{changed}; ID `{config.id}`, "
        f"seeds {', '.join(map(str, config.seeds))}.",
        f"Published by the run that began {when} on {platform.node()}, BOOD tasks {version()}.",
        "",
        "The workflow wrote these files and replaces them. Those of another configuration are",
        "withdrawn when it publishes, and are back in seconds when this one runs again: what they",
        "are copied from stays in `artifacts/`. Files of your own are never touched.",
        "",
    ]
    what = "TEXTS" if is_text(config.datasets[config.id]) else "PICTURES"
    usual = f"--row {next(iter(config.rows))}{overlays}"
    lines += [
        f"A row's detector judges {what.lower()} by its row's name, or by the folder below, and",
        "can be carried away:", "",
        f"    bood score {what} {usual}", f"    bood bundle OUT {usual}", "",
    ]  # fmt: skip
    lines += ["| row | method | seed | folder |", "| --- | --- | --- | --- |"]
    for name, row in config.rows.items():
        for seed in config.seeds:
            folder = Path(scores_of(config, name, seed).manifest).parent
            method = escape(row_name(row.method, row.variant))
            lines.append(f"| {escape(name)} | {method} | {seed} | `{folder}` |")
    return "\n".join([*lines, ""])
