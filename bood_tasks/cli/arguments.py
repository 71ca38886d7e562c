"""What several commands take: configuration files, artifacts, a trained detector.

Imports the standard library alone at its top, as every command does.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bood_tasks.catalogue.scores import LEVEL

if TYPE_CHECKING:
    from bood_tasks.config.root import Config

ARTIFACTS = Path("artifacts")
PLACE = "artifacts/STAGE/NAME/DIGEST"


def preset(name: str) -> Path:
    """Return the file of a packaged preset, for argparse."""
    try:
        from bood_tasks.config import files

        return files.preset(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def take_overlays(
    command: argparse.ArgumentParser,
    without: str = "config.yaml alone: the package's, and over it that of this folder",
) -> None:
    """Take --preset and --configfile: one list of files, in the order typed."""
    command.add_argument(
        "--preset",
        dest="configfile",
        nargs="+",
        type=preset,
        action="extend",
        default=[],
        metavar="NAME",
        help="presets of the package, by name, laid over config.yaml",
    )
    command.add_argument(
        "--configfile",
        nargs="+",
        type=Path,
        action="extend",
        default=[],
        metavar="FILE",
        help=f"YAML files laid over config.yaml, as Snakemake's; without one {without}",
    )


def take_files(command: argparse.ArgumentParser) -> None:
    """Take overlays also as arguments."""
    command.add_argument(
        "files",
        nargs="*",
        type=Path,
        default=[],
        metavar="FILE",
        help="YAML files, or names of presets, laid over config.yaml, merged as Snakemake does",
    )
    take_overlays(command)


def take_artifacts(command: argparse.ArgumentParser) -> None:
    """Take folders of artifacts."""
    command.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[ARTIFACTS],
        metavar="PATH",
        help=f"an artifact's folder ({PLACE}), its manifest.json, or a folder above",
    )


def take_bundle(command: argparse._ActionsContainer, **more) -> None:
    """Take --bundle."""
    command.add_argument(
        "--bundle",
        type=Path,
        metavar="FOLDER",
        help="folder or zip file that `bood bundle` wrote",
        **more,
    )


def take_threshold(command: argparse.ArgumentParser) -> None:
    """Take what decides."""
    command.add_argument(
        "--tpr",
        type=float,
        default=LEVEL,
        help="share of the ID validation samples that are accepted, which sets the threshold",
    )
    command.add_argument(
        "--threshold", type=float, metavar="SCORE", help="or the least score that is ID"
    )


def take_detector(command: argparse.ArgumentParser, *, bundle: bool = False) -> None:
    """Take --row or --detector, or a bundle, and what they need."""
    which = command.add_mutually_exclusive_group(required=True)
    if bundle:
        take_bundle(which)
    which.add_argument("--row", help="row of the configuration, as `rows` names it, e.g. bood")
    which.add_argument(
        "--best",
        action="store_true",
        help="or the row and the score that `bood best` chooses, by validation outliers alone",
    )
    which.add_argument(
        "--detector",
        type=Path,
        metavar="FOLDER",
        help=f"or a folder {PLACE} of stage scores or detector",
    )
    command.add_argument(
        "--seed", type=int, help="with --row: which seed; without it the first that is finished"
    )
    take_overlays(command)
    command.add_argument(
        "--score", help="which score; without it the row's first, or that of the method's paper"
    )
    for option, what in (("--method", "method"), ("--score-file", "score")):
        help = f"with --detector: the Python file of the {what}, if it is your own"
        command.add_argument(option, type=Path, metavar="FILE", help=help)


def with_overlays(files: list[Path]) -> "Config":
    """Return config.yaml with overlays, as `bood run` and `snakemake --configfile` make it."""
    from bood_tasks.cli.look import look
    from bood_tasks.config import files as known
    from bood_tasks.config.load import effective_config

    return effective_config([known.DEFAULT, *known.overlays(files)], look, own=known.own())


def detector_of(arguments: argparse.Namespace) -> tuple[Path, Path | None, Path | None]:
    """Return the folder of the detector that is meant, and the files of its method and of its score
    if they are one's own."""
    if arguments.row is None and not arguments.best:
        return arguments.detector, arguments.method, arguments.score_file
    from bood_tasks.cli.rows import find

    config, row, named = with_overlays(arguments.configfile), arguments.row, arguments.score
    if arguments.best:
        from bood_tasks.cli.best import chosen, row_of

        if named is not None:
            raise ValueError(f"--best chooses the score as well; leave out --score {named}")
        first = chosen(config)[0]
        row, named = row_of(config, first), first.label[2]
        print(f"best on validation outliers: {first.name}", file=sys.stderr)
    folder, method, score = find(config, row, arguments.seed, named)
    print(f"row {row}: {folder}", file=sys.stderr)
    return folder, arguments.method or method, arguments.score_file or score
