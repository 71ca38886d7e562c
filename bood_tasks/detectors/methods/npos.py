"""NPOS (Tao et al. 2023): outliers beside the outermost features of each class.

The setting that trains from scratch, as the authors' code (training_from_scratch/): CIDER's
hyperspherical embedding z (Ming et al. 2023), and a head phi that tells penultimate features from
outliers synthesised among them. `logits` are z mu_c / temperature; `features`, the penultimate
ones, are what the authors' evaluation hands to KNN, the published score; `id_logit` is phi of them.
"""

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.detectors.methods.energy_regulariser import PHI_CLIP_NORM
from bood_tasks.detectors.methods.hypersphere import Hypersphere
from bood_tasks.detectors.methods.queue import Queue
from bood_tasks.synthesis.samplers.dreamood import neighbour_similarity, outermost
from bood_tasks.training.augmentation import to_device
from bood_tasks.training.recipe import Recipe, Step, apart, optimiser

VERSION = 2
CLASSES_AT_ONCE = 10  # whose candidates are ranked together: bounds the memory


def synthesise(
    queue: Float[Tensor, "s p"],
    picks: Int64[Tensor, " r"],
    noise: Float[Tensor, "c p"],
    *,
    sigma: float,
    neighbours: int,
    boundary: int,
    kept: int,
) -> Float[Tensor, "m p"]:
    """Return r * `kept` outliers of one class: the paper's rejection sampling beside some of its
    `boundary` outermost features, those at places `picks`.

    Of the candidates feature + sigma noise each feature keeps the `kept` farthest from their k-th
    neighbour in the queue. Distances are between unit vectors, outliers have the length that the
    step gave them, as in the authors' code.
    """
    unit = F.normalize(queue, dim=1)
    rows = queue[outermost(unit, neighbours=neighbours, count=boundary)[picks]]
    points = rows[:, None] + sigma * noise
    near = neighbour_similarity(F.normalize(points, dim=2) @ unit.T, neighbours)
    farthest = near.topk(kept, dim=1, largest=False).indices
    return points.take_along_dim(farthest[..., None], 1).flatten(0, 1)


class NPOS(Hypersphere):
    """A classifier by class prototypes, a queue of each class's last features, and phi.

    Every step draws `points` of each class's `boundary` outermost features and `candidates`
    Gaussian steps that all of them share, of which each point keeps `kept`. phi's loss begins at
    the share `start` of training, when every queue must be full; it learns at `phi_lr` times the
    recipe's rate.
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
        boundary: int,
        points: int,
        candidates: int,
        kept: int,
        sigma: float,
        outlier_weight: float,
        phi_lr: float,
        start: float,
    ):
        width = network.head.in_features
        super().__init__(
            network, classes=classes, width=width, embedding=embedding, temperature=temperature,
            prototype_momentum=prototype_momentum,
        )  # fmt: skip
        limits = {
            "neighbours": "queue", "boundary": "queue", "points": "boundary", "kept": "candidates"
        }  # fmt: skip
        given = {
            "neighbours": neighbours, "boundary": boundary, "points": points, "queue": queue,
            "kept": kept, "candidates": candidates,
        }  # fmt: skip
        for name, limit in limits.items():
            if given[name] > given[limit]:
                raise ValueError(
                    f"detector.npos.{name} must be at most detector.npos.{limit}, got "
                    f"{given[name]} for {given[limit]}; lower it"
                )
        network.head = nn.Identity()
        self.phi = nn.Sequential(nn.Linear(width, embedding), nn.ReLU(), nn.Linear(embedding, 1))
        self.dispersion_weight, self.outlier_weight = dispersion_weight, outlier_weight
        self.points, self.candidates, self.start = points, candidates, start
        self.phi_lr = phi_lr
        self.sampling = {
            "sigma": sigma, "neighbours": neighbours, "boundary": boundary, "kept": kept
        }  # fmt: skip
        self.queue = Queue(classes=classes, size=queue, width=width)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b v"]:
        """Return class logits z mu_c / temperature."""
        return self.embed(self.network(x)) @ self.prototypes.T / self.temperature

    def outputs(self, x: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Return the common outputs and `id_logit` [b], larger = more ID."""
        found = super().outputs(x)
        z = self.embed(found["features"])
        logits = z @ self.prototypes.T / self.temperature
        return found | {"logits": logits, "id_logit": self.phi(found["features"])[:, 0]}

    @torch.no_grad()
    def outliers(self, rng: torch.Generator) -> Float[Tensor, "m p"]:
        """Return this step's outliers of all classes."""
        rows = self.queue.features
        order = torch.rand(len(rows), self.sampling["boundary"], generator=rng).argsort(1)
        noise = torch.randn(self.candidates, rows.shape[2], generator=rng)
        picks = to_device(order[:, : self.points], rows.device)
        one_class = partial(synthesise, noise=to_device(noise, rows.device), **self.sampling)
        return torch.vmap(one_class, chunk_size=CLASSES_AT_ONCE)(rows, picks).flatten(0, 1)

    def _ood(self, features: Float[Tensor, "b p"], step: Step) -> Float[Tensor, ""]:
        """Return BCE(phi), the mean over features and outliers together (authors' code)."""
        if not self.queue.begun(step, self.start, "npos"):
            return features.new_zeros(())
        logits = self.phi(torch.cat([features, self.outliers(step.rng)]))
        is_id = (torch.arange(len(logits), device=logits.device) < len(features)).to(logits)
        return F.binary_cross_entropy_with_logits(logits[:, 0], is_id)

    @torch.compiler.disable
    def loss(
        self, x: Float[Tensor, "n 3 h w"], y: Int64[Tensor, " b"], step: Step
    ) -> dict[str, Float[Tensor, ""]]:
        """Return compactness (CE of the logits) + w dispersion + w' BCE(phi)."""
        features = self.network(x[: len(y)]).float()
        with torch.autocast(x.device.type, enabled=False):  # bf16 would spoil the neighbours
            _, terms = self.move(self.embed(features), y)
            self.queue.add(features.detach(), y)
            ood = self._ood(features, step)
        spread = terms["compactness"] + self.dispersion_weight * terms["dispersion"]
        return {"loss": spread + self.outlier_weight * ood, **terms, "ood": ood}

    def optimisers(self, recipe: Recipe) -> list[torch.optim.Optimizer]:
        """Return the recipe's, in which phi has its own rate and its gradient is clipped alone."""
        own = {"lr": self.phi_lr * recipe.lr, "clip_norm": PHI_CLIP_NORM}
        return [optimiser(apart(self, self.phi.parameters(), **own), recipe)]


METHOD = NPOS
