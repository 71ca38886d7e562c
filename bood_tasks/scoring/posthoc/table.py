"""The post-hoc scores by name: each module of this folder names its own in SCORES."""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from types import MappingProxyType

from bood_tasks.catalogue.scores import SCORES
from bood_tasks.networks.own_code import load_code
from bood_tasks.scoring.posthoc.base import Score


def _given(function: Callable | None, settings: Mapping) -> Callable | None:
    """Return a function that has those of the settings which it takes by keyword alone."""
    if function is None:
        return None
    taken = [
        p.name for p in signature(function).parameters.values() if p.kind is Parameter.KEYWORD_ONLY
    ]
    return partial(function, **{name: settings[name] for name in taken if name in settings})


def score_named(name: str, settings: Mapping = MappingProxyType({})) -> Score:
    """Return how a post-hoc score with these settings is fitted and read, from the module that the
    catalogue names."""
    module = importlib.import_module(f"bood_tasks.scoring.posthoc.{SCORES[name].module}")
    return Score(*(_given(function, settings) for function in module.SCORES[name]))


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
