"""The post-hoc scores by name: each module of this folder names its own in SCORES."""

import importlib
from collections.abc import Mapping
from functools import partial

from bood_tasks.artifacts.code import load_code
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.scoring.posthoc.base import Score


def score_named(name: str) -> Score:
    """Return how a post-hoc score is fitted and read, from the module that the catalogue names."""
    module = importlib.import_module(f"bood_tasks.scoring.posthoc.{SCORES[name].module}")
    return module.SCORES[name]


def own_score(settings: Mapping, source: str) -> Score | None:
    """Return how a score of one's own is fitted and read, from its file; None for the package's.

    `settings` are those of a `scores` artifact. Raises ValueError if the file defines no `score`.
    """
    if "content" not in settings:
        return None
    name, given = settings["score"], settings["score_settings"]
    module = load_code(name, source)
    read, fit = getattr(module, "score", None), getattr(module, "fit", None)
    if not callable(read):
        raise ValueError(
            f"scores.{name}.module must define score(outputs, state), got {read!r} in {source}"
        )
    return Score(partial(read, **given), fit and partial(fit, **given))
