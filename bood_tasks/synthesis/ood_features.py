"""Outlier vectors for the generator: BOOD's (Eq. 4 and 5) or DreamOOD's.

In: distances (`steps`, `crossed`, `margin`), features (`features` [n, d], `labels`) and anchors
(`anchors` [v, d], `classes`).
Out: `vectors` float32 [m, d]; `labels` int64 [m], the class each started from; `rows` int64 [m],
its row among the features; `steps` int32 [m], its d(z, y), or -1 for DreamOOD. The vectors
are sorted by class, then by rank. ood_features.json counts per class.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.synthesis import cosine
from bood_tasks.synthesis.samplers.bood import sample_bood
from bood_tasks.synthesis.samplers.dreamood import sample_dreamood

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


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, device = job.settings, pick_device()
    classes = job.inputs["anchors"].json("anchors.json")["classes"]
    anchors = torch.from_numpy(job.inputs["anchors"]["anchors"][:]).to(device)
    features = torch.from_numpy(job.inputs["features"]["features"][:]).to(device)
    labels = job.inputs["features"]["labels"][:]
    cosine.require_directions("features", features, cure="train the encoder again")
    if settings["sampler"] == "dreamood":
        z, chosen, rows, steps, counts = sample_dreamood(job, features, labels, classes)
    else:
        z, chosen, rows, steps, counts = sample_bood(job, features, labels, anchors, classes)
    lengths = torch.linalg.vector_norm(anchors[chosen], dim=1)
    vectors = rescale_vectors(z, lengths, rescale=settings["rescale"])
    with job.draft() as draft:
        draft.save("vectors", vectors.cpu().numpy())
        draft.save("labels", chosen.cpu().numpy())
        draft.save("rows", rows)
        draft.save("steps", steps)
        write_json(draft.folder / "ood_features.json", counts)
        draft.finish(rows={"vectors": len(vectors)}, facts={"selected": counts["selected"]})
