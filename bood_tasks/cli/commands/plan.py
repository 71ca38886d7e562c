"""Estimate what a configuration will cost."""

import argparse

from bood_tasks.cli.arguments import take_files, with_overlays

EXAMPLES = [
    "bood plan --device a100 --configfile workflow/presets/bood-cifar100.yaml",
]


def arguments(command: argparse.ArgumentParser) -> None:
    take_files(command)
    command.add_argument(
        "--device",
        choices=("h200", "h100", "a100", "cpu"),
        default="h200",
        help="device that the hours are estimated for",
    )


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli.cost import show_plan

    show_plan(with_overlays([*arguments.files, *arguments.configfile]), arguments.device)
