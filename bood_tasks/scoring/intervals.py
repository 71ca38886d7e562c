"""How far a figure may lie from that of endlessly many samples: 95 % intervals for FPR95 and AUROC.

Both are sums over samples to first order, so each sample has an influence, and the variance of a
figure is that of its influences: for AUROC DeLong's (1988, Biometrics 44), for FPR95 the accepted
share's and, by the slope of the ROC curve, its threshold's. Influences of runs and sets that share
samples are averaged before, so their correlation is counted. Seeds' deviation is another thing.
"""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from bood_tasks.catalogue.array_types import Float
from bood_tasks.scoring.roc import LEVEL, first_threshold

CONFIDENCE = 0.95  # of every interval
Z = 1.959964  # of the normal distribution, two-sided
Influences = tuple[Float[ndarray, " n"], Float[ndarray, " m"]]  # of ID, of OOD


def auroc_influences(inside: Float[ndarray, " n"], outside: Float[ndarray, " m"]) -> Influences:
    """Return each ID sample's share of OOD below it, and each OOD sample's of ID above it."""
    return _below(inside, outside), 1 - _below(outside, inside)


def _below(scores: Float[ndarray, " k"], others: Float[ndarray, " l"]) -> Float[ndarray, " k"]:
    """Return the share of the others below each score; a tie counts half."""
    ordered = np.sort(others)
    under, upto = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return (under + upto) / (2 * len(others))


def fpr95_influences(inside: Float[ndarray, " n"], outside: Float[ndarray, " m"]) -> Influences:
    """Return what each ID sample, by the threshold, and each OOD sample adds to FPR95, ID positive.

    The slope is the curve's around the threshold, over two deviations of its level to each side.
    """
    step = 2 * np.sqrt(LEVEL * (1 - LEVEL) / len(inside))
    strict, lax = max(LEVEL - step, 1 / len(inside)), min(LEVEL + step, 1.0)
    at = {level: first_threshold(inside, level) for level in (strict, LEVEL, lax)}
    share = {level: np.mean(outside >= threshold) for level, threshold in at.items()}
    slope = (share[lax] - share[strict]) / max(lax - strict, 1 / len(inside))
    return -slope * (inside >= at[LEVEL]), (outside >= at[LEVEL]).astype(float)


def interval(
    value: float, inside: Float[ndarray, " n"], outside: Sequence[Float[ndarray, " _"]]
) -> tuple[float, float]:
    """Return both ends for a figure in [0, 1] that is the mean over OOD sets.

    `inside`: influences of the ID samples, averaged over the sets; `outside`: those of each set's.
    Wilson's interval, of as many samples as a share would need for this variance: it stays within
    [0, 1], and 0 of 50 is no certainty. A variance of 0 counts the smallest set's samples.
    """
    sets = len(outside)
    variance = _of_mean(inside) + sum(map(_of_mean, outside)) / sets**2
    spread = value * (1 - value)
    if variance > 0 and spread > 0:
        count = min(spread / variance, len(inside) + sum(map(len, outside)))
    else:
        count = min(len(inside), *map(len, outside))
    return _wilson(value, count)


def _of_mean(influences: Float[ndarray, " n"]) -> float:
    """The variance of their mean; of one sample nothing is known."""
    return influences.var(ddof=1) / len(influences) if len(influences) > 1 else 0.25


def share_interval(found: int, count: int) -> tuple[float, float]:
    """Return both ends of the share that `found` of `count` samples stand for (Wilson 1927)."""
    return _wilson(found / count, count)


def _wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's interval of a share of `count` samples, which need be no whole number."""
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def threshold_interval(
    scores: Float[ndarray, " n"], tpr: float
) -> tuple[float | None, float | None]:
    """Return both ends of the threshold that accepts exactly a share `tpr` of endlessly many ID
    samples, of which `scores` are n; None: so few samples do not bound it.

    How many of n reach it is binomial, so it lies between two of their order statistics.
    """
    from scipy.stats import binom  # here: who scores has no scipy

    falling, tail = np.sort(scores)[::-1], (1 - CONFIDENCE) / 2
    fewest, most = (int(binom.ppf(p, len(scores), tpr)) for p in (tail, 1 - tail))
    low = float(falling[most]) if most < len(scores) else None
    return low, float(falling[fewest - 1]) if fewest else None


def accepted_interval(accepted: int, count: int) -> tuple[float, float]:
    """Return both ends of the share of new ID samples that a threshold accepts which `accepted` of
    `count` calibration samples reach.

    The share above the k-th largest of n scores has the distribution Beta(k, n + 1 - k).
    """
    from scipy.stats import beta

    tail = (1 - CONFIDENCE) / 2
    low, high = beta.ppf((tail, 1 - tail), accepted, count + 1 - accepted)
    return float(low), float(high)
