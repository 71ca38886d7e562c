"""Whether the scores that a row names can be read off its detector."""

from bood_tasks.catalogue.methods import PACKAGED
from bood_tasks.catalogue.scores import (
    SCORES,
    chooses,
    entry_of,
    magnitudes_of,
    moves,
    why_unfit,
)
from bood_tasks.config.datasets import is_text
from bood_tasks.config.root import Config


def held_out(config: Config, name: str) -> bool:
    """Whether a data set holds samples out, as far as a number or a share of them tells."""
    item = config.datasets[name]
    return getattr(item, "validation_per_class", 1) > 0 and getattr(item, "validation", 1) != 0


def check_scores(config: Config, name: str) -> None:
    """Raise ValueError for scores that the row's method cannot have, or outliers it needs."""
    entry, row = config.method(name), config.rows[name]
    texts, scoring = is_text(config.datasets[config.id]), config.for_row(name).scoring.model_dump()
    if entry.needs_outliers and not row.outliers:
        raise ValueError(
            f"rows.{name}.outliers must name outliers for {entry.title}, got 'none'; "
            "write images, gan, or the name of a data set"
        )
    if entry.module in PACKAGED and entry.outliers == "none" and row.outliers:
        raise ValueError(
            f"rows.{name}.outliers must be none, got {', '.join(row.outliers)}: "
            f"{entry.title} takes none"
        )
    if texts and not entry.texts:
        raise ValueError(f"rows.{name}.method must work on texts, got {row.method!r}")
    for score in row.scores:
        settings = scoring.get(score, {})
        why = why_unfit(entry, score)
        if texts and moves(score, settings):
            why = "it moves pictures along a gradient"
        if why:
            raise ValueError(f"rows.{name}.scores must fit {entry.title}, got {score!r}: {why}")
        _require_held_out(config, name, score, settings)
        if chooses(score, settings) and not config.validation:
            moved = SCORES[score].gradients
            cure = f"; or give scoring.{score}.magnitudes one number" if moved else ""
            raise ValueError(
                f"rows.{name}.scores: {score} is chosen on validation sets and there are none; "
                f"name some under `validation`{cure}"
            )


def _require_held_out(config: Config, name: str, score: str, settings: dict) -> None:
    """Raise ValueError for a score that is fitted to an ID validation split that is not there, or
    whose magnitude is chosen on it."""
    entry = entry_of(score)
    if entry.held_out and not held_out(config, config.id):
        raise ValueError(
            f"rows.{name}.scores: {score} is fitted to ID validation samples, and datasets."
            f"{config.id} holds none out; raise its validation_per_class, or validation, or leave "
            "the score out"
        )
    if not entry.gradients or entry.validated:
        return
    count = len(magnitudes_of(settings))
    if count > 1 and not held_out(config, config.id):
        raise ValueError(
            f"scoring.{score}.magnitudes must be one number for row {name} while "
            f"datasets.{config.id}.validation_per_class is 0, got {count}: the one taken "
            "is chosen on ID validation pictures; write one, or hold some pictures out"
        )
