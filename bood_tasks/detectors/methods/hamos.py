"""HamOS (Li & Zhang, ICLR 2025): outliers by Hamiltonian Monte Carlo between the classes.

Two heads on one network: the last linear layer, trained by cross-entropy, and CIDER's unit
embedding z (Ming et al. 2023), in which outliers are sampled (samplers/hamos.py) and pushed away
from all class prototypes. `features` are z, which KNN, the published score, reads; `logits` are
the linear layer's.

The authors' sample code hands its loss of the outliers the ID embeddings, and prototypes without a
gradient, through which the outliers could teach nothing. Here the outliers enter, and the
gradient reaches the batch through the moved prototypes, as that of the dispersion does.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.detectors.methods.hypersphere import Hypersphere
from bood_tasks.detectors.methods.outlier_exposure import to_uniform
from bood_tasks.detectors.methods.queue import Queue
from bood_tasks.synthesis.samplers.hamos import Banks, chains
from bood_tasks.training.recipe import Step

VERSION = 1


class HamOS(Hypersphere):
    """The network, the embedding, class prototypes and queues of each class's last embeddings.

    The loss of the outliers begins at the share `start` of training, when every queue must be full.
    Every step begins chains anew at the midpoints and goes `rounds` rounds; all places count.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: int,
        embedding: int,
        temperature: float,
        prototype_momentum: float,
        dispersion_weight: float,
        queue: int,
        neighbours: int,
        adjacent: int,
        rounds: int,
        leapfrogs: int,
        step_size: float,
        kappa: float,
        margin: float,
        weight: float,
        start: float,
    ):
        super().__init__(
            network, classes=classes, width=network.head.in_features, embedding=embedding,
            temperature=temperature, prototype_momentum=prototype_momentum,
        )  # fmt: skip
        if neighbours > queue:
            raise ValueError(
                f"detector.hamos.neighbours must be at most detector.hamos.queue, got {neighbours} "
                f"for {queue}; lower it"
            )
        self.dispersion_weight, self.weight, self.start = dispersion_weight, weight, start
        self.sampling = {
            "rounds": rounds, "neighbours": neighbours, "adjacent": adjacent,
            "leapfrogs": leapfrogs, "step_size": step_size, "kappa": kappa, "margin": margin,
        }  # fmt: skip
        self.queue = Queue(classes=classes, size=queue, width=embedding)

    def outputs(self, x: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Return the common outputs; `features` are z."""
        found = super().outputs(x)
        return found | {"features": self.embed(found["features"])}

    @torch.no_grad()
    def outliers(self, rng: torch.Generator) -> Float[Tensor, "m d"]:
        """Return this step's outliers of all chains, unit vectors."""
        rows = self.queue.features
        filled = torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)
        places, _ = chains(rows.mean(1), Banks(rows, filled), rng, **self.sampling)
        return places.flatten(0, 1)

    def _ood(self, moved: Float[Tensor, "v d"], step: Step) -> Float[Tensor, ""]:
        """Return the mean over outliers of the cross-entropy to uniform of softmax(-z mu / T)."""
        if not self.queue.begun(step, self.start, "hamos"):
            return moved.new_zeros(())
        return to_uniform(-self.outliers(step.rng) @ moved.T / self.temperature).mean()

    @torch.compiler.disable
    def loss(
        self, x: Float[Tensor, "n 3 h w"], y: Int64[Tensor, " b"], step: Step
    ) -> dict[str, Float[Tensor, ""]]:
        """Return CE + compactness + w dispersion + w' loss of the outliers, which reaches the batch
        through the moved prototypes."""
        features = self.network.stages(x[: len(y)])[-1]
        ce = F.cross_entropy(self.network.head(features), y)
        with torch.autocast(x.device.type, enabled=False):  # bf16 would spoil the neighbours
            z = self.embed(features.float())
            moved, terms = self.move(z, y)
            self.queue.add(z.detach(), y)
            ood = self._ood(moved, step)
        spread = terms["compactness"] + self.dispersion_weight * terms["dispersion"]
        return {"loss": ce + spread + self.weight * ood, "ce": ce, **terms, "ood": ood}


METHOD = HamOS
