"""What a training run does at each step: optimisers, losses, schedules."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Recipe:
    """What the optimiser does and how rows reach it; fields of config_stages.Training.

    `mixing`: equal = as many outliers as ID rows a step; shuffled = one order of both an epoch.
    `steps`: training ends after so many, if the epochs have more.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    crop_padding: int
    flip: bool
    clip_norm: float
    precision: str = "fp32"
    augment: str = "shift"
    crop: int | None = None
    optimiser: str = "sgd"
    momentum: float = 0.9
    schedule: str = "cosine"
    mixing: str = "equal"
    steps: int | None = None


def optimiser(parameters: Iterable, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser of parameters, or of groups: SGD with Nesterov's momentum, as
    the papers', or plain where that is 0; or Adam."""
    groups = list(parameters)
    first = groups[0]["params"][0] if isinstance(groups[0], dict) else groups[0]
    shared = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": first.is_cuda or None}
    if recipe.optimiser == "adam":
        return torch.optim.Adam(groups, **shared)
    momentum = recipe.momentum
    return torch.optim.SGD(groups, momentum=momentum, nesterov=momentum > 0, **shared)


@dataclass(frozen=True)
class Step:
    """Where training stands. `rng` depends on the run's seed and the step alone, so a killed run
    draws the same numbers again; it lives on the CPU."""

    number: int  # from 0
    total: int
    rng: torch.Generator
