"""Tell how far a run is that another terminal or a cluster makes."""

import argparse

from bood_tasks.cli.arguments import take_overlays, with_overlays

EXAMPLES = ["bood status", "bood status --configfile workflow/presets/demo.yaml"]


def arguments(command: argparse.ArgumentParser) -> None:
    take_overlays(command, without="tell of the run that began last in this folder")


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli.status import status

    files = arguments.configfile
    status(with_overlays(files) if files else None)
