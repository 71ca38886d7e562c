"""GCOS's shell (Karzanov & Detyniecki 2026): features moved off their class's manifold.

Off the manifold: along directions in which the features vary least (PCA). How far: to a
Mahalanobis distance between two quantiles of a calibration set's, the shell. The two stages and
the quantiles (95 and 99 %) are from the abstract and the reviews of "Geometrically Constrained
Outlier Synthesis" (arXiv 2603.08413; openreview DcrtGkprHc); the paper's text was out of reach
and it has no public code. Assumed here: one covariance for all classes, isotropic directions in
the span of the last components, distances uniform in the shell, and the share of variance.

Used by ood_features, and by the method gcos, which trains on the shell itself.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from bood_tasks.jobs import seeds
from bood_tasks.jobs.progress import progress
from bood_tasks.synthesis.samplers.bood import class_means
from bood_tasks.synthesis.samplers.interface import Sampled, TrainingFeatures, plain_counts

RIDGE = 1e-4  # on the covariance's diagonal, as VOS
CALIBRATED = 4  # one feature of so many is kept for the quantiles


@dataclass(frozen=True)
class Shell:
    """Class means and the covariance U diag(spread) U^T (columns of U: least spread first), of
    which the first `off` directions leave the manifold; the shell's distances."""

    means: Float[Tensor, "v p"]
    axes: Float[Tensor, "p p"]
    spread: Float[Tensor, " p"]
    off: int
    inner: Float[Tensor, ""]
    outer: Float[Tensor, ""]

    def along(self, z: Float[Tensor, "n p"], labels: Int[Tensor, " n"]) -> Float[Tensor, "n p"]:
        """Return what leads from its class's mean to each feature, along the axes."""
        return (z - self.means[labels]) @ self.axes

    def distances(self, z: Float[Tensor, "n p"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return each feature's Mahalanobis distance from its class's mean."""
        return (self.along(z, labels).square() / self.spread).sum(1).sqrt()


def conformal_quantile(scores: Float[Tensor, " n"], level: float) -> Float[Tensor, ""]:
    """Return the ceil((n + 1) level)-th smallest score, the largest where there are too few."""
    rank = min(len(scores), math.ceil((len(scores) + 1) * level - 1e-9))
    return scores.kthvalue(max(1, rank)).values


def fit_shell(
    z: Float[Tensor, "n p"],
    labels: Int[Tensor, " n"],
    calibration: Bool[Tensor, " n"],
    *,
    classes: int,
    variance: float,
    inner: float,
    outer: float,
) -> Shell:
    """Return the shell: Gaussians and axes of the features outside `calibration`, quantiles of
    those inside.

    The axes that leave the manifold are the last ones, which hold less than 1 - `variance` of the
    features' variance about their class's mean; at least one. Where features are not finite, what
    is returned is nan.
    """
    fitted, of = z[~calibration], labels[~calibration]
    means = class_means(fitted, of, classes)
    away = fitted - means[of]
    covariance = away.T @ away / len(away)
    # eigh raises for what is not finite; training refuses a loss of nan, and names the cure
    broken = ~covariance.isfinite().all()
    spread, axes = torch.linalg.eigh(covariance.where(~broken, 0.0))
    share = spread.clamp_min(0).cumsum(0) / spread.clamp_min(0).sum().clamp_min(1e-30)
    off = max(1, int((share < 1 - variance).sum()))
    spread = spread.clamp_min(0) + torch.where(broken, torch.nan, RIDGE)
    shell = Shell(means, axes, spread, off, spread[0], spread[0])
    found = shell.distances(z[calibration], labels[calibration])
    return Shell(
        means, axes, spread, off,
        conformal_quantile(found, inner), conformal_quantile(found, outer),
    )  # fmt: skip


def to_shell(
    z: Float[Tensor, "m p"],
    labels: Int[Tensor, " m"],
    shell: Shell,
    directions: Float[Tensor, "m k"],
    depths: Float[Tensor, " m"],
) -> Float[Tensor, "m p"]:
    """Return each feature moved off the manifold until it lies in the shell, at its depth: 0 is
    the inner edge, 1 the outer one.

    The step along a unit direction d is the positive root of |z + s d - mu|_M = r. A feature that
    lies beyond r itself starts from its class's mean.
    """
    radius = shell.inner + depths * (shell.outer - shell.inner)
    away = shell.along(z, labels)
    beyond = (away.square() / shell.spread).sum(1) > radius.square()
    away = away.masked_fill(beyond[:, None], 0.0)
    spread, d = shell.spread[: shell.off], F.normalize(directions, dim=1)
    a, b = (d.square() / spread).sum(1), (away[:, : shell.off] * d / spread).sum(1)
    c = (away.square() / shell.spread).sum(1) - radius.square()
    step = ((b.square() - a * c).clamp_min(0).sqrt() - b) / a
    moved = away + F.pad(step[:, None] * d, (0, away.shape[1] - shell.off))
    return shell.means[labels] + moved @ shell.axes.T


def drawn(
    z: Float[Tensor, "n p"],
    labels: Int[Tensor, " n"],
    rows: Int64[Tensor, " m"],
    shell: Shell,
    rng: torch.Generator,
) -> Float[Tensor, "m p"]:
    """Return an outlier of each of the chosen rows; `rng` lives on the CPU."""
    directions = torch.randn(len(rows), z.shape[1], generator=rng)[:, : shell.off]
    depths = torch.rand(len(rows), generator=rng)
    return to_shell(z[rows], labels[rows], shell, directions.to(z), depths.to(z))


def sample(training: TrainingFeatures, settings: Mapping[str, Any]) -> Sampled:
    """Return each class's vectors in the shell, from features drawn at random. No steps: -1.

    A quarter of each class is the calibration set. Raises ValueError for a class of too few.
    """
    z = F.normalize(training.features, dim=1)
    calibration = np.zeros(len(training.labels), bool)
    order = seeds.generator(settings["seed"], "ood_features", "gcos").permutation(len(z))
    for label, name in enumerate(training.classes):
        own = order[training.labels[order] == label]
        if len(own) < CALIBRATED:
            raise ValueError(
                f"ood_features.sampler must not be gcos for a class of fewer than {CALIBRATED} "
                f"training pictures, got {len(own)} of {name}; give it more"
            )
        calibration[own[: len(own) // CALIBRATED]] = True
    labels = torch.from_numpy(training.labels).to(z.device)
    keys = ("variance", "inner", "outer")
    shell = fit_shell(
        z, labels, torch.from_numpy(calibration).to(z.device), classes=len(training.classes),
        **{key: settings[key] for key in keys},
    )  # fmt: skip
    found, rows = [], []
    with progress("ood_features", len(training.classes), "classes") as advance:
        for label, name in enumerate(training.classes):
            stream = (settings["seed"], "ood_features", "gcos", name)
            members = np.flatnonzero(training.labels == label)
            rows.append(seeds.generator(*stream).choice(members, settings["vectors"]))
            rng = torch.Generator().manual_seed(seeds.stream(*stream))
            chosen = torch.from_numpy(rows[-1]).to(z.device)
            found.append(drawn(z, labels, chosen, shell, rng))
            advance()
    taken, counts = np.concatenate(rows), plain_counts(training.classes, map(len, rows))
    owners, steps = labels[torch.from_numpy(taken).to(z.device)], np.full(len(taken), -1, np.int32)
    return Sampled(torch.cat(found), owners, taken, steps, counts)
