"""Energy by the largest contributions to the logits (Sun & Li 2022)."""

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.scoring.posthoc.base import Outputs, Score, State
from bood_tasks.scoring.posthoc.last_layer import energy_of, linear_head, percentile_of


def fit_dice(training: Outputs, *, sparsity: float) -> State:
    """Set to zero the `sparsity` percent of weights with the least contribution E[f] W.

    Sun & Li 2022; the mean feature is of the training split, the order is over the whole matrix.
    """
    state = linear_head(training)
    contributions = training.features.mean(0, dtype=torch.float64) * state["weight"]
    kept = contributions > percentile_of(contributions, sparsity)
    return state | {"weight": state["weight"] * kept}


def dice(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the energy of the sparse head."""
    return energy_of(outputs.features, state)


SCORES = {"dice": Score(dice, fit_dice)}
