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
    """What a classifier says of n pictures. Fits may read the labels and the head as well."""

    features: Float[Tensor, "n p"]  # penultimate: pooled, after ReLU
    logits: Float[Tensor, "n v"]
    stages: tuple[Float[Tensor, "n _"], ...] = ()  # pooled features of all earlier stages
    labels: Int64[Tensor, " n"] | None = None
    head: nn.Linear | None = None  # from features to logits


def row_blocks(rows: Float[Tensor, "n p"], count: int) -> Sequence[Tensor]:
    """Return blocks of at most `count` rows; all in one where a graph for any n is exported."""
    return [rows] if torch.compiler.is_exporting() else rows.split(count)


def by_block(function: Callable[[Tensor], Tensor], rows: Float[Tensor, "n p"]) -> Tensor:
    """Return function(rows) as float32, computed in float64."""
    return torch.cat([function(float64(block)).float() for block in row_blocks(rows, ROWS)])


class Score(NamedTuple):
    """How a score is read off outputs, and what it is fitted to before.

    `fit(training, **settings)` gives its state, from outputs of the training split;
    `weigh(state, inside, outside)` completes it, from outputs of the validation sets.
    """

    score: Callable[[Outputs, State], Float[Tensor, " n"]]
    fit: Callable[..., State] | None = None
    weigh: Callable[[State, Outputs, Outputs], State] | None = None
