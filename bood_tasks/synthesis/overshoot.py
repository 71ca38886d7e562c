"""How far beyond the boundary outliers go, by margin instead of by steps (`overshoot`).

The published c counts steps, and where a step ends depends on α, on D and on the features' scale.
Here the margin beyond the boundary, max_j≠y cos_j - cos_y, is set for each class: a quantile of the
margins cos_y - max_j≠y cos_j by which the class's own training features lie inside. Outliers of
quantile q lie as far outside as the feature of that quantile inside. The last update is a part of
a step, so that the margin is reached, not passed.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bood_tasks.networks.float64 import float64
from bood_tasks.synthesis.cosine import perturb
from bood_tasks.synthesis.stepping import Stepping

HALVINGS = 60  # of a step: beyond float64's own rounding
NAMED = 5  # classes in a message


def margin_beyond(cosines: Float[Tensor, "n v"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the largest other cosine less that of y: above 0 outside of the class."""
    own = cosines.gather(1, labels[:, None]).squeeze(1)
    return cosines.scatter(1, labels[:, None], -torch.inf).amax(1) - own


def own_margins(
    margin: Float[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    classes: Sequence[str],
    quantile: float,
) -> Float[np.ndarray, " v"]:
    """Return of each class that quantile of its features' margins, those inside the class alone.

    `margin`: cos_y less the largest other cosine, as distances leaves it. Raises ValueError for a
    class without a feature inside.
    """
    inside = [margin[(labels == label) & (margin > 0)] for label in range(len(classes))]
    empty = [name for name, found in zip(classes, inside, strict=True) if not len(found)]
    if empty:
        more = f" and {len(empty) - NAMED} more" if len(empty) > NAMED else ""
        raise ValueError(
            "ood_features.overshoot must have features that start in their class, got none of "
            f"{', '.join(empty[:NAMED])}{more}; train the encoder longer, or write overshoot: null"
        )
    return np.array([np.quantile(found.astype(np.float64), quantile) for found in inside])


def _fraction(
    z: Float[Tensor, "n d"],
    moved: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    unit: Float[Tensor, "v d"],
    targets: Float[Tensor, " n"],
) -> Float[Tensor, "n 1"]:
    """Return the part τ of the step from z to `moved` at which the margin is the target.

    The margin at z is below it, that at `moved` is not. By bisection: on the line the products
    with the anchors are linear in τ and ‖z‖² is quadratic, so a halving costs no product.
    """
    step = moved - z
    at, change = z @ unit.T, step @ unit.T
    square, mixed, quadratic = (z * z).sum(1), (z * step).sum(1), (step * step).sum(1)
    low, high = torch.zeros_like(targets), torch.ones_like(targets)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        norms = (square + 2 * mixed * middle + quadratic * middle**2).sqrt()
        cosines = (at + change * middle[:, None]) / norms[:, None]
        passed = margin_beyond(cosines, labels) >= targets
        low, high = torch.where(passed, low, middle), torch.where(passed, middle, high)
    return high[:, None]


def updates(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    targets: Float[Tensor, " n"],
) -> Iterator[tuple[Float[Tensor, "n d"], Bool[Tensor, " n"]]]:
    """Yield z and which rows have reached their target, before and after every update, in float64.

    A row moves by Eq. 3 until the margin beyond the boundary is its target, exactly, or 2 K
    updates are made: K to cross, K beyond. One that is there from the start does not move.
    """
    z, anchors, targets = float64(z).clone(), float64(anchors), float64(targets)
    labels = labels.to(z.device)
    unit = F.normalize(anchors, dim=1)
    step = {"step_size": stepping.step_size, "temperature": stepping.temperature}

    def there(rows: Tensor, of: Tensor) -> Tensor:
        return margin_beyond(F.normalize(rows, dim=1) @ unit.T, labels[of]) >= targets[of]

    every = torch.arange(len(z), device=z.device)
    done = there(z, every)
    yield z, done
    for _ in range(2 * stepping.max_steps):
        moving = (~done).nonzero().squeeze(1)
        if not len(moving):
            return
        moved = perturb(z[moving], labels[moving], anchors, **step)
        last = there(moved, moving)
        ends = moving[last]
        part = _fraction(z[ends], moved[last], labels[ends], unit, targets[ends])
        moved[last] = z[ends] + part * (moved[last] - z[ends])
        z, done = z.index_copy(0, moving, moved), done.index_fill(0, ends, True)
        yield z, done


def push_beyond(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    targets: Float[Tensor, " n"],
) -> tuple[Float[Tensor, "n d"], Bool[Tensor, " n"]]:
    """Return each row where the margin beyond its class's boundary is its target, and whether it
    is: False for rows that 2 K updates do not take so far."""
    ((end, reached),) = deque(updates(z, labels, anchors, stepping, targets), maxlen=1)
    return end.to(z), reached.to(z.device)


def walk_beyond(
    feature: Float[Tensor, "1 d"],
    label: int,
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    target: float,
) -> Float[Tensor, "t d"]:
    """Return the feature and its updates, the last a part of a step, for pictures."""
    given = torch.tensor([label]), anchors, stepping, torch.tensor([target], dtype=torch.float64)
    return torch.cat([z for z, _ in updates(feature, *given)]).to(feature)
