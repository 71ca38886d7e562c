"""What a row of the table trains: a network, its loss, its optimisers, and what scores may read.

One module a method, found by the registry. It names its class `METHOD` and holds a `VERSION`,
raised by hand when what is trained changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

Input = Float[Tensor, "b ..."] | Int64[Tensor, "b l"]  # pictures [b, 3, h, w], or tokens


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


class Method(nn.Module):
    """A classifier and how it is trained. Everything that must survive a kill is a parameter, a
    buffer or an optimiser's state.

    `network` is the classifier with `classes` outputs, its weights still random: `stages(x)` are
    its pooled features, the last the penultimate ones, which its `head` maps to logits. Settings
    of the method follow by name.
    """

    def __init__(self, network: nn.Module, *, classes: int):
        super().__init__()
        self.network = network
        self.classes = classes

    def forward(self, x: Input) -> Float[Tensor, "b v"]:
        """Return class logits."""
        return self.network(x)

    def outputs(self, x: Input) -> dict[str, Tensor]:
        """Return what post-hoc scores read: `logits` [b, v], `features` [b, p] (penultimate),
        `stage0`, `stage1` ... [b, _] (pooled features of the earlier stages), and whatever else
        the method's own scores need, one row a picture."""
        *stages, features = self.network.stages(x)
        found = {"logits": self.network.head(features), "features": features}
        return found | {f"stage{number}": stage for number, stage in enumerate(stages)}

    def loss(self, x: Input, y: Int64[Tensor, " i"], step: Step) -> dict[str, Float[Tensor, ""]]:
        """Return named terms of which "loss" is minimised.

        The first i rows of `x` are ID, with labels `y`; the others, if the row has any, outliers.
        Called in training mode. Decorate it with `torch.compiler.disable` if it reads `step`.
        """
        raise NotImplementedError

    def optimisers(self, recipe: Recipe) -> list[torch.optim.Optimizer]:
        """Return the optimisers, which all step on the one loss; each learning rate follows the
        recipe's schedule."""
        return [optimiser(self.parameters(), recipe)]
