"""NCIS's sampler (Doorenbos et al. 2024): the tails of each class behind a volume-preserving map.

A network learns to send the features of every class into few dimensions: in the others, the
invariants, they are to be 0, and what is left must lead back to the feature. Each class is a
Gaussian there; its least likely samples, led back, are the outliers. Facts from the paper and the
authors' code (networks/volume_preserving.py). What is mapped differs: the paper optimises an
embedding of every picture with the diffusion model, hours on a GPU; here it is the encoder's unit
features, which lie among the same token embeddings. Used by ood_features.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from bood_tasks.jobs import seeds
from bood_tasks.jobs.progress import progress
from bood_tasks.networks.volume_preserving import VolumePreserving
from bood_tasks.networks.weights import initialised
from bood_tasks.synthesis.samplers.interface import Sampled, TrainingFeatures, plain_counts
from bood_tasks.synthesis.samplers.tails import fit_gaussian, unlikeliest

LAST_LR = 0.1  # of the first, linear in between


def invariants(
    z: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], *, classes: int, variance: float
) -> int:
    """Return how many dimensions a class does not use: d less the principal components that hold
    `variance` of it, the mean over classes rounded down; at least one, and less than all."""
    size, unused = z.shape[1], []
    for label in range(classes):
        own = z[labels == label]
        spread = torch.linalg.svdvals(own - own.mean(0)).square()
        share = spread.cumsum(0) / spread.sum()
        used = int((share <= variance).sum())  # numpy's index of the first that is more, as theirs
        unused.append(size - min(used, size - 1))
    return max(1, min(size - 1, int(np.mean(unused))))


def fit_map(
    model: VolumePreserving,
    z: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    *,
    unused: int,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int,
) -> list[tuple[float, float]]:
    """Train the map in place; return each epoch's mean loss of the invariants and of the way back.

    Two steps of Adam a batch, as the authors': one lowers the squares of the last `unused` numbers,
    the other the error of the features that come back when these are set to 0. Raises ValueError
    for a loss that is not finite.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    steps = epochs * -(-len(z) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 1 - (1 - LAST_LR) * min(step / steps, 1)
    )
    curve = []
    with progress("ood_features", epochs, "epochs") as advance:
        for epoch in range(epochs):
            order = seeds.generator(seed, "ood_features", "ncis", "epoch", epoch)
            losses = []
            for rows in torch.from_numpy(order.permutation(len(z))).split(batch_size):
                x, y = z[rows.to(z.device)], labels[rows.to(z.device)]
                mapped = model(x, y)
                away = mapped[:, -unused:].square().mean()
                optimiser.zero_grad()
                away.backward()
                optimiser.step()
                kept = F.pad(mapped.detach()[:, :-unused], (0, unused))
                back = F.mse_loss(model.inverse(kept, y), x)
                optimiser.zero_grad()
                back.backward()
                optimiser.step()
                schedule.step()
                losses.append(torch.stack([away.detach(), back.detach()]))
            means = torch.stack(losses).mean(0).tolist()
            if not np.isfinite(means).all():
                raise ValueError(
                    f"ood_features.ncis.lr must keep the loss finite, got {means} in epoch "
                    f"{epoch}; lower it (now {lr:g})"
                )
            curve.append(tuple(means))
            advance(1, f"invariants {means[0]:.2e}, way back {means[1]:.2e}")
    return curve


@torch.no_grad()
def tail_of(
    model: VolumePreserving,
    features: Float[Tensor, "n d"],
    label: int,
    *,
    vectors: int,
    candidates: int,
    kept: int,
    rng: torch.Generator,
) -> Float[Tensor, "m d"]:
    """Return `vectors` outliers of one class: of every `candidates` samples of its Gaussian behind
    the map the `kept` least likely ones, led back."""
    of_class = torch.full((len(features),), label, device=features.device)
    mean, factor = fit_gaussian(model(features, of_class))
    rounds = -(-vectors // kept)
    z = unlikeliest(
        rng, classes=rounds, size=features.shape[1], candidates=candidates, selected=kept
    )
    points = mean + z.flatten(0, 1)[:vectors].to(features) @ factor.T
    return model.inverse(points, of_class[:1].expand(vectors))


def sample(training: TrainingFeatures, settings: Mapping[str, Any]) -> Sampled:
    """Return each class's vectors; `rows` names the nearest feature of the class. No steps: -1.

    Raises ValueError if more candidates are to be kept than drawn.
    """
    if settings["kept"] > settings["candidates"]:
        raise ValueError(
            f"ood_features.ncis.kept must be at most ood_features.ncis.candidates, got "
            f"{settings['kept']} for {settings['candidates']}; lower it"
        )
    z, seed, classes = F.normalize(training.features, dim=1), settings["seed"], training.classes
    labels = torch.from_numpy(training.labels).to(z.device)
    model = initialised(
        lambda: VolumePreserving(
            size=z.shape[1], classes=len(classes), layers=settings["layers"]
        ),
        seeds.stream(seed, "ood_features", "ncis", "weights"),
    ).to(z.device)  # fmt: skip
    unused = invariants(z, labels, classes=len(classes), variance=settings["variance"])
    keys = ("epochs", "batch_size", "lr")
    how = {key: settings[key] for key in keys}
    fit_map(model, z, labels, unused=unused, seed=seed, **how)
    found, rows = [], []
    for label, name in enumerate(classes):
        members = np.flatnonzero(training.labels == label)
        own = z[torch.from_numpy(members).to(z.device)]
        rng = torch.Generator().manual_seed(seeds.stream(seed, "ood_features", "ncis", name))
        keys = ("vectors", "candidates", "kept")
        found.append(tail_of(model, own, label, rng=rng, **{key: settings[key] for key in keys}))
        near = (F.normalize(found[-1], dim=1) @ own.T).argmax(1)
        rows.append(members[near.cpu().numpy()])
    taken = np.concatenate(rows)
    owners = labels[torch.from_numpy(taken).to(z.device)]
    counts = plain_counts(classes, map(len, rows))
    return Sampled(torch.cat(found), owners, taken, np.full(len(taken), -1, np.int32), counts)
