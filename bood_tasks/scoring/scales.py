"""How far outside ID samples must be drawn: two rules for GOE's sigma and T that train nothing.

A generator run at a larger scale of its latents, or a language model at a larger temperature, gives
samples that are less like its training data. A base classifier, trained on ID alone, tells how
much less: by its confidence, and by where its features lie. Both rules take the smallest value that
is far enough, so that outliers stay as near to ID as they can.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import softmax

from bood_tasks.scoring.roc import auroc

ROWS_AT_ONCE = 1000


def confidence(logits: Float[ndarray, "n v"]) -> Float[ndarray, " n"]:
    """Return the largest softmax probability of each sample (MSP)."""
    return softmax(logits.astype(np.float64), 1).max(1)


def nearest(
    features: Float[ndarray, "n p"], reference: Float[ndarray, "m p"]
) -> Float[ndarray, " n"]:
    """Return each row's Euclidean distance to the nearest reference row, both at length 1."""
    rows, known = (_unit(x) for x in (features, reference))
    blocks = (rows[first : first + ROWS_AT_ONCE] for first in range(0, len(rows), ROWS_AT_ONCE))
    cosines = np.concatenate([(block @ known.T).max(1) for block in blocks])
    return np.sqrt(np.maximum(0.0, 2 - 2 * cosines))


def _unit(rows: Float[ndarray, "n p"]) -> Float[ndarray, "n p"]:
    rows = rows.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)


def separation(
    samples: Float[ndarray, "n p"],
    held_out: Float[ndarray, "k p"],
    reference: Float[ndarray, "m p"],
) -> float:
    """Return the chance that a sample lies farther from the reference features than a held-out ID
    sample does: a two-sample statistic, the AUROC of a nearest-neighbour distance.

    0.5 for samples like ID, 1 for samples of which each lies farther than every ID sample.
    """
    return auroc(-nearest(held_out, reference), -nearest(samples, reference))


def smallest(values: Mapping[float, float], level: float, *, falls: bool) -> float | None:
    """Return the smallest setting at which a statistic has fallen to `level` (or risen, unless
    `falls`); None if it never has. `values`: the statistic at each setting.

    >>> smallest({1: 0.9, 5: 0.6, 50: 0.5}, 0.6, falls=True)
    5
    >>> smallest({1: 0.5, 5: 0.94, 50: 0.99}, 0.95, falls=False)
    50
    """
    reached = [x for x, y in values.items() if (y <= level if falls else y >= level)]
    return min(reached, default=None)


def by_confidence(samples: Mapping[float, float], noise: float) -> float | None:
    """Return the smallest scale at which the mean confidence on samples is no more than that on
    noise: there the base classifier knows no more of them than of what shows nothing."""
    return smallest(samples, noise, falls=True)


def by_separation(samples: Mapping[float, float], quantile: float) -> float | None:
    """Return the smallest scale at which the separation of samples from ID reaches `quantile`."""
    return smallest(samples, quantile, falls=False)
