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


def with_margin(
    phi_logits: Float[Tensor, "b 2"], distance: Float[Tensor, " o"], *, margin: float
) -> Float[Tensor, "b 2"]:
    """Return phi's logits with each outlier's for ID raised by `margin` times its distance.

    The outliers are the last rows. One at distance g then costs softplus(phi + margin g) in place
    of softplus(phi): it is done only when its energy lies that much lower.
    """
    raised = F.pad(margin * distance, (len(phi_logits) - len(distance), 0))
    return phi_logits + torch.stack([torch.zeros_like(raised), raised], dim=1)


def soft_loss(
    logits: Float[Tensor, "o v"], probabilities: Float[Tensor, "o v"], *, share: float
) -> Float[Tensor, ""]:
    """Return the cross-entropy of outliers to `share` times their class probabilities and, for the
    rest, the uniform distribution; least where the softmax is that mixture."""
    target = share * probabilities + (1 - share) / logits.shape[1]
    return F.cross_entropy(logits, target)


class EnergyRegulariser(Method):
    """A classifier and phi, which reads the energy.

    `mlp`: 1 -> 512 -> ReLU -> 2, the papers'. Nothing in equation 7 makes it increasing: it may
    learn "low energy is ID", and the energy score is then the wrong way round, with an AUROC far
    below one half. `linear` may do the same. `increasing` cannot.

    Ours, and off unless given: `soft_labels` adds `soft_weight` times soft_loss, `distance_margin`
    is with_margin's. Both read `step.known`, by columns: an outlier's class probabilities by the
    cosine classifier, then its distance beyond the boundary (nearness.py).
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: int,
        ood_weight: float,
        reduction: str,
        phi: str,
        soft_labels: float | None = None,
        soft_weight: float = 0.0,
        distance_margin: float | None = None,
    ):
        super().__init__(network, classes=classes)
        self.ood_weight, self.reduction = ood_weight, reduction
        self.soft_labels, self.soft_weight = soft_labels, soft_weight
        self.distance_margin = distance_margin
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
        phi = self.phi(energy(logits)[:, None])
        if self.distance_margin is not None:
            phi = with_margin(phi, step.known[:, -1], margin=self.distance_margin)
        ood = ood_loss(phi, len(y), reduction=self.reduction)
        terms = {"loss": ce + self.ood_weight * ood, "ce": ce, "ood": ood}
        if self.soft_labels is not None:
            soft = soft_loss(logits[len(y) :], step.known[:, :-1], share=self.soft_labels)
            terms |= {"loss": terms["loss"] + self.soft_weight * soft, "soft": soft}
        return terms

    def optimisers(self, recipe: Recipe) -> list[torch.optim.Optimizer]:
        """Return the recipe's, which clips phi's gradient alone."""
        return [optimiser(apart(self, self.phi.parameters(), clip_norm=PHI_CLIP_NORM), recipe)]


METHOD = EnergyRegulariser
