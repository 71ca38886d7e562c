"""The detector that a command is given, loaded, and how a command in service ends.

Imports the standard library alone at its top: a bundle is read without the rest of the package.
"""

import argparse
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bood_tasks.deploy.detector import Detector


def load_meant(arguments: argparse.Namespace) -> "Detector":
    """Return the detector that is meant; a bundle is run by onnxruntime, and imports no torch."""
    from bood_tasks.deploy.load import load_detector

    if getattr(arguments, "bundle", None) is not None:
        return load_bundle(
            arguments.bundle, arguments.score, arguments.method, arguments.score_file
        )
    from bood_tasks.cli.arguments import detector_of
    from bood_tasks.jobs.environment import pick_device

    folder, method, score_file = detector_of(arguments)
    return load_detector(
        folder, pick_device(), score=arguments.score, method=method, score_file=score_file
    )


def load_bundle(path: Path, *given) -> "Detector":
    """Return a bundle's detector; raises FileNotFoundError or ValueError for what is none."""
    from bood_tasks.deploy.bundle import is_bundle
    from bood_tasks.deploy.load import load_detector

    if not path.exists():
        raise FileNotFoundError(f"--bundle must be there, got {path}; `bood bundle` makes bundles")
    if not is_bundle(path):
        raise ValueError(
            f"--bundle must be a folder or zip file that `bood bundle` wrote, got {path}; an "
            "artifact's folder is --detector's"
        )
    score, method, score_file = given or (None, None, None)
    return load_detector(path, score=score, method=method, score_file=score_file)


def exits_by_two(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Return a command that ends with 2 where it was not done, as by wrong arguments: 1 is left to
    say that something could not be read."""

    @wraps(run)
    def wrapped(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return wrapped
