"""Hash artifacts again and name damaged files."""

import argparse
import os
import shlex

from bood_tasks.cli.arguments import take_artifacts, take_overlays, with_overlays

EXAMPLES = [
    "bood verify",
    "bood verify --repair --configfile workflow/presets/demo.yaml",
]


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--jobs", type=int, help="files read at once; without it, one per CPU")
    command.add_argument("--repair", action="store_true", help="make damaged artifacts again")
    take_overlays(command)
    command.add_argument(
        "--snakemake", default="", help="Snakemake's arguments for --repair, as one text"
    )
    take_artifacts(command)


def run(arguments: argparse.Namespace) -> int:
    from bood_tasks.cli.upkeep import repair, verify

    damaged = verify(arguments.paths, max(1, arguments.jobs or os.cpu_count()))
    if damaged and arguments.repair:
        files = arguments.configfile
        return repair(damaged, files, with_overlays(files), shlex.split(arguments.snakemake))
    return 1 if damaged else 0
