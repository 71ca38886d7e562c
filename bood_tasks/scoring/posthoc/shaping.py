"""Energy of the last layer after its features or its weights are shaped: ReAct, DICE, ASH, SCALE.

Sums over a sample's features are those of positive ones, as if after ReLU: of a network whose
features may be negative, they would else be no measure of strength, and their quotient has poles.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.scoring.posthoc.base import Outputs, Score, State
from bood_tasks.scoring.posthoc.last_layer import energy_of, linear_head, percentile_of


def fit_react(training: Outputs, *, percentile: float) -> State:
    """Fit the clip c: a percentile of all training activations (Sun et al. 2021)."""
    clip = torch.tensor(percentile_of(training.features, percentile), dtype=torch.float64)
    return linear_head(training) | {"clip": clip.to(training.features.device)}


def react(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the energy of the head on features min(f, c)."""
    return energy_of(outputs.features.clamp(max=float(state["clip"])), state)


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


def kept_count(width: int, percentile: float) -> int:
    """Return how many of `width` features a percentile leaves, at least one."""
    return max(1, width - round(width * percentile / 100))


def _largest(features: Float[Tensor, "n p"], percentile: float) -> Float[Tensor, "n p"]:
    """Return each sample's positive features, those below its percentile set to zero."""
    positive = features.relu()
    least = positive.topk(kept_count(features.shape[1], percentile)).values[:, -1:]
    return positive * (positive >= least)


def strength(features: Float[Tensor, "n p"], largest: Float[Tensor, "n 1"]) -> Float[Tensor, "n 1"]:
    """Return r, the sum of a sample's features over that of its largest ones; 1 where all are 0."""
    total = features.relu().sum(1, keepdim=True)
    return torch.where(largest > 0, total / largest.clamp_min(1e-300), 1.0)


def ash(outputs: Outputs, state: State, *, variant: str, percentile: float) -> Float[Tensor, " n"]:
    """Return the energy of features of which each sample's largest are left (Djurisic et al. 2023).

    `variant`: "p" leaves them as they are, "b" makes them all one number with the sum of all
    features, "s" multiplies them by exp(r), r the sum of all features over that of those left.
    """

    def shaped(block: Tensor) -> Tensor:
        left = _largest(block, percentile)
        if variant == "p":
            return left
        if variant == "s":
            return left * strength(block, left.sum(1, keepdim=True)).exp()
        some = left > 0
        total = block.relu().sum(1, keepdim=True)
        return some * total / some.sum(1, keepdim=True).clamp_min(1)

    return energy_of(outputs.features, state, shaped)


def scale(outputs: Outputs, state: State, *, percentile: float) -> Float[Tensor, " n"]:
    """Return the energy of features times exp(r), r as ASH-S has it, none set to zero (Xu et al.
    2024)."""

    def scaled(block: Tensor) -> Tensor:
        return block * strength(block, _largest(block, percentile).sum(1, keepdim=True)).exp()

    return energy_of(outputs.features, state, scaled)


SCORES = {
    "react": Score(react, fit_react),
    "dice": Score(dice, fit_dice),
    "ash": Score(ash, linear_head),
    "scale": Score(scale, linear_head),
}
