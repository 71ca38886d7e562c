"""GODIN (Hsu et al. 2020): logits f_i = h_i(x) / g(x), the variant DeConf-C with cosines h_i.

`logits` are f; `confidence` is the largest h_i, the score: of pictures that odin.py moves, or as
they are.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.detectors.method import Method
from bood_tasks.training.recipe import Recipe, Step, optimiser

VERSION = 2
LEAST_DIVISOR = torch.finfo(torch.float32).tiny  # g reaches 0 far from all data, h / g infinity


class GODIN(Method):
    """A classifier whose last layer is h / g: h_i the cosine of features z and the class's
    direction w_i, g = sigmoid(BN(w_g z + b_g)).
    """

    def __init__(self, network: nn.Module, *, classes: int):
        super().__init__(network, classes=classes)
        width = network.head.in_features
        network.head = nn.Identity()
        self.directions = nn.Parameter(torch.empty(classes, width))
        nn.init.kaiming_normal_(self.directions, nonlinearity="relu")
        self.divisor = nn.Sequential(nn.Linear(width, 1), nn.BatchNorm1d(1), nn.Sigmoid())

    def numerator(self, features: Float[Tensor, "b p"]) -> Float[Tensor, "b v"]:
        """Return h_i = z w_i / (|z| |w_i|), the cosine."""
        return F.normalize(features, dim=1) @ F.normalize(self.directions, dim=1).T

    def divided(
        self, numerator: Float[Tensor, "b v"], features: Float[Tensor, "b p"]
    ) -> Float[Tensor, "b v"]:
        """Return the class logits h / g."""
        return numerator / self.divisor(features).clamp_min(LEAST_DIVISOR)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b v"]:
        """Return class logits."""
        features = self.network(x)
        return self.divided(self.numerator(features), features)

    def outputs(self, x: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Return the common outputs and `confidence` [b]."""
        found = super().outputs(x)
        h = self.numerator(found["features"])
        return found | {"logits": self.divided(h, found["features"]), "confidence": h.amax(1)}

    def confidence(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """Return the largest h_i, larger = more ID; does not read g."""
        return self.numerator(self.network(x)).amax(1)

    def loss(
        self, x: Float[Tensor, "n 3 h w"], y: Int64[Tensor, " b"], step: Step
    ) -> dict[str, Float[Tensor, ""]]:
        return {"loss": F.cross_entropy(self(x[: len(y)]), y)}

    def optimisers(self, recipe: Recipe) -> list[torch.optim.Optimizer]:
        """Return the recipe's, which decays every weight but h's directions, as the paper."""
        others = [weight for weight in self.parameters() if weight is not self.directions]
        groups = [{"params": others}, {"params": [self.directions], "weight_decay": 0.0}]
        return [optimiser(groups, recipe)]


METHOD = GODIN
