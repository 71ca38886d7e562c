"""Distance to the k-th nearest training feature (Sun et al. 2022)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bood_tasks.scoring.posthoc.base import Outputs, Score, State, by_block, row_blocks

SIMILARITIES = 2**26  # held at once by knn: 256 MB


def _normalised(features: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    return by_block(lambda block: F.normalize(block, dim=1), features)


def fit_knn(training: Outputs, *, neighbours: int) -> State:
    """Keep the training features, all of them, at length 1 (Sun et al. 2022; k is `neighbours`)."""
    if neighbours > len(training.features):
        raise ValueError(
            f"scoring.knn.neighbours must be at most {len(training.features)}, the number of "
            f"training pictures, got {neighbours}; lower it"
        )
    return {"rows": _normalised(training.features), "neighbours": torch.tensor(neighbours)}


def _kth_largest(values: Float[Tensor, "b m"], k: int) -> Float[Tensor, " b"]:
    """Return each row's k-th largest value.

    The k largest lie in the k groups of columns with the largest maxima, so that nearly all
    columns are only ever compared with one another.
    """
    size = math.isqrt(values.shape[1] // k)
    count = values.shape[1] // size
    grouped = values[:, : size * count].unflatten(1, (size, count))
    best = grouped.amax(1).topk(k, sorted=False).indices
    found = grouped.gather(2, best[:, None].expand(-1, size, -1)).flatten(1)
    rest = values[:, size * count :]
    return torch.cat([found, rest], 1).topk(k).values[:, -1]


def knn(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return minus the distance to the k-th nearest training feature, at length 1 both.

    Exact but for float32: distances below about 5e-4 are rounding. A feature of length 0 has no
    direction, and the distance of a right angle from all.
    """
    rows, k = state["rows"], int(state["neighbours"])
    blocks = row_blocks(_normalised(outputs.features), max(1, SIMILARITIES // len(rows)))
    cosines = torch.cat([_kth_largest(block @ rows.T, k) for block in blocks])
    return -(2 - 2 * cosines).clamp(min=0).sqrt()


SCORES = {"knn": Score(knn, fit_knn)}
