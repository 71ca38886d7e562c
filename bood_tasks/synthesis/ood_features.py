"""Outlier vectors for the generator, by BOOD's sampler (Eq. 4 and 5) or another one.

In: features (`features` [n, d], `labels`), anchors (`anchors` [v, d], `classes`) and, where the
sampler reads them, distances (`steps`, `crossed`, `margin`, `exact`).
Out: `vectors` float32 [m, d]; `labels` int64 [m], the class each started from; `rows` int64 [m],
its row among the features; `steps` int32 [m], its d(z, y), or -1 without distances. The vectors
are sorted by class, then by rank. ood_features.json counts per class.
"""

import importlib
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.catalogue.samplers import SAMPLERS, STEP_SIZE_FOUND
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.synthesis import cosine
from bood_tasks.synthesis.samplers.interface import Distances, Sampler, TrainingFeatures
from bood_tasks.synthesis.step_size import AUTO

VERSION = 2
Rescale = Literal["anchor", "anchor_no_renorm", "none"]


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


def sampler(name: str) -> Sampler:
    """Return the module of the sampler that `ood_features.sampler` names."""
    return importlib.import_module(f"bood_tasks.synthesis.samplers.{SAMPLERS[name].module}")


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, device = job.settings, pick_device()
    classes = job.inputs["anchors"].json("anchors.json")["classes"]
    anchors = torch.from_numpy(job.inputs["anchors"]["anchors"][:]).to(device)
    features = torch.from_numpy(job.inputs["features"]["features"][:]).to(device)
    counted = job.inputs.get("distances")
    names = ("steps", "crossed", "margin", "exact")
    found = (
        counted.json(STEP_SIZE_FOUND)["step_size"] if settings.get("step_size") == AUTO else None
    )
    distances = Distances(*(counted[name][:] for name in names), found) if counted else None
    labels = job.inputs["features"]["labels"][:]
    cosine.require_directions("features", features, cure="train the encoder again")
    training = TrainingFeatures(features, labels, anchors, classes, distances)
    sampled = sampler(settings["sampler"]).sample(training, settings)
    lengths = torch.linalg.vector_norm(anchors[sampled.labels], dim=1)
    vectors = rescale_vectors(sampled.vectors, lengths, rescale=settings["rescale"])
    with job.draft() as draft:
        draft.save("vectors", vectors.cpu().numpy())
        draft.save("labels", sampled.labels.cpu().numpy())
        draft.save("rows", sampled.rows)
        draft.save("steps", sampled.steps)
        write_json(draft.folder / "ood_features.json", sampled.counts)
        draft.finish(rows={"vectors": len(vectors)}, facts={"selected": sampled.counts["selected"]})
