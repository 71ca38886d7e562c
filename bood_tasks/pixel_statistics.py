"""How far statistics of the pixels alone tell a test set from ID (method: section 9).

A detector that does not beat the best of them may have learnt brightness, contrast or resampling.
Give the pictures as the detector sees them: after they were resized.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from bood_tasks.metrics import Threshold, auroc, fpr95

NEAR_ZERO = 12  # of 255: black as the eye sees it, though JPEG or resizing moved it (our choice)
PICTURES_AT_ONCE = 256


def _of_batch(images: UInt8[ndarray, "n h w 3"]) -> dict[str, Float[ndarray, " n"]]:
    values = images / 255
    across, down = np.abs(np.diff(values, axis=2)), np.abs(np.diff(values, axis=1))
    each = (1, 2, 3)
    return {
        "mean": values.mean(each),
        "std": values.std(each),
        "near-zero share": (images.max(-1) <= NEAR_ZERO).mean((1, 2)),
        "total variation": (across.sum(each) + down.sum(each)) / values[0].size,
    }


def statistics(images: UInt8[ndarray, "n h w 3"]) -> dict[str, Float[ndarray, " n"]]:
    """Return four statistics of each picture x, its values in [0, 1].

    `mean` and `std` over pixels and channels; the share of pixels whose three channels are all
    at most NEAR_ZERO; total variation Σ |∂x| over horizontal and vertical neighbours, divided by
    h w 3, so that it does not grow with the picture.
    """
    parts = [
        _of_batch(images[start : start + PICTURES_AT_ONCE])
        for start in range(0, len(images), PICTURES_AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def best(
    id_stats: Mapping[str, Float[ndarray, " n"]],
    ood_stats: Mapping[str, Float[ndarray, " m"]],
    *,
    threshold: Threshold,
) -> tuple[str, float, float]:
    """Return the statistic with the largest AUROC, that AUROC (at least .5) and its FPR95.

    Each statistic is negated where that tells the sets apart better; of equals the first stands.
    Sign and statistic are chosen on the test set itself, so this is what pixels could do at best,
    not a detector. FPR95: ID positive, `threshold` as in metrics.fpr95.
    """
    found = {}
    for name, inside in id_stats.items():
        outside, area = ood_stats[name], auroc(inside, ood_stats[name])
        found[name] = (area, inside, outside) if area >= 0.5 else (1 - area, -inside, -outside)
    name = max(found, key=lambda name: found[name][0])
    area, inside, outside = found[name]
    return name, area, fpr95(inside, outside, convention="id", threshold=threshold)
