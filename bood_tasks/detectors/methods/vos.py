"""VOS (Du et al. 2022): virtual outliers in the tails of the classes' Gaussians of features.

The shared covariance is fitted to queues of each class's last penultimate features. `logits` are
one linear layer's. `weighted_energy` is what the paper scores; the authors' CIFAR test script, and
with it the published row, the plain energy of the logits.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.detectors.method import Input, Method
from bood_tasks.detectors.methods.energy_regulariser import PHI_CLIP_NORM, Increasing, ood_loss
from bood_tasks.detectors.methods.queue import Queue
from bood_tasks.synthesis.samplers.tails import unlikeliest
from bood_tasks.training.augmentation import to_device
from bood_tasks.training.recipe import Recipe, Step, apart, optimiser

VERSION = 2
RIDGE = 1e-4  # on the covariance's diagonal, as the authors' code
LEAST_WEIGHT = 1e-12  # of a class, so that its logarithm and its gradient are finite


def weighted_energy(
    logits: Float[Tensor, "b v"], weights: Float[Tensor, " v"]
) -> Float[Tensor, " b"]:
    """Return log sum_k max(w_k, 0) exp(f_k), the paper's E with the sign turned: larger = ID."""
    return (logits + weights.clamp_min(LEAST_WEIGHT).log()).logsumexp(1)


def fit_gaussians(
    features: Float[Tensor, "v q p"],
) -> tuple[Float[Tensor, "v p"], Float[Tensor, "p p"]]:
    """Return the class means mu and L of the shared covariance Sigma + RIDGE = L L^T.

    L is nan where no such L exists, so that the loss is refused; asking would wait for the GPU.
    """
    means = features.mean(1)
    away = (features - means[:, None]).flatten(0, 1)
    covariance = away.T @ away / len(away)
    covariance.diagonal().add_(RIDGE)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    return means, factor.where(failed == 0, torch.nan)


class VOS(Method):
    """A classifier, the queues, the energy's class weights w and phi.

    The phi of the authors' code is a logistic regression that may turn the energy round;
    `Increasing` is the one that cannot, so that larger is ID in the score as well. The loss begins
    at the share `start` of training, when every queue must be full. `section`: of `detector`.
    """

    section = "vos"

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: int,
        queue: int,
        candidates: int,
        selected: int,
        weight: float,
        start: float,
    ):
        super().__init__(network, classes=classes)
        if selected > candidates:
            raise ValueError(
                f"detector.vos.selected must be at most detector.vos.candidates, got {selected} "
                f"for {candidates}; lower it"
            )
        self.weight, self.start = weight, start
        width = network.head.in_features
        self.sampling = {
            "classes": classes, "size": width, "candidates": candidates, "selected": selected
        }  # fmt: skip
        self.queue = Queue(classes=classes, size=queue, width=width)
        self.class_weights = nn.Parameter(torch.rand(classes))  # as the authors' code starts
        self.phi = Increasing()

    def outputs(self, x: Input) -> dict[str, Tensor]:
        """Return the common outputs and `weighted_energy` [b], larger = more ID."""
        found = super().outputs(x)
        return found | {"weighted_energy": weighted_energy(found["logits"], self.class_weights)}

    def outliers(self, rng: torch.Generator) -> Float[Tensor, "m p"]:
        """Return this step's virtual outliers mu + L z of all classes."""
        means, factor = fit_gaussians(self.queue.features)
        z = to_device(unlikeliest(rng, **self.sampling), means.device)
        return (means[:, None] + z @ factor.T).flatten(0, 1)

    @torch.compiler.disable
    def loss(self, x: Input, y: Int64[Tensor, " i"], step: Step) -> dict[str, Float[Tensor, ""]]:
        """Return CE + weight BCE(phi(E)), the mean over ID rows and outliers (authors' code).

        Features enter their queues before the Gaussians are fitted. The outliers reach the last
        layer, the weights w and phi; ID rows the body as well.
        """
        features = self.network.stages(x[: len(y)])[-1]
        logits = self.network.head(features)
        ce = F.cross_entropy(logits, y)
        self.queue.add(features.detach().float(), y)
        if not self.queue.begun(step, self.start, self.section):
            return {"loss": ce, "ce": ce, "ood": torch.zeros_like(ce)}
        with torch.autocast(x.device.type, enabled=False):  # bf16 would spoil the covariance
            outliers = self.network.head(self.outliers(step.rng))
            both = torch.cat([logits.float(), outliers])
            energies = weighted_energy(both, self.class_weights)
            ood = ood_loss(self.phi(energies[:, None]), len(y), reduction="mean")
        return {"loss": ce + self.weight * ood, "ce": ce, "ood": ood}

    def optimisers(self, recipe: Recipe) -> list[torch.optim.Optimizer]:
        """Return the recipe's, which clips the gradient of w and phi alone."""
        late = [self.class_weights, *self.phi.parameters()]
        return [optimiser(apart(self, late, clip_norm=PHI_CLIP_NORM), recipe)]


METHOD = VOS
