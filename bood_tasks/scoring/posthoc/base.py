"""Scores of a trained classifier's outputs; larger = more ID. Nothing here reads a picture.

`SCORES` names each score's `fit(training, **settings)`, which returns its state, and its
`score(outputs, state)`, float32. A fitted state holds tensors only, so that safetensors can keep it
beside the detector, and lives on the device of the training outputs. Fits and all but the
neighbours are computed in float64, block by block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.detectors.confidence import energy

ROWS = 8192  # converted to float64 at once
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
    return torch.cat([function(block.double()).float() for block in row_blocks(rows, ROWS)])


def linear_head(training: Outputs) -> State:
    """Return the classifier's last layer, where the features are."""
    named = training.head.state_dict()  # detached
    return {name: value.to(training.features.device) for name, value in named.items()}


def percentile_of(values: Tensor, level: float) -> float:
    """Return a percentile of all values; torch's own stops at 16 million."""
    return float(np.percentile(values.cpu().numpy(), level))


def energy_of(features: Float[Tensor, "n p"], state: State) -> Float[Tensor, " n"]:
    """Return the energy of the state's head."""
    weight, bias = state["weight"], state["bias"]
    return by_block(lambda block: energy(F.linear(block, weight.double(), bias.double())), features)


class Score(NamedTuple):
    """How a score is fitted to training outputs and read off others."""

    fit: Callable[..., State]
    score: Callable[[Outputs, State], Float[Tensor, " n"]]
