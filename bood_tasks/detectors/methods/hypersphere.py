"""CIDER's unit embedding and class prototypes (Ming et al. 2023), which NPOS and HamOS build on."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.detectors.method import Method


def moved_prototypes(
    prototypes: Float[Tensor, "v d"],
    embeddings: Float[Tensor, "b d"],
    labels: Int64[Tensor, " b"],
    *,
    momentum: float,
) -> Float[Tensor, "v d"]:
    """Return mu_c <- normalise(m mu_c + (1 - m) z) for each z of class c in turn (CIDER, eq. 6).

    Unit length is restored once a batch, where CIDER does it after each row: no loop over rows.
    Classes without a row stay; gradients reach the embeddings.
    """
    later = (labels[:, None] == labels).triu(1).sum(1).to(embeddings)
    member = F.one_hot(labels, len(prototypes)).T.to(embeddings)
    weight = member * (1 - momentum) * momentum**later  # (v, b)
    kept = momentum ** member.sum(1, keepdim=True)
    return F.normalize(kept * prototypes + weight @ embeddings, dim=1)


def dispersion(prototypes: Float[Tensor, "v d"], *, temperature: float) -> Float[Tensor, ""]:
    """Return mean_i log mean_{j != i} exp(mu_i mu_j / temperature) (CIDER, eq. 5)."""
    similar = prototypes @ prototypes.T / temperature
    itself = torch.eye(len(prototypes), dtype=torch.bool, device=prototypes.device)
    others = similar.masked_fill(itself, -torch.inf).logsumexp(1)
    return (others - math.log(len(prototypes) - 1)).mean()


class Hypersphere(Method):
    """A network, unit projections z of its `width` penultimate features, a prototype mu a class."""

    prototypes: Tensor  # 0 until the class is first seen

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: int,
        width: int,
        embedding: int,
        temperature: float,
        prototype_momentum: float,
    ):
        super().__init__(network, classes=classes)
        self.projection = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, embedding)
        )
        self.temperature, self.prototype_momentum = temperature, prototype_momentum
        self.register_buffer("prototypes", torch.zeros(classes, embedding))

    def embed(self, features: Float[Tensor, "b p"]) -> Float[Tensor, "b d"]:
        """Return z, the unit projections of penultimate features."""
        return F.normalize(self.projection(features), dim=1)

    def move(
        self, z: Float[Tensor, "b d"], y: Int64[Tensor, " b"]
    ) -> tuple[Float[Tensor, "v d"], dict[str, Float[Tensor, ""]]]:
        """Move the prototypes towards a batch; return them and the losses `compactness` and
        `dispersion`.

        Dispersion reaches the batch through the moved prototypes; compactness, the cross-entropy of
        z mu / temperature, takes them as given (CIDER's code).
        """
        moved = moved_prototypes(self.prototypes, z, y, momentum=self.prototype_momentum)
        self.prototypes.copy_(moved.detach())
        compact = F.cross_entropy(z @ moved.detach().T / self.temperature, y)
        disperse = dispersion(moved, temperature=self.temperature)
        return moved, {"compactness": compact, "dispersion": disperse}
