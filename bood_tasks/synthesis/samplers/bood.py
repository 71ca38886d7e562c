"""BOOD's outlier features: boundary features pushed across, and its ablations."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor

from bood_tasks.jobs import seeds
from bood_tasks.synthesis import cosine
from bood_tasks.synthesis.overshoot import own_margins, push_beyond
from bood_tasks.synthesis.samplers.interface import Sampled, TrainingFeatures
from bood_tasks.synthesis.samplers.selection import Uncrossed, describe_selection, select_rows
from bood_tasks.synthesis.stepping import Stepping, in_space


def push_across(
    z: Float[Tensor, "m d"],
    labels: Int[Tensor, " m"],
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    *,
    extra_steps: int,
    uncrossed: Uncrossed = "skip",
) -> Float[Tensor, "m d"]:
    """Return each row after the updates that switch its prediction (Eq. 4) and c more (Eq. 5).

    A row whose prediction is wrong from the start gets the c updates alone. Nothing is
    projected. Rows that `max_steps` updates leave in their class get those and the c more if
    `uncrossed` is keep; else there must be none, or ValueError is raised.
    """
    if extra_steps < 0:
        raise ValueError(f"extra_steps must be >= 0, got {extra_steps}; the paper uses 2")
    step = {"step_size": stepping.step_size, "temperature": stepping.temperature}
    z = z.clone()
    # One step of grace: in another batch, rounding may delay a crossing at exactly K.
    grace = uncrossed == "skip"
    for _ in range(stepping.max_steps + grace):
        inside = cosine.predict(z, anchors) == labels
        if not inside.any():
            break
        z[inside] = cosine.perturb(z[inside], labels[inside], anchors, **step)
    still = (cosine.predict(z, anchors) == labels).sum().item()
    if still and uncrossed == "skip":
        raise ValueError(
            f"selected rows must cross the boundary within max_steps = {stepping.max_steps}, got "
            f"{still} that do not; raise distances.max_steps or distances.step_size"
        )
    for _ in range(extra_steps):
        z = cosine.perturb(z, labels, anchors, **step)
    return z


def add_noise(
    z: Float[Tensor, "m d"],
    items: Sequence[tuple[str, int]],
    *,
    sigma: float,
    seed: int,
) -> Float[Tensor, "m d"]:
    """Return z + Gaussian noise of standard deviation `sigma` in each dimension.

    Each row's noise depends on its item (class, row) and the seed alone.
    """
    noise = np.stack(
        [
            seeds.generator(seed, "ood_features", "noise", *item).standard_normal(z.shape[1])
            for item in items
        ]
    )
    return z + sigma * torch.from_numpy(noise).to(z)


def class_means(
    z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], count: int
) -> Float[Tensor, "v d"]:
    """Return the mean of each class's rows."""
    sums = z.new_zeros(count, z.shape[1]).index_add_(0, labels, z)
    return sums / torch.bincount(labels, minlength=count)[:, None]


def leave_centroid(
    z: Float[Tensor, "m d"], centroids: Float[Tensor, "m d"], *, shift: float
) -> Float[Tensor, "m d"]:
    """Return z moved straight away from its class's centroid, by `shift` × ‖z‖."""
    away = z - centroids
    cosine.require_directions(
        "feature - class centroid", away, cure="give every class at least two different images"
    )
    return z + shift * torch.linalg.vector_norm(z, dim=1, keepdim=True) * F.normalize(away, dim=1)


def _perturbed(
    z: Float[Tensor, "m d"],
    rows: Int64[np.ndarray, " m"],
    owners: Int64[Tensor, " m"],
    training: TrainingFeatures,
    stepping: Stepping,
    settings: Mapping[str, Any],
) -> Float[Tensor, "m d"]:
    """Return the selected features z, rows `rows` of all, after the perturbation of `settings`,
    but for one to a margin."""
    match settings["perturb"]:
        case "adversarial":
            return push_across(
                z, owners, training.anchors, stepping, extra_steps=settings["extra_steps"],
                uncrossed=settings["uncrossed"],
            )  # fmt: skip
        case "gaussian":
            names = [training.classes[y] for y in owners.tolist()]
            items = list(zip(names, rows.tolist(), strict=True))
            return add_noise(z, items, sigma=settings["sigma"], seed=settings["seed"])
        case "centroid":
            labels = torch.from_numpy(training.labels).to(z.device)
            everything = in_space(training.features, stepping.feature_space)
            means = class_means(everything, labels, len(training.classes))
            return leave_centroid(z, means[owners], shift=settings["shift"])
        case "none":
            return z


def _beyond(
    z: Float[Tensor, "m d"],
    owners: Int64[Tensor, " m"],
    training: TrainingFeatures,
    stepping: Stepping,
    quantile: float,
) -> tuple[Float[Tensor, "m d"], dict[str, dict]]:
    """Return the selected features z at the margin beyond the boundary that is this quantile of
    their class's own, and what ood_features.json says of it."""
    names = training.classes
    margins = own_margins(training.distances.margin, training.labels, names, quantile)
    targets = torch.from_numpy(margins)[owners.cpu()].to(z)
    end, reached = push_beyond(z, owners, training.anchors, stepping, targets)
    short = np.bincount(owners[~reached].cpu().numpy(), minlength=len(names))
    if short.any():
        print(
            f"warning: {short.sum()} of {len(z)} outlier vectors stay nearer to the boundary than "
            f"ood_features.overshoot = {quantile:g} asks, after {2 * stepping.max_steps} steps; "
            "lower it, or raise distances.max_steps",
            file=sys.stderr,
        )
    return end, {
        "overshoot": dict(zip(names, margins.tolist(), strict=True)),
        "short_of_overshoot": dict(zip(names, short.tolist(), strict=True)),
    }


def sample(training: TrainingFeatures, settings: Mapping[str, Any]) -> Sampled:
    """Return the features that `select` chooses, after `perturb` (Eq. 4 and 5)."""
    stepping = Stepping.of(settings, training.distances.step_size)
    steps = training.distances.steps
    crossed, exact = training.distances.crossed, training.distances.exact
    keys = ("select", "rate", "scope", "misclassified", "uncrossed", "seed")
    how = {key: settings[key] for key in keys}
    selection = select_rows(
        training.labels, steps, crossed, training.distances.margin, training.classes, **how
    )
    print("\n".join(describe_selection(steps[exact], crossed[exact], selection)), file=sys.stderr)
    rows = selection.rows
    owners = torch.from_numpy(training.labels[rows]).to(training.features.device)
    start = in_space(training.features[rows], stepping.feature_space)
    counts = asdict(selection)
    del counts["rows"]
    if "overshoot" in settings:
        z, told = _beyond(start, owners, training, stepping, settings["overshoot"])
        counts |= told
    else:
        z = _perturbed(start, rows, owners, training, stepping, settings)
    return Sampled(z, owners, rows, steps[rows], counts)
