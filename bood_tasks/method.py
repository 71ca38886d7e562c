"""What a row of the table trains: a network, its loss, its optimisers, and what scores may read.

One module a method, found by the registry. It names its class `METHOD` and holds a `VERSION`,
raised by hand when what is trained changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.networks import ResNet

MOMENTUM = 0.9


def sgd(parameters: Iterable, *, lr: float, weight_decay: float) -> torch.optim.SGD:
    """Return the papers' optimiser: SGD with Nesterov momentum .9. Takes parameters, or groups."""
    groups = list(parameters)
    first = groups[0]["params"][0] if isinstance(groups[0], dict) else groups[0]
    return torch.optim.SGD(
        groups, lr=lr, momentum=MOMENTUM, nesterov=True, weight_decay=weight_decay,
        fused=first.is_cuda or None,
    )  # fmt: skip


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

    `network` is the classifier with `classes` outputs, its weights still random; settings of the
    method follow by name.
    """

    def __init__(self, network: ResNet, *, classes: int):
        super().__init__()
        self.network = network
        self.classes = classes

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b v"]:
        """Return class logits."""
        return self.network(x)

    def outputs(self, x: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Return what post-hoc scores read: `logits` [b, v], `features` [b, p] (penultimate),
        `stage0`, `stage1` ... [b, _] (pooled features of the earlier stages), and whatever else
        the method's own scores need, one row a picture."""
        *stages, features = self.network.stages(x)
        found = {"logits": self.network.head(features), "features": features}
        return found | {f"stage{number}": stage for number, stage in enumerate(stages)}

    def loss(
        self, x: Float[Tensor, "n 3 h w"], y: Int64[Tensor, " b"], step: Step
    ) -> dict[str, Float[Tensor, ""]]:
        """Return named terms of which "loss" is minimised.

        The first b rows of `x` are ID, with labels `y`; the others, if the row has any, outliers.
        Called in training mode. Decorate it with `torch.compiler.disable` if it reads `step`.
        """
        raise NotImplementedError

    def optimisers(self, *, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
        """Return the optimisers, which all step on the one loss; each learning rate decays by a
        cosine."""
        return [sgd(self.parameters(), lr=lr, weight_decay=weight_decay)]
