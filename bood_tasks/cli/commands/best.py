"""Say which row and score to take, by validation outliers alone, and what that choice is worth."""

import argparse

from bood_tasks.cli.arguments import take_overlays, with_overlays

EXAMPLES = ["bood best --configfile workflow/presets/demo.yaml", "bood best --on corrupted"]


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--on",
        nargs="+",
        default=["validation"],
        metavar="SET",
        help="validation sets that count; `validation`: all of them, each the same",
    )
    command.add_argument(
        "--by", choices=("auroc", "fpr95"), default="auroc", help="metric that orders the rows"
    )
    take_overlays(command)


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli.best import show

    on = [] if arguments.on == ["validation"] else arguments.on
    show(with_overlays(arguments.configfile), by=arguments.by, sets=on)
