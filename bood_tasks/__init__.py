"""Generative outlier synthesis for out-of-distribution detection."""

from pathlib import Path

__version__ = "0.1.0"
__all__ = ["Method", "load_detector"]

PACKAGE = Path(__file__).parent
EMBEDDED = PACKAGE / "embedded"  # data sets, weights, published tables that ship with the package
PROJECT = PACKAGE.parent  # the checkout: Snakefile, envs, presets


def __getattr__(name: str) -> object:
    """Import what is public when it is asked for: torch takes a second or two."""
    if name == "load_detector":
        from bood_tasks.deploy.load import load_detector

        return load_detector
    if name == "Method":
        from bood_tasks.detectors.method import Method

        return Method
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
