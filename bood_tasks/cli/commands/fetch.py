"""Fetch the weights and data of a run, for nodes without a network."""

import argparse

from bood_tasks.cli.arguments import take_overlays, with_overlays

EXAMPLES = ["bood fetch --configfile workflow/presets/bood-cifar100.yaml"]


def arguments(command: argparse.ArgumentParser) -> None:
    take_overlays(command)


def run(arguments: argparse.Namespace) -> str | int:
    from bood_tasks.cli.fetch import fetch

    by_hand = fetch(with_overlays(arguments.configfile))
    return "\n".join(by_hand) if by_hand else 0
