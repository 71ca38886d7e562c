"""Some classes of a data set: those that a training keeps, or those that are left out of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from bood_tasks.artifacts.store import Artifact

SPLITS = ("train", "validation", "test")
Picked = tuple[str, np.ndarray, np.ndarray]  # split of the source, its rows, labels of all its rows


def classes_of(count: int, *, fold: int, folds: int, part: str) -> list[int]:
    """Return the classes of a part: class n is left out in fold n mod `folds`.

    >>> classes_of(5, fold=0, folds=2, part="left_out"), classes_of(5, fold=0, folds=2, part="kept")
    ([0, 2, 4], [1, 3])
    """
    out = range(fold, count, folds)
    return [n for n in range(count) if (n in out) == (part == "left_out")]


def fold_of(
    settings: Mapping, of: Artifact, classes: Sequence[str]
) -> tuple[dict[str, Picked], list[str]]:
    """Return, by split, where its rows lie in the source, and the part's class names.

    Kept classes have all splits; those left out have one, `test`: their validation data. Labels
    count the part's own classes. Raises ValueError for too few classes or no validation split.
    """
    part, folds = settings["part"], settings["folds"]
    chosen = classes_of(len(classes), fold=settings["fold"], folds=folds, part=part)
    least = 2 if part == "kept" else 1
    if len(chosen) < least:
        raise ValueError(
            f"datasets.{settings['name']}.folds must leave {least} classes or more, got {folds} of "
            f"{len(classes)} classes, which leaves {len(chosen)}; take another number of folds, or "
            "more classes"
        )
    if "validation/labels" not in of:
        raise ValueError(
            f"datasets.{settings['name']}.of must have a validation split, and "
            f"{of.settings['name']} has none; hold some of it out"
        )
    numbers = np.full(len(classes), -1, np.int64)
    numbers[chosen] = np.arange(len(chosen))

    def taken(split: str) -> Picked:
        labels = numbers[of[f"{split}/labels"][:]]
        return split, np.flatnonzero(labels >= 0), labels

    names = [classes[n] for n in chosen]
    if part == "left_out":
        return {"test": taken("validation")}, names
    return {split: taken(split) for split in SPLITS if f"{split}/labels" in of}, names
