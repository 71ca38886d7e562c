"""What the cosine classifier says of the vectors that outliers were decoded from.

For methods that treat outliers near the boundary otherwise than far ones.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from bood_tasks.detectors.outliers import kept_by
from bood_tasks.jobs.job import Job
from bood_tasks.synthesis.cosine import cosine_logits
from bood_tasks.synthesis.overshoot import margin_beyond

FAR = 1.0  # the distance of an outlier that is no vector's: that of a vector on another anchor


def nearness(
    vectors: Float[Tensor, "m d"],
    labels: Int64[Tensor, " m"],
    anchors: Float[Tensor, "v d"],
    *,
    temperature: float,
) -> Float[Tensor, "m k"]:
    """Return each vector's class probabilities (Eq. 2) and its margin beyond the boundary of the
    class that it started from, in cosines."""
    cosines = cosine_logits(vectors, anchors, temperature=1.0)
    beyond = margin_beyond(cosines, labels)
    return torch.cat([(cosines / temperature).softmax(1), beyond[:, None]], dim=1)


def of_no_vector(count: int, classes: int) -> Float[Tensor, "n k"]:
    """Return uniform probabilities and the distance FAR."""
    return F.pad(torch.full((count, classes), 1 / classes), (0, 1), value=FAR)


def known_of_outliers(job: Job, counts: Sequence[int], classes: int) -> list[Float[Tensor, "_ k"]]:
    """Return nearness of every outlier, source by source, as open_outliers gives them; [] where the
    detector's method does not read it. `counts`: of each source, how many there are.

    Raises ValueError for anchors of other classes than the detector's.
    """
    reads = job.settings["method_settings"].keys() & {"soft_labels", "distance_margin"}
    if not reads:
        return []
    made, left = iter(job.inputs.get("vectors", ())), list(job.inputs.get("outliers", ()))
    filters, found = iter(job.inputs.get("outlier_filters", ())), []
    anchors = (
        torch.from_numpy(job.inputs["anchors"]["anchors"][:]) if "anchors" in job.inputs else None
    )
    if anchors is not None and len(anchors) != classes:
        raise ValueError(
            f"anchors must be one a class, got {len(anchors)} for {classes} classes; make them anew"
        )
    for source, count in zip(job.settings.get("sources", ()), counts, strict=True):
        own, left = left[: source["artifacts"]], left[source["artifacts"] :]
        kept = kept_by(next(filters)) if source.get("filtered") else slice(None)
        if "temperature" not in source:
            found.append(of_no_vector(count, classes))
            continue
        features = next(made)
        of_vectors = nearness(
            torch.from_numpy(features["vectors"][:]),
            torch.from_numpy(features["labels"][:]),
            anchors,
            temperature=source["temperature"],
        )
        rows = np.concatenate([shard["vector"][:] for shard in own])[kept]
        found.append(of_vectors[torch.from_numpy(rows)])
    return found
