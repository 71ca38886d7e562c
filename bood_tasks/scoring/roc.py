"""Threshold metrics from two sets of scores: FPR95, AUROC, AUPR."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy import ndarray

from bood_tasks.catalogue.array_types import Float, Int
from bood_tasks.catalogue.scores import LEVEL

Convention = Literal["id", "ood"]
Threshold = Literal["first", "nearest"]
Aupr = Literal["step", "trapezoid"]


def _refuse(scores: ndarray, name: str) -> None:
    if scores.size == 0:
        raise ValueError(f"{name} scores must hold at least one value, got none")
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise ValueError(
            f"{name} scores must be finite, got {bad} of {scores.size} that are not; "
            "the detector diverged: lower detector.lr or detector.ood_weight"
        )


def roc_counts(
    positive: Float[ndarray, " p"], negative: Float[ndarray, " m"]
) -> tuple[Int[ndarray, " k"], Int[ndarray, " k"]]:
    """Return the positives and negatives accepted at each distinct threshold, from strict to lax.

    A sample is accepted when its score reaches the threshold, so tied samples come together.
    The point that accepts nothing is left out.
    """
    scores = np.concatenate([positive, negative])
    order = np.argsort(-scores)  # ties in any order: they are counted together
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(order < len(positive))[ends]
    return hits, ends + 1 - hits


def first_threshold(positive: Float[ndarray, " p"], tpr: float) -> np.floating:
    """Return the strictest threshold that accepts at least the share `tpr` of the positives.

    A sample is accepted when its score reaches the threshold.
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must be in (0, 1], got {tpr}; write 95 % as 0.95")
    # correctly rounded, so k/n >= 0.95 is exact
    recall = np.arange(1, len(positive) + 1) / len(positive)
    return np.sort(positive)[::-1][int(np.argmax(recall >= tpr))]


def fpr95(
    id_scores: Float[ndarray, " n"],
    ood_scores: Float[ndarray, " m"],
    *,
    convention: Convention,
    threshold: Threshold,
) -> float:
    """Return the share of negatives accepted at the threshold that accepts 95 % of the positives.

    `id`: positives are ID, so the share of OOD taken for ID. `ood`: positives are OOD (scores
    negated), so the share of ID flagged.
    `first`: the strictest threshold that accepts at least 95 %. `nearest`: the one whose share of
    accepted positives is nearest to 95 %; of equally near ones the laxest, up to full recall.
    """
    positive, negative = _sides(id_scores, ood_scores, convention)
    if threshold == "first":
        return float((negative >= first_threshold(positive, LEVEL)).mean())
    hits, alarms = roc_counts(positive, negative)
    laxest_first = (hits[: int(np.argmax(hits)) + 1] / len(positive))[::-1]
    chosen = len(laxest_first) - 1 - int(np.argmin(np.abs(laxest_first - LEVEL)))
    return float(alarms[chosen] / len(negative))


def auroc(id_scores: Float[ndarray, " n"], ood_scores: Float[ndarray, " m"]) -> float:
    """Return the chance that an ID sample scores above an OOD sample; a tie counts half.

    The same whichever side is called positive.
    """
    positive, negative = _sides(id_scores, ood_scores, "id")
    hits, alarms = roc_counts(positive, negative)
    doubled = (hits + np.append(0, hits[:-1])) * np.diff(alarms, prepend=0)
    return float(doubled.sum() / (2 * len(positive) * len(negative)))


def aupr(
    id_scores: Float[ndarray, " n"],
    ood_scores: Float[ndarray, " m"],
    *,
    positive: Convention,
    rule: Aupr = "step",
) -> float:
    """Return the area under precision over recall. `id` gives AUPR-IN, `ood` (scores negated)
    AUPR-OUT.

    `step`: average precision, the precision at each threshold weighted by the recall it adds.
    `trapezoid`: the points joined by straight lines, from a precision of 1 at no recall.
    """
    wanted, others = _sides(id_scores, ood_scores, positive)
    hits, alarms = roc_counts(wanted, others)
    precision = hits / (hits + alarms)
    if rule == "trapezoid":
        precision = (precision + np.append(1.0, precision[:-1])) / 2
    return float(np.sum(np.diff(hits, prepend=0) * precision) / len(wanted))


def _sides(id_scores: ndarray, ood_scores: ndarray, positive: Convention) -> tuple:
    _refuse(id_scores, "ID")
    _refuse(ood_scores, "OOD")
    return (id_scores, ood_scores) if positive == "id" else (-ood_scores, -id_scores)


def ways(settings: Mapping) -> dict[str, str]:
    """Return how figures are read, as compare takes it, from a job's settings."""
    return {"threshold": settings["threshold"], "rule": settings.get("aupr", "step")}


def compare(
    id_scores: Float[ndarray, " n"],
    ood_scores: Float[ndarray, " m"],
    *,
    threshold: Threshold,
    rule: Aupr = "step",
) -> list[tuple[str, str, float]]:
    """Return (metric, convention, value) of every metric of one score on one OOD set, in [0, 1].

    `rule`: of AUPR.
    """
    return [
        *(
            ("fpr95", side, fpr95(id_scores, ood_scores, convention=side, threshold=threshold))
            for side in ("id", "ood")
        ),
        ("auroc", "", auroc(id_scores, ood_scores)),
        ("aupr_in", "", aupr(id_scores, ood_scores, positive="id", rule=rule)),
        ("aupr_out", "", aupr(id_scores, ood_scores, positive="ood", rule=rule)),
    ]
