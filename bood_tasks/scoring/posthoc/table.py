"""The post-hoc scores by name: each module of this folder names its own in SCORES."""

import importlib

from bood_tasks.catalogue.scores import SCORES
from bood_tasks.scoring.posthoc.base import Score


def score_named(name: str) -> Score:
    """Return how a post-hoc score is fitted and read, from the module that the catalogue names."""
    module = importlib.import_module(f"bood_tasks.scoring.posthoc.{SCORES[name].module}")
    return module.SCORES[name]
