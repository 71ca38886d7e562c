"""Write a trained detector as a folder or zip file that needs nothing beside it."""

import argparse
from pathlib import Path

from bood_tasks.cli.arguments import take_detector
from bood_tasks.cli.loading import exits_by_two

EXAMPLES = [
    "bood bundle --row bood shoes/ --configfile workflow/presets/demo.yaml",
    "bood bundle --row bood --zip shoes.zip",
]


def arguments(command: argparse.ArgumentParser) -> None:
    take_detector(command)
    command.add_argument(
        "--zip", action="store_true", help="write one zip file, which is read as it is"
    )
    command.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="new folder that is written, or file with --zip",
    )


@exits_by_two
def run(arguments: argparse.Namespace) -> int:
    from bood_tasks.cli.arguments import detector_of
    from bood_tasks.deploy.write_bundle import bundle

    folder, method, score_file = detector_of(arguments)
    bundle(
        folder,
        arguments.out,
        zipped=arguments.zip,
        score=arguments.score,
        method=method,
        score_file=score_file,
    )
    return 0
