"""What a row of the table trains: a network, its loss, its optimisers, and what scores may read.

Each method is a module of methods/, or a file of one's own. It names its class `METHOD`; the
package's hold a `VERSION`, raised by hand when what is trained changes.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.training.recipe import Recipe, Step, optimiser

Input = Float[Tensor, "b ..."] | Int64[Tensor, "b l"]  # pictures [b, 3, h, w], or tokens


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
        the method's own scores need, one row a picture. A network without a last linear layer
        (`head` None) has `logits` alone, or `features` that no layer of ours reads."""
        if self.network.head is None:  # of somebody else: logits, and what else it says
            return self.network.outputs(x)
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
