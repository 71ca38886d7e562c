"""What many scores read: the last linear layer, of weight [v, p] and bias [v].

A method may make its logits by another layer than its network's last one. What counts is what its
`outputs` said of the training split: the layer that maps those features to those logits.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from bood_tasks.detectors.confidence import energy
from bood_tasks.scoring.posthoc.base import Outputs, State, by_block

TOLERANCE = 1e-3  # of the largest logit: float32, and TF32 on a GPU
TRIED = 20_000  # rows at most, by which a layer is looked for


@torch.no_grad()
def _misses(layer: nn.Linear, features: Tensor, logits: Tensor) -> float:
    """Return the largest error of a layer's logits, as a share of the largest logit."""
    if layer.weight.shape != (logits.shape[1], features.shape[1]):
        return float("inf")
    error = F.linear(features.double(), layer.weight.double(), layer.bias.double()) - logits
    return float(error.abs().amax() / logits.abs().amax().clamp_min(1e-12))


def _solved(features: Float[Tensor, "n p"], logits: Float[Tensor, "n v"]) -> nn.Linear:
    """Return the layer that maps features to logits with the least squared error."""
    ones = features.new_ones(len(features), 1, dtype=torch.float64)
    table = torch.cat([features.double(), ones], 1)
    # gelsd: of a rank that is not full, the shortest solution (dead channels get no weight)
    found = torch.linalg.lstsq(table.cpu(), logits.double().cpu(), driver="gelsd").solution
    layer = nn.Linear(features.shape[1], logits.shape[1], device="meta")
    layer.weight = nn.Parameter(found[:-1].T.float(), requires_grad=False)
    layer.bias = nn.Parameter(found[-1].float(), requires_grad=False)
    return layer.to(features.device)


def layer_between(
    features: Float[Tensor, "n p"], logits: Float[Tensor, "n v"], stored: nn.Linear | None
) -> nn.Linear | None:
    """Return the linear layer from a detector's features to its logits; None if there is none.

    `stored`: its network's last layer, which is that one unless the method has another. Else the
    layer is solved for on every second row, and it must be right on the others.
    """
    features, logits = features[:TRIED], logits[:TRIED]
    if stored is not None and _misses(stored, features, logits) <= TOLERANCE:
        return stored
    if len(features) // 2 <= features.shape[1] + 1:  # any logits would fit
        return None
    found = _solved(features[::2], logits[::2])
    return found if _misses(found, features[1::2], logits[1::2]) <= TOLERANCE else None


def linear_head(training: Outputs) -> State:
    """Return the classifier's last layer, where the features are.

    Raises ValueError if its logits are not one linear layer of its features.
    """
    if training.head is None:
        count, width = training.features.shape
        few = (
            f", or cannot be seen to be by {count:,} training samples of {width:,} features"
            if count // 2 <= width + 1
            else ""
        )
        raise ValueError(
            "the score reads the last linear layer, and this detector's logits are not one linear "
            f"layer of its features{few}; leave the score out of the row's scores"
        )
    named = training.head.state_dict()  # detached
    return {name: value.to(training.features.device) for name, value in named.items()}


def percentile_of(values: Tensor, level: float) -> float:
    """Return a percentile of all values; torch's own stops at 16 million."""
    return float(np.percentile(values.cpu().numpy(), level))


def energy_of(
    features: Float[Tensor, "n p"],
    state: State,
    shaped: Callable[[Tensor], Tensor] = lambda block: block,
) -> Float[Tensor, " n"]:
    """Return the energy of the state's last layer on shaped features."""
    weight, bias = state["weight"].double(), state["bias"].double()
    return by_block(lambda block: energy(F.linear(shaped(block), weight, bias)), features)
