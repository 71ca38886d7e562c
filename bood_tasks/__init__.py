"""Generative outlier synthesis for out-of-distribution detection."""

from pathlib import Path

__version__ = "0.1.0"
__all__ = ["Method", "load_detector"]

PACKAGE = Path(__file__).parent
EMBEDDED = PACKAGE / "embedded"  # data sets, weights, published tables that ship with the package
# Snakefile, config.yaml, workflow/, profiles/, envs/: an installed package has them inside itself
# (setup.py puts them there), a clone around it.
PACKED = (PACKAGE / "project").is_dir()
PROJECT = PACKAGE / "project" if PACKED else PACKAGE.parent


def __getattr__(name: str) -> object:
    """Import what is public when it is asked for: torch takes a second or two."""
    try:
        if name == "load_detector":
            from bood_tasks.deploy.load import load_detector

            return load_detector
        if name == "Method":
            from bood_tasks.detectors.method import Method

            return Method
    except ModuleNotFoundError as error:
        from bood_tasks.catalogue.extras import cure

        if text := cure(error, "generate"):
            raise ImportError(text, name=error.name) from error
        raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
