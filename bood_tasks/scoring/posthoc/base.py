"""Scores of a trained classifier's outputs, float32; larger = more ID. No score reads a picture.

A fitted state holds tensors only, so that safetensors can keep it beside the detector, and lives on
the device of the training outputs. Fits and all but the neighbours are computed in float64, block
by block: state and training outputs lie on the CPU where the network's device has none
(float64_device).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.networks.float64 import float64

ROWS = 8192  # converted to float64 at once
RANK_LEVEL = 1e-10  # of the largest variance; rounding of float32 features leaves about 1e-14
State = dict[str, Tensor | float]  # numbers: what was read back may hold them plain


@dataclass(frozen=True)
class Outputs:
    """What a classifier says of n pictures. Fits may read the labels and the head as well.

    `features` are None for a network of somebody else's that has logits alone, `head` where the
    logits are not one linear layer of the features.
    """

    features: Float[Tensor, "n p"]  # penultimate: pooled, after ReLU
    logits: Float[Tensor, "n v"]
    stages: tuple[Float[Tensor, "n _"], ...] = ()  # pooled features of all earlier stages
    labels: Int64[Tensor, " n"] | None = None
    head: nn.Linear | None = None  # from features to logits


def row_blocks(rows: Float[Tensor, "n p"], count: int) -> Sequence[Tensor]:
    """Return blocks of at most `count` rows; all in one where a graph for any n is exported."""
    return [rows] if torch.compiler.is_exporting() else rows.split(count)


def by_block(function: Callable[..., Tensor], *tables: Float[Tensor, "n _"]) -> Tensor:
    """Return function(*tables) of tables with a row a sample, as float32, computed in float64."""
    blocks = zip(*(row_blocks(table, ROWS) for table in tables), strict=True)
    return torch.cat([function(*map(float64, block)).float() for block in blocks])


class Score(NamedTuple):
    """How a score is read, and what it is fitted to before.

    `score(outputs, state)` [n] is read off outputs; `fit(training)` gives the state, from outputs
    of the training split, or of the ID validation split where the catalogue says so;
    `weigh(state, inside, outside)` completes it, from outputs of the validation sets.
    `moved(model, x, magnitudes, state)` [b, m] is read off network input x that is moved along a
    gradient by each magnitude; `statistic(model, x, magnitude)` [b] is what such a score compares
    with its values on the ID validation split, which the state then has in order as `reference`.
    Each takes the settings that it names as keywords.
    """

    score: Callable[..., Float[Tensor, " n"]] | None = None
    fit: Callable[..., State] | None = None
    weigh: Callable[..., State] | None = None
    moved: Callable[..., Float[Tensor, "b m"]] | None = None
    statistic: Callable[..., Float[Tensor, " b"]] | None = None
