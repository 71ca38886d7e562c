"""List artifacts: the row that they serve, their date, size and time."""

import argparse
import sys
from pathlib import Path

from bood_tasks.cli.arguments import take_artifacts, take_overlays, with_overlays

EXAMPLES = ["bood ls artifacts/detector"]


def arguments(command: argparse.ArgumentParser) -> None:
    take_overlays(command)
    take_artifacts(command)


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli.listing import ls

    ls(arguments.paths, _rows(arguments.configfile))


def _rows(files: list[Path]) -> dict[str, list[str]]:
    """Return the rows that each artifact of a configuration serves, by its digest."""
    from bood_tasks.cli.rows import served

    try:
        return served(with_overlays(files))
    except (ValueError, OSError) as error:  # artifacts can be listed where nobody configures
        if files:
            raise
        print(f"rows are not shown: {error}", file=sys.stderr)
        return {}
