"""Whether two rows can be told apart: differences of AUROC and FPR95 with 95 % intervals, paired.

The run is repeated in thought. Its samples are drawn again, with replacement, within each data set
and the same for every row and seed (Efron 1979). Its seeds, too few to be drawn again, are weighed
anew: three that were drawn with replacement would give an interval from the least to the largest,
which covers 75 %. The weights of seeds are 1/S plus a vector of the multivariate t distribution
with S - 1 degrees of freedom, orthogonal to 1: where seeds alone differ the interval of every
difference is then Student's paired one, where samples alone differ it is the bootstrap's. One seed
stands for itself.

All figures of a repetition share its draws, so that a difference is a subtraction. An AUROC is
repeated to first order, as the mean of its influences (intervals.py; DeLong 1988): one product of
matrices for all rows. The rest is of the order of 1/n of it. An FPR95 is repeated exactly.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy import ndarray

from bood_tasks.catalogue.array_types import Float
from bood_tasks.scoring.intervals import CONFIDENCE, auroc_influences
from bood_tasks.scoring.roc import LEVEL, Threshold, auroc, first_threshold, fpr95

REPETITIONS = 2000
Pair = tuple[Float[ndarray, " n"], Float[ndarray, " m"]]  # scores of ID and of OOD samples
TAIL = 6  # deviations of the share below the threshold that repetitions are looked for in
CELLS = 2**22  # numbers drawn at once: 32 MB
PAIRED = (("auroc", ""), ("fpr95", "id"))  # the figures whose differences are known


def draw_samples(count: int, repetitions: int, rng: np.random.Generator) -> Float[ndarray, "n b"]:
    """Return how often each of n samples is drawn in each repetition, n times with replacement."""
    found = np.empty((count, repetitions), np.float32)
    step = max(1, CELLS // count)
    for first in range(0, repetitions, step):
        block = found[:, first : first + step]
        drawn = rng.integers(count, size=(block.shape[1], count))
        drawn += np.arange(len(drawn))[:, None] * count
        block[:] = np.bincount(drawn.ravel(), minlength=block.size).reshape(len(drawn), count).T
    return found


def weigh_seeds(seeds: int, repetitions: int, rng: np.random.Generator) -> Float[ndarray, "b s"]:
    """Return the weights of S seeds in each repetition; they add up to 1.

    1/S + u, where u x has for any x [S] the distribution of t s / sqrt(S): s the standard deviation
    of x (ddof = 1), t Student's with S - 1 degrees of freedom. Every second half mirrors the first.
    """
    if seeds == 1:
        return np.ones((repetitions, 1))
    half = -(-repetitions // 2)
    normal = rng.standard_normal((half, seeds))
    normal -= normal.mean(1, keepdims=True)  # orthogonal to 1
    scale = np.sqrt(rng.chisquare(seeds - 1, half) / (seeds - 1)) * np.sqrt(seeds * (seeds - 1))
    moved = normal / scale[:, None]
    return 1 / seeds + np.concatenate([moved, -moved])[:repetitions]


def repeat_auroc(
    pairs: Sequence[Pair], drawn: Float[ndarray, "n b"], others: Float[ndarray, "m b"]
) -> Float[ndarray, "k b"]:
    """Return by how much each repetition's AUROC of K scorings is off, to first order."""
    found = [auroc_influences(*pair) for pair in pairs]
    moved = np.zeros((len(pairs), drawn.shape[1]), np.float32)
    for side, counts in enumerate((drawn, others)):
        table = np.stack([each[side] - each[side].mean() for each in found])
        moved += (table / len(counts)).astype(np.float32) @ counts
    return moved


def repeat_fpr95(
    pairs: Sequence[Pair], drawn: Float[ndarray, "n b"], others: Float[ndarray, "m b"]
) -> Float[ndarray, "k b"]:
    """Return by how much each repetition's FPR95 of K scorings is off, ID positive, each at its own
    threshold: the strictest that accepts at least 95 % of the ID samples drawn.

    It lies among the lowest ID scores, so OOD that lies above all thresholds need only be counted.
    """
    n, m = len(drawn), len(others)
    may_fail = n - int(np.ceil(LEVEL * n - 1e-9))  # ID samples below the threshold, at most
    last = min(n, int(may_fail + TAIL * np.sqrt(may_fail) + TAIL))
    moved = np.empty((len(pairs), drawn.shape[1]), np.float32)
    above = np.zeros((len(pairs), m), np.float32)
    for k, (inside, outside) in enumerate(pairs):
        lowest = np.argsort(inside, kind="stable")[:last]
        place = (np.cumsum(drawn[lowest], 0) <= may_fail).sum(0)
        thresholds = inside[lowest[np.minimum(place, last - 1)]]
        order = np.argsort(outside, kind="stable")
        ranks = np.searchsorted(outside[order], thresholds, "left")  # OOD below it, were all drawn
        first, end = ranks.min(), ranks.max()
        above[k, order[end:]] = 1
        reached = np.zeros((end - first + 1, drawn.shape[1]), np.float32)  # of the OOD between
        reached[:-1] = np.cumsum(others[order[first:end]][::-1], 0)[::-1]
        moved[k] = reached[ranks - first, np.arange(len(ranks))]
        moved[k] -= m * (outside >= first_threshold(inside, LEVEL)).mean()
    return (moved + above @ others) / m


Repeated = tuple[Float[ndarray, " k"], Float[ndarray, "k b"]]  # figures of K rows, and repeated


def repeat_figures(
    rows: Sequence[Sequence[Pair]],
    drawn: Float[ndarray, "n b"],
    others: Float[ndarray, "m b"],
    weights: Float[ndarray, "b s"],
    threshold: Threshold,
) -> dict[tuple[str, str], Repeated]:
    """Return the figures of rows on one OOD set by (metric, convention), the mean over their seeds.

    `rows`: of each row the scores of the same ID and OOD samples by every seed. Repetitions of
    FPR95 are off by as much as at the strictest threshold, also where `threshold` is another one.
    """
    pairs = [pair for row in rows for pair in row]
    values = {
        "auroc": [auroc(*pair) for pair in pairs],
        "fpr95": [fpr95(*pair, convention="id", threshold=threshold) for pair in pairs],
    }
    moved = {
        "auroc": repeat_auroc(pairs, drawn, others),
        "fpr95": repeat_fpr95(pairs, drawn, others),
    }
    shape = (len(rows), weights.shape[1])
    found = {}
    for metric, convention in PAIRED:
        value = np.reshape(values[metric], shape)
        repeated = value[:, :, None] + moved[metric].reshape(*shape, -1)
        found[metric, convention] = value.mean(1), np.einsum("ksb,bs->kb", repeated, weights)
    return found


def average_figures(
    sets: Sequence[Mapping[tuple[str, str], Repeated]],
) -> dict[tuple[str, str], Repeated]:
    """Return the plain mean over OOD sets of what repeat_figures gives, repetition by repetition:
    sets share the ID samples drawn."""
    return {
        which: tuple(np.mean([found[which][part] for found in sets], 0) for part in (0, 1))
        for which in PAIRED
    }


def compare_rows(figures: Repeated) -> Iterator[tuple[int, int, float, float, float]]:
    """Yield (row, other, difference, low, high) of each pair of rows: the figure of the first less
    that of the second, and both ends of its 95 % interval."""
    values, repeated = figures
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    for row in range(len(values) - 1):
        others = slice(row + 1, None)
        low, high = np.quantile(repeated[row] - repeated[others], tails, axis=1)
        for other, found in enumerate(
            zip(values[row] - values[others], low, high, strict=True), row + 1
        ):
            yield row, other, *map(float, found)


def apart(low: float, high: float) -> bool:
    """Whether an interval of a difference leaves out 0: the two rows can be told apart.

    Each pair is looked at by itself: of 20 that are equal one is told apart by chance.
    """
    return low > 0 or high < 0
