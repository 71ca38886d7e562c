"""HamOS's sampler (Li & Zhang, ICLR 2025): Markov chains between classes on the unit sphere.

A chain starts half-way between two neighbouring classes and goes, by Hamiltonian Monte Carlo,
where the features of both are far: its density is the mean distance to the k-th neighbour in each.
Facts from "Outlier Synthesis via Hamiltonian Monte Carlo for Out-of-Distribution Detection"
(arXiv 2501.16718) and the authors' code (github.com/Fir-lat/HamOS_OOD). Two places where that
sample code and the paper's intent part are told at `log_posterior` and `midpoints`.

Used by ood_features, and by the method hamos, which trains on such outliers of its embedding.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from bood_tasks.jobs import seeds
from bood_tasks.jobs.progress import progress
from bood_tasks.synthesis.samplers.bood import class_means
from bood_tasks.synthesis.samplers.interface import Sampled, TrainingFeatures, plain_counts

POINTS_AT_ONCE = 64  # whose products with all features are held together: bounds the memory
Potential = Callable[[Tensor], tuple[Float[Tensor, " n"], Float[Tensor, "n d"]]]


@dataclass(frozen=True)
class Banks:
    """Unit features of each class, as many places for each; `filled`: those that hold one."""

    features: Float[Tensor, "v q d"]
    filled: Bool[Tensor, "v q"]


def banks_of(z: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], classes: int) -> Banks:
    """Return the banks of unit features of classes that may differ in number."""
    most = int(torch.bincount(labels, minlength=classes).max())
    features, filled = z.new_zeros(classes, most, z.shape[1]), labels.new_zeros(classes, most)
    for label in range(classes):
        own = z[labels == label]
        features[label, : len(own)], filled[label, : len(own)] = own, 1
    return Banks(features, filled.bool())


def midpoints(
    means: Float[Tensor, "v d"], *, adjacent: int
) -> tuple[Float[Tensor, "n d"], Int64[Tensor, "n 2"]]:
    """Return unit points half-way from each class to its `adjacent` nearest ones, and the pairs.

    Nearest by cosine; the authors' code compares products of means, whose lengths differ. With
    fewer classes than that all others are taken.
    """
    unit = F.normalize(means, dim=1)
    similar = (unit @ unit.T).fill_diagonal_(-torch.inf)
    others = similar.topk(min(adjacent, len(means) - 1), dim=1).indices
    own = torch.arange(len(means), device=means.device)[:, None].expand_as(others)
    pairs = torch.stack([own.flatten(), others.flatten()], 1)
    return F.normalize(means[pairs].mean(1), dim=1), pairs


def kth_neighbour(
    x: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], banks: Banks, neighbours: int
) -> Float[Tensor, "n d"]:
    """Return of each point its k-th nearest feature in its class's bank."""
    found = []
    for points, own in zip(x.split(POINTS_AT_ONCE), labels.split(POINTS_AT_ONCE), strict=True):
        rows = banks.features[own]
        near = torch.einsum("nd,nqd->nq", points, rows)
        near = near.masked_fill(~banks.filled[own], -torch.inf)
        place = near.topk(neighbours, dim=1).indices[:, -1]
        found.append(rows[torch.arange(len(own), device=x.device), place])
    return torch.cat(found)


def ood_potential(pairs: Int64[Tensor, "n 2"], banks: Banks, *, neighbours: int) -> Potential:
    """Return U(x) = -log of the mean distance to the k-th neighbour in both classes of each point,
    with its gradient (the neighbours stay as they are)."""

    def potential(x: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
        away = [x - kth_neighbour(x, pairs[:, side], banks, neighbours) for side in (0, 1)]
        lengths = [part.norm(dim=1).clamp_min(1e-12) for part in away]
        total = lengths[0] + lengths[1]
        pull = away[0] / lengths[0][:, None] + away[1] / lengths[1][:, None]
        return -(total / 2).log(), -pull / total[:, None]

    return potential


def log_posterior(
    x: Float[Tensor, "n d"], banks: Banks, *, neighbours: int, kappa: float
) -> Float[Tensor, " n"]:
    """Return log max_c p_c(x) / sum_c p_c(x), p_c the mean of exp(kappa x z) over the k nearest
    features z of class c (von Mises-Fisher kernels): how surely a point is one class's.

    The authors' code divides each point's kernels by their largest, class by class, and takes a
    softmax of what is left, so that distance from a class hardly counts. Here classes are equally
    likely before, and Bayes' rule does the rest.
    """
    found = []
    for points in x.split(POINTS_AT_ONCE):
        near = torch.einsum("nd,vqd->nvq", points, banks.features)
        near = near.masked_fill(~banks.filled, -torch.inf).topk(neighbours, dim=2).values
        found.append((kappa * near).logsumexp(2).log_softmax(1).amax(1))
    return torch.cat(found)


def _tangent(v: Float[Tensor, "n d"], x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return v - (v * x).sum(1, keepdim=True) * x


def leapfrog(
    x: Float[Tensor, "n d"], v: Float[Tensor, "n d"], potential: Potential, *, steps: int,
    step_size: float,
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:  # fmt: skip
    """Return places and momenta after `steps` steps: half a kick, a way along the great circle,
    half a kick (Lan, Zhou & Shahbaba 2014). It is undone by turning the momentum round."""
    force = potential(x)[1]
    for _ in range(steps):
        v = v - step_size / 2 * _tangent(force, x)
        speed = v.norm(dim=1, keepdim=True).clamp_min(1e-12)
        turn = step_size * speed
        x, v = x * turn.cos() + v / speed * turn.sin(), v * turn.cos() - x * speed * turn.sin()
        x = F.normalize(x, dim=1)
        force = potential(x)[1]
        v = _tangent(v - step_size / 2 * force, x)
    return x, v


def hamiltonian_round(
    x: Float[Tensor, "n d"],
    potential: Potential,
    rng: torch.Generator,
    *,
    leapfrogs: int,
    step_size: float,
    allowed: Callable[[Tensor], Bool[Tensor, " n"]] = lambda x: torch.ones_like(x[:, 0]).bool(),
) -> Float[Tensor, "n d"]:
    """Return the chains' next places: Metropolis' rule, and where `allowed` says no they stay.

    `rng` lives on the CPU.
    """
    v = _tangent(torch.randn(x.shape, generator=rng).to(x), x)
    there, momentum = leapfrog(x, v, potential, steps=leapfrogs, step_size=step_size)
    gained = potential(x)[0] - potential(there)[0]
    gained = gained + (v.square().sum(1) - momentum.square().sum(1)) / 2
    chance = torch.rand(len(x), generator=rng).to(x)
    return torch.where(((chance.log() < gained) & allowed(there))[:, None], there, x)


def chains(
    means: Float[Tensor, "v d"],
    banks: Banks,
    rng: torch.Generator,
    *,
    rounds: int,
    neighbours: int,
    adjacent: int,
    leapfrogs: int,
    step_size: float,
    kappa: float,
    margin: float,
) -> tuple[Float[Tensor, "r n d"], Int64[Tensor, "n 2"]]:
    """Return the midpoints and the places of each chain after every round, and the chains' pairs.

    A place is refused where the log posterior exceeds its midpoint's by half the `margin` or more:
    there it would be a class's own (the paper's hard margin).
    """
    x, pairs = midpoints(means, adjacent=adjacent)
    potential = ood_potential(pairs, banks, neighbours=neighbours)
    surest = {"neighbours": neighbours, "kappa": kappa}
    limit = log_posterior(x, banks, **surest) + margin / 2
    found = [x]
    for _ in range(rounds):
        x = hamiltonian_round(
            x, potential, rng, leapfrogs=leapfrogs, step_size=step_size,
            allowed=lambda there: log_posterior(there, banks, **surest) < limit,
        )  # fmt: skip
        found.append(x)
    return torch.stack(found), pairs


def sample(training: TrainingFeatures, settings: Mapping[str, Any]) -> Sampled:
    """Return each class's vectors: the places of the chains that start between it and others, in
    each of their rounds, without their midpoints. Chains begin anew until there are enough: after
    many rounds they would be far from all classes. `rows` names the nearest feature of the class.
    No steps: -1. Raises ValueError if a class has fewer features than neighbours are asked for.
    """
    z, classes = F.normalize(training.features, dim=1), training.classes
    labels = torch.from_numpy(training.labels).to(z.device)
    counted = torch.bincount(labels, minlength=len(classes)).tolist()
    few = min(range(len(classes)), key=counted.__getitem__)
    if settings["neighbours"] > counted[few]:
        raise ValueError(
            "ood_features.hamos.neighbours must be at most the training pictures of each class, "
            f"got {settings['neighbours']} for {counted[few]} of {classes[few]}; lower it"
        )
    each = min(settings["adjacent"], len(classes) - 1)
    keys = ("rounds", "neighbours", "adjacent", "leapfrogs", "step_size", "kappa", "margin")
    how = {key: settings[key] for key in keys}
    means, banks = class_means(z, labels, len(classes)), banks_of(z, labels, len(classes))
    rng = torch.Generator().manual_seed(seeds.stream(settings["seed"], "ood_features", "hamos"))
    times, places = math.ceil(settings["vectors"] / (each * settings["rounds"])), []
    with progress("ood_features", times, "chains") as advance:
        for _ in range(times):
            places.append(chains(means, banks, rng, **how)[0][1:])
            advance()
    by_class = torch.cat(places).unflatten(1, (len(classes), each)).transpose(0, 1)
    found = by_class.flatten(1, 2)[:, : settings["vectors"]]
    rows = []
    for label in range(len(classes)):
        members = np.flatnonzero(training.labels == label)
        near = (found[label] @ z[torch.from_numpy(members).to(z.device)].T).argmax(1)
        rows.append(members[near.cpu().numpy()])
    taken = np.concatenate(rows)
    owners = labels[torch.from_numpy(taken).to(z.device)]
    counts = plain_counts(classes, map(len, rows))
    return Sampled(found.flatten(0, 1), owners, taken, np.full(len(taken), -1, np.int32), counts)
