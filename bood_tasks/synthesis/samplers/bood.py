"""BOOD's outlier features: boundary features pushed across, and its ablations."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bood_tasks.jobs import seeds
from bood_tasks.jobs.job import Job
from bood_tasks.synthesis import cosine
from bood_tasks.synthesis.samplers.selection import describe_selection, select_rows
from bood_tasks.synthesis.stepping import in_space


def push_across(
    z: Float[Tensor, "m d"],
    labels: Int[Tensor, " m"],
    anchors: Float[Tensor, "v d"],
    *,
    step_size: float,
    max_steps: int,
    extra_steps: int,
    temperature: float,
) -> Float[Tensor, "m d"]:
    """Return each row after the updates that switch its prediction (Eq. 4) and c more (Eq. 5).

    A row whose prediction is wrong from the start gets the c updates alone. Nothing is
    projected. Raises ValueError for rows that `max_steps` updates leave in their class.
    """
    if extra_steps < 0:
        raise ValueError(f"extra_steps must be >= 0, got {extra_steps}; the paper uses 2")
    stepping = {"step_size": step_size, "temperature": temperature}
    z = z.clone()
    # One step of grace: in another batch, rounding may delay a crossing at exactly K.
    for _ in range(max_steps + 1):
        inside = cosine.predict(z, anchors) == labels
        if not inside.any():
            break
        z[inside] = cosine.perturb(z[inside], labels[inside], anchors, **stepping)
    still = (cosine.predict(z, anchors) == labels).sum().item()
    if still:
        raise ValueError(
            f"selected rows must cross the boundary within max_steps = {max_steps}, got {still} "
            "that do not; raise distances.max_steps or distances.step_size"
        )
    for _ in range(extra_steps):
        z = cosine.perturb(z, labels, anchors, **stepping)
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


def sample_bood(
    job: Job, features: Tensor, labels: np.ndarray, anchors: Tensor, classes: list[str]
):
    """Select and perturb (Eq. 4 and 5); return vectors, labels, rows, steps and the counts."""
    settings, device = job.settings, features.device
    stepping = {key: settings[key] for key in ("step_size", "max_steps", "temperature")}
    space = settings["feature_space"]
    steps, crossed, margin, exact = (
        job.inputs["distances"][name][:] for name in ("steps", "crossed", "margin", "exact")
    )
    how = {key: settings[key] for key in ("select", "rate", "scope", "misclassified", "seed")}
    selection = select_rows(labels, steps, crossed, margin, classes, **how)
    print("\n".join(describe_selection(steps[exact], crossed[exact], selection)), file=sys.stderr)
    rows = selection.rows
    chosen_labels = torch.from_numpy(labels[rows]).to(device)
    start = in_space(features[rows], space)
    match settings["perturb"]:
        case "adversarial":
            extra = settings["extra_steps"]
            z = push_across(start, chosen_labels, anchors, extra_steps=extra, **stepping)
        case "gaussian":
            items = [
                (classes[y], int(row)) for y, row in zip(chosen_labels.tolist(), rows, strict=True)
            ]
            z = add_noise(start, items, sigma=settings["sigma"], seed=settings["seed"])
        case "centroid":
            means = class_means(
                in_space(features, space), torch.from_numpy(labels).to(device), len(classes)
            )
            z = leave_centroid(start, means[chosen_labels], shift=settings["shift"])
        case "none":
            z = start
    counts = asdict(selection)
    del counts["rows"]
    return z, chosen_labels, rows, steps[rows], counts
