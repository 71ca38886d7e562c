"""List artifacts that no configuration reaches."""

import argparse
from pathlib import Path

from bood_tasks.cli.arguments import with_overlays

EXAMPLES = [
    "bood gc workflow/presets/demo.yaml",
    "bood gc --delete demo.yaml+mine.yaml",
]


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--delete", action="store_true", help="move them to artifacts/.trash, too")
    command.add_argument(
        "--now", action="store_true", help="with --delete: remove them and the trash for good"
    )
    command.add_argument(
        "--no-jobs",
        action="store_true",
        help="no job runs: remove also where the file system knows no locks",
    )
    command.add_argument(
        "overlays",
        nargs="*",
        default=[],
        help="YAML files over config.yaml whose artifacts are kept, too; a.yaml+b.yaml stands for "
        "both at once. What config.yaml alone reaches is always kept",
    )


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli.upkeep import gc

    overlays = [
        [Path(item)] if Path(item).is_file() else [Path(f) for f in item.split("+")]
        for item in arguments.overlays
    ]
    gc(
        [with_overlays(o) for o in ([], *overlays)],
        delete=arguments.delete,
        now=arguments.now,
        no_jobs=arguments.no_jobs,
    )
