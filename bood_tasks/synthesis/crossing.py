"""Single features on their way across the decision boundary (Eq. 3), for pictures of it.

Used by trajectory, strips and gallery.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from bood_tasks.synthesis.cosine import perturb, predict
from bood_tasks.synthesis.overshoot import walk_beyond
from bood_tasks.synthesis.stepping import Stepping


def crossing_rows(
    steps: Int[np.ndarray, " n"], crossed: Bool[np.ndarray, " n"]
) -> Int64[np.ndarray, " m"]:
    """Return the rows that start in their class and leave it; ValueError if none does."""
    rows = np.flatnonzero(crossed & (steps > 0))
    if not len(rows):
        raise ValueError(
            "no feature crosses the decision boundary; raise distances.step_size or "
            "distances.max_steps"
        )
    return rows


def walk(
    feature: Float[Tensor, "1 d"],
    label: int,
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    *,
    count: int,
) -> Float[Tensor, "t d"]:
    """Return the feature and its `count` updates by equation 3."""
    path = [feature]
    labels = torch.tensor([label])
    step = {"step_size": stepping.step_size, "temperature": stepping.temperature}
    for _ in range(count):
        path.append(perturb(path[-1], labels, anchors, **step))
    return torch.cat(path)


def way_out(
    feature: Float[Tensor, "1 d"],
    label: int,
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    settings: Mapping,
    *,
    steps: int,
    target: float | None = None,
) -> Float[Tensor, "t d"]:
    """Return the feature and its updates to the outlier that `settings` make of it.

    `steps`: its d(z, y). `target`: the margin beyond the boundary where the settings have an
    `overshoot`; the last update is then a part of a step.
    """
    if "overshoot" in settings:
        return walk_beyond(feature, label, anchors, stepping, target)
    return walk(feature, label, anchors, stepping, count=steps + settings["extra_steps"])


def first_outside(
    path: Float[Tensor, "t d"], label: int, anchors: Float[Tensor, "v d"]
) -> int | None:
    """Return the first step of the path whose prediction is not `label`, None without one."""
    outside = (predict(path, anchors) != label).nonzero()
    return int(outside[0]) if len(outside) else None
