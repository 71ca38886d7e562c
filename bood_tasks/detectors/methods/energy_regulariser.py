"""Cross-entropy plus beta times the OOD term on the energies of ID rows and outliers (equation 7).

BOOD's and DreamOOD's detector; what the outliers are is the row's matter.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.detectors.confidence import energy
from bood_tasks.detectors.method import Input, Method
from bood_tasks.training.recipe import Recipe, Step, apart, optimiser

VERSION = 2
PHI_HIDDEN = 512
PHI_CLIP_NORM = 1.0  # phi reads an unbounded energy, and at the papers' rate of .1 may diverge


class Increasing(nn.Module):
    """phi(E) = (0, softplus(a) E + b): logistic regression that cannot turn the energy round."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, energies: Float[Tensor, "b 1"]) -> Float[Tensor, "b 2"]:
        logit = F.softplus(self.slope) * energies + self.offset
        return torch.cat([torch.zeros_like(logit), logit], dim=1)


def ood_loss(phi_logits: Float[Tensor, "b 2"], ids: int, *, reduction: str) -> Float[Tensor, ""]:
    """Return equation 7's OOD term: cross-entropy of phi(E) with label 1 for the first `ids` rows,
    which are ID, and 0 for the others.

    `mean` averages over all rows (the reference code's, in which beta was tuned); `sum` adds the
    ID rows' mean and the OOD rows' mean as the paper writes it: twice `mean` for equal batches.
    """
    is_id = (torch.arange(len(phi_logits), device=phi_logits.device) < ids).long()
    each = F.cross_entropy(phi_logits, is_id, reduction="none")
    if reduction == "mean":
        return each.mean()
    return each[:ids].mean() + each[ids:].mean()


class EnergyRegulariser(Method):
    """A classifier and phi, which reads the energy.

    `mlp`: 1 -> 512 -> ReLU -> 2, the papers'. Nothing in equation 7 makes it increasing: it may
    learn "low energy is ID", and the energy score is then the wrong way round, with an AUROC far
    below one half. `linear` may do the same. `increasing` cannot.
    """

    def __init__(
        self, network: nn.Module, *, classes: int, ood_weight: float, reduction: str, phi: str
    ):
        super().__init__(network, classes=classes)
        self.ood_weight, self.reduction = ood_weight, reduction
        self.phi: nn.Module
        if phi == "mlp":
            self.phi = nn.Sequential(nn.Linear(1, PHI_HIDDEN), nn.ReLU(), nn.Linear(PHI_HIDDEN, 2))
        elif phi == "linear":
            self.phi = nn.Linear(1, 2)
        else:
            self.phi = Increasing()

    def loss(self, x: Input, y: Int64[Tensor, " i"], step: Step) -> dict[str, Float[Tensor, ""]]:
        """ID and OOD rows share one forward pass, hence one set of batch-norm statistics."""
        logits = self(x)
        ce = F.cross_entropy(logits[: len(y)], y)
        ood = ood_loss(self.phi(energy(logits)[:, None]), len(y), reduction=self.reduction)
        return {"loss": ce + self.ood_weight * ood, "ce": ce, "ood": ood}

    def optimisers(self, recipe: Recipe) -> list[torch.optim.Optimizer]:
        """Return the recipe's, which clips phi's gradient alone."""
        return [optimiser(apart(self, self.phi.parameters(), clip_norm=PHI_CLIP_NORM), recipe)]


METHOD = EnergyRegulariser
