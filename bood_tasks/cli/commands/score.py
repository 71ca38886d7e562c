"""Score pictures or texts with a trained detector."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bood_tasks.cli.arguments import PLACE, take_detector, take_threshold
from bood_tasks.cli.loading import exits_by_two, load_meant

if TYPE_CHECKING:
    from bood_tasks.deploy.detector import Detector
    from bood_tasks.deploy.items import Item, LeftOut

EXTRA = "score"
EXAMPLES = [
    "bood score photos/ one.png --row bood --configfile workflow/presets/demo.yaml",
    f"bood score photos/ --detector {PLACE.replace('STAGE', 'scores')}",
    "bood score --bundle shoes --list names.txt --out shoes.jsonl",
    "bood score --bundle reviews.zip --lines reviews.txt --html reviews.html",
]


def take_items(command: argparse.ArgumentParser) -> None:
    """Take what is scored."""
    command.add_argument(
        "items",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="pictures, or texts (.txt) for a detector of texts, and folders, which are searched "
        "with all folders below; - is one picture or text on standard input",
    )
    command.add_argument(
        "--list",
        action="append",
        default=[],
        metavar="FILE",
        help="file that names files and folders, one a line, or ended by zero bytes as by `find "
        "-print0`; - is standard input",
    )
    command.add_argument(
        "--lines",
        action="append",
        default=[],
        metavar="FILE",
        help="file of texts, one a line; - is standard input",
    )


def items_given(
    arguments: argparse.Namespace, detector: "Detector"
) -> tuple[list["Item"], "LeftOut"]:
    """Return what a detector is to score of what `take_items` took, and what is left out."""
    from bood_tasks.deploy.items import items_of

    return items_of(
        arguments.items,
        kind=detector.kind,
        suffixes=detector.input.suffixes,
        lists=arguments.list,
        lines=arguments.lines,
    )


def arguments(command: argparse.ArgumentParser) -> None:
    take_detector(command, bundle=True)
    take_threshold(command)
    command.add_argument(
        "--out",
        type=Path,
        default=Path("scores.csv"),
        help="table that is written; - is standard output",
    )
    command.add_argument(
        "--format",
        choices=("csv", "jsonl"),
        help="of the table; without it JSON lines where --out ends in .jsonl, else CSV",
    )
    command.add_argument(
        "--html", type=Path, metavar="FILE", help="page of the most and the least ID, as well"
    )
    take_items(command)


@exits_by_two
def run(arguments: argparse.Namespace) -> int:
    from bood_tasks.deploy.score import score, summary

    detector = load_meant(arguments)
    detector.chosen(arguments.tpr, arguments.threshold)  # refuse a bad one before reading
    items, told = items_given(arguments, detector)
    lines = arguments.out.suffix.lower() in (".jsonl", ".ndjson")
    said = score(
        detector,
        items,
        arguments.out,
        kind=arguments.format or ("jsonl" if lines else "csv"),
        tpr=arguments.tpr,
        threshold=arguments.threshold,
        page=arguments.html,
    )
    told_lines = [f"left out: {line}" for line in told.told()]
    first, *rest = summary(detector, said, arguments.tpr, arguments.threshold)
    print(f"{arguments.out}: {first}", *told_lines, *rest, sep="\n", file=sys.stderr)
    return tell_unreadable(said.unreadable, detector.kind)


def tell_unreadable(unreadable: list[str], kind: str) -> int:
    """Name what could not be read; return the exit code, 1 if there is any."""
    if unreadable:
        heading = f"error: {len(unreadable)} {kind} are unreadable:"
        print("\n  ".join([heading, *unreadable]), file=sys.stderr)
    return 1 if unreadable else 0
