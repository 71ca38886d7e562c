"""What a training run does at each step: optimisers, schedules, the refusal of a loss."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

LAST_LR = 1e-6


@dataclass(frozen=True)
class Recipe:
    """What the optimiser does and how rows reach it; fields of the settings' `Training`.

    `batch_norm`: moving, or kept = normalised by the stored statistics, which stay as they are.
    `clip_norm`: see clip_gradients; None = gradients stay as they are.
    `mixing`: equal = as many outliers as ID rows a step; shuffled = one order of both an epoch.
    `steps`: training ends after so many, if the epochs have more.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    crop_padding: int
    flip: bool
    clip_norm: float | None
    precision: str = "fp32"
    augment: str = "shift"
    crop: int | None = None
    optimiser: str = "sgd"
    momentum: float = 0.9
    schedule: str = "cosine"
    mixing: str = "equal"
    steps: int | None = None
    batch_norm: str = "moving"


def to_training(model: nn.Module, recipe: Recipe) -> None:
    """Put a model into training; where statistics are kept, its classifier's batch norm is not."""
    model.train()
    if recipe.batch_norm == "kept":
        for layer in model.network.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()


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


def apart(model: nn.Module, some: Iterable[nn.Parameter], **own: float | None) -> list[dict]:
    """Return two parameter groups: all of a model but `some`, and these, with settings of their
    `own`.

    Parameters that get a gradient later than the others must stand apart: the fused optimisers
    refuse a group in which some have stepped before.
    """
    rest = list(some)
    first = [weight for weight in model.parameters() if not any(weight is item for item in rest)]
    return [{"params": first}, {"params": rest, **own}]


def clip_gradients(optimiser: torch.optim.Optimizer, clip_norm: float | None) -> None:
    """Scale gradients of an optimiser down to their largest norm.

    A parameter group with a `clip_norm` of its own is clipped alone, to that; the gradient of all
    other groups together to the given norm, or not at all for None.
    """
    for group in optimiser.param_groups:
        if "clip_norm" in group:
            nn.utils.clip_grad_norm_(group["params"], group["clip_norm"])
    if clip_norm is not None:
        groups = [group["params"] for group in optimiser.param_groups if "clip_norm" not in group]
        nn.utils.clip_grad_norm_([item for group in groups for item in group], clip_norm)


@dataclass(frozen=True)
class Step:
    """Where training stands. `rng` depends on the run's seed and the step alone, so a killed run
    draws the same numbers again; it lives on the CPU. `known`: what is known of each outlier of the
    step, [o, k], where the training was given it."""

    number: int  # from 0
    total: int
    rng: torch.Generator
    known: torch.Tensor | None = None


def cosine_lr(step: int, steps: int, lr: float, last: float = LAST_LR) -> float:
    """Return the learning rate of a step: half a cosine from `lr` down to `last`."""
    return last + (lr - last) * ((1 + math.cos(math.pi * step / steps)) / 2)


def scheduled_lr(step: int, steps: int, lr: float, schedule: str) -> float:
    """Return the learning rate of a step by the recipe's schedule."""
    return cosine_lr(step, steps, lr) if schedule == "cosine" else lr


def average_decay(step: int, most: float) -> float:
    """Return the decay of a moving average of weights at a step, `most` in the long run.

    The first steps' weights are forgotten sooner: an average over about all steps so far.
    """
    return min(most, (1 + step) / (10 + step))


def require_finite(losses: Sequence[float], first: int, lrs: Mapping[str, float]) -> None:
    """Raise ValueError if a loss of the steps from `first` on is not finite.

    `lrs`: the settings of the learning rates to lower, and their values.
    """
    for step, loss in enumerate(losses, first):
        if not math.isfinite(loss):
            values = " and ".join(f"{lr:g}" for lr in lrs.values())
            raise ValueError(
                f"{' and '.join(lrs)} must keep the loss finite, got {loss} at step {step}; "
                f"lower {'it' if len(lrs) == 1 else 'them'} (now {values})"
            )
