"""Print the time of each stage, and the files in results/."""

import argparse
from pathlib import Path

from bood_tasks.catalogue.products import RESULTS
from bood_tasks.cli.arguments import take_artifacts

EXAMPLES = ["bood summary artifacts/images artifacts/detector"]


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    take_artifacts(command)


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli.listing import summary
    from bood_tasks.cli.upkeep import manifests_below

    summary(manifests_below(arguments.paths), arguments.results)
