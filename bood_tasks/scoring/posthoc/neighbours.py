"""Scores of the nearest training features: KNN (Sun et al. 2022), NNGuide (Park et al. 2023)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bood_tasks.detectors.confidence import energy
from bood_tasks.networks.float64 import float64
from bood_tasks.scoring.posthoc.base import Outputs, Score, State, by_block, row_blocks

SIMILARITIES = 2**26  # held at once: 256 MB


def _normalised(features: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    return by_block(lambda block: F.normalize(block, dim=1), features)


def _bank(rows: Float[Tensor, "m p"], neighbours: int, name: str) -> State:
    """Return the state of a score of m training rows; ValueError for more neighbours than rows."""
    if neighbours > len(rows):
        raise ValueError(
            f"scoring.{name}.neighbours must be at most {len(rows)}, the number of "
            f"training pictures, got {neighbours}; lower it"
        )
    return {"rows": rows, "neighbours": torch.tensor(neighbours)}


def _largest(values: Float[Tensor, "b m"], k: int) -> Float[Tensor, "b k"]:
    """Return each row's k largest values, in order.

    They lie in the k groups of columns with the largest maxima, so that nearly all columns are only
    ever compared with one another.
    """
    size = math.isqrt(values.shape[1] // k)
    count = values.shape[1] // size
    grouped = values[:, : size * count].unflatten(1, (size, count))
    best = grouped.amax(1).topk(k, sorted=False).indices
    found = grouped.gather(2, best[:, None].expand(-1, size, -1)).flatten(1)
    rest = values[:, size * count :]
    return torch.cat([found, rest], 1).topk(k).values


def _nearest(features: Float[Tensor, "n p"], state: State) -> Float[Tensor, "n k"]:
    """Return the k largest products of each feature, at length 1, and the state's rows."""
    rows, k = state["rows"], int(state["neighbours"])
    blocks = row_blocks(_normalised(features), max(1, SIMILARITIES // len(rows)))
    return torch.cat([_largest(block @ rows.T, k) for block in blocks])


def fit_knn(training: Outputs, *, neighbours: int) -> State:
    """Keep the training features, all of them, at length 1 (Sun et al. 2022; k is `neighbours`)."""
    return _bank(_normalised(training.features), neighbours, "knn")


def knn(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return minus the distance to the k-th nearest training feature, at length 1 both.

    Exact but for float32: distances below about 5e-4 are rounding. A feature of length 0 has no
    direction, and the distance of a right angle from all.
    """
    return -(2 - 2 * _nearest(outputs.features, state)[:, -1]).clamp(min=0).sqrt()


def fit_nnguide(training: Outputs, *, neighbours: int, share: float) -> State:
    """Keep a share of the training features, evenly taken, at the length of their energies."""
    count = len(training.features)
    taken = (torch.arange(max(1, round(share * count))) * count) // max(1, round(share * count))
    taken = taken.to(training.features.device)
    energies = energy(float64(training.logits[taken])).float()
    rows = _normalised(training.features[taken]) * energies[:, None]
    return _bank(rows, neighbours, "nnguide")


def nnguide(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the energy times the mean of the k largest products of the feature, at length 1, and
    the training features, at the length of their energies (Park et al. 2023, equation 5)."""
    energies = energy(float64(outputs.logits)).float()
    return energies * _nearest(outputs.features, state).mean(1)


SCORES = {"knn": Score(knn, fit_knn), "nnguide": Score(nnguide, fit_nnguide)}
