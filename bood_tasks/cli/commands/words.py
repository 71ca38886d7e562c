"""List the words that a configuration's generator knows as class anchors."""

import argparse

from bood_tasks.cli.arguments import take_overlays, with_overlays

EXAMPLES = ["bood words sneaker", "bood words --configfile mine.yaml"]


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("like", nargs="*", help="only the words nearest to these")
    take_overlays(command)


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli.words import words

    words(with_overlays(arguments.configfile), arguments.like)
