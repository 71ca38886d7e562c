"""Outlier vectors for the generator: BOOD's (Eq. 4 and 5) or DreamOOD's.

In: distances (`steps`, `crossed`, `margin`), features (`features` [n, d], `labels`) and anchors
(`anchors` [v, d], `classes`).
Out: `vectors` float32 [m, d]; `labels` int64 [m], the class each started from; `rows` int64 [m],
its row among the features; `steps` int32 [m], its d(z, y), or -1 for DreamOOD. The vectors
are sorted by class, then by rank. ood_features.json counts per class.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bood_tasks import cosine, seeds
from bood_tasks.distances import in_space
from bood_tasks.dreamood import sample_class
from bood_tasks.environment import pick_device
from bood_tasks.progress import progress
from bood_tasks.selection import describe_selection, select_rows
from bood_tasks.stage import Job, read_job, run
from bood_tasks.store import write_json

VERSION = 2

Rescale = Literal["anchor", "anchor_no_renorm", "none"]


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


def rescale_vectors(
    z: Float[Tensor, "m d"], lengths: Float[Tensor, " m"], *, rescale: Rescale
) -> Float[Tensor, "m d"]:
    """Return the vectors at the scale the generator expects; `lengths` are ‖Γ(y)‖ of each row.

    `anchor`: unit direction × ‖Γ(y)‖; `anchor_no_renorm`: z × ‖Γ(y)‖; `none`: z.
    """
    match rescale:
        case "anchor":
            return lengths[:, None] * F.normalize(z, dim=1)
        case "anchor_no_renorm":
            return lengths[:, None] * z
        case "none":
            return z


def _bood(job: Job, features: Tensor, labels: np.ndarray, anchors: Tensor, classes: list[str]):
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


def _dreamood(job: Job, features: Tensor, labels: np.ndarray, classes: list[str]):
    """Sample as DreamOOD does; return the same as _bood. There are no steps: -1."""
    keys = ("neighbours", "boundary", "candidates", "sigma", "vectors", "reference_bug", "seed")
    how = {key: job.settings[key] for key in keys}
    found, rows, owners = [], [], []
    with progress("ood_features", len(classes), "classes") as advance:
        for label, name in enumerate(classes):
            members = np.flatnonzero(labels == label)
            vectors, started = sample_class(features[members], name, **how)
            found.append(vectors)
            rows.append(members[started.cpu().numpy()])
            owners.append(np.full(len(vectors), label))
            advance()
    none = dict.fromkeys(classes, 0)
    counts = {
        "selected": {name: len(part) for name, part in zip(classes, owners, strict=True)},
        "dropped_misclassified": none,
        "skipped_never_crossed": none,
        "cut": {},
        "tie_mass": {},
    }
    chosen = torch.from_numpy(np.concatenate(owners)).to(features.device)
    steps = np.full(len(chosen), -1, np.int32)
    return torch.cat(found), chosen, np.concatenate(rows), steps, counts


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, device = job.settings, pick_device()
    classes = job.inputs["anchors"].json("anchors.json")["classes"]
    anchors = torch.from_numpy(job.inputs["anchors"]["anchors"][:]).to(device)
    features = torch.from_numpy(job.inputs["features"]["features"][:]).to(device)
    labels = job.inputs["features"]["labels"][:]
    cosine.require_directions("features", features, cure="train the encoder again")
    if settings["sampler"] == "dreamood":
        z, chosen, rows, steps, counts = _dreamood(job, features, labels, classes)
    else:
        z, chosen, rows, steps, counts = _bood(job, features, labels, anchors, classes)
    lengths = torch.linalg.vector_norm(anchors[chosen], dim=1)
    vectors = rescale_vectors(z, lengths, rescale=settings["rescale"])
    with job.draft() as draft:
        draft.save("vectors", vectors.cpu().numpy())
        draft.save("labels", chosen.cpu().numpy())
        draft.save("rows", rows)
        draft.save("steps", steps)
        write_json(draft.folder / "ood_features.json", counts)
        draft.finish(rows={"vectors": len(vectors)}, facts={"selected": counts["selected"]})


if __name__ == "__main__":
    run(main)
