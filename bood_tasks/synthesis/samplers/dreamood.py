"""DreamOOD's sampler (Du et al. 2023): Gaussian steps away from a class's outermost features.

Used by ood_features in place of BOOD's selection and perturbation; correct by default.
`reference_bug` repeats the published code (scripts/KNN.py), which reads the candidates'
distances in another order than they were written in, so that what it picks is random in effect.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from bood_tasks.jobs import seeds
from bood_tasks.jobs.progress import progress
from bood_tasks.synthesis.samplers.interface import Sampled, TrainingFeatures, plain_counts

ROWS_A_ROUND, KEPT_A_ROW = 50, 2  # as the published code's pic_nums and ID_points_num
ROWS_AT_ONCE = 8  # features whose candidates are ranked together: bounds the memory


def neighbour_similarity(products: Float[Tensor, "... n"], neighbours: int) -> Float[Tensor, "..."]:
    """Return the k-th largest of the products: of unit rows the k-th nearest neighbour's cosine."""
    return products.kthvalue(products.shape[-1] - neighbours + 1, dim=-1).values


def outermost(
    features: Float[Tensor, "n d"], *, neighbours: int, count: int
) -> Int64[Tensor, " m"]:
    """Return the `count` unit features farthest from their k-th neighbour, farthest first.

    A feature is its own first neighbour, as in the published code.
    """
    near = neighbour_similarity(features @ features.T, neighbours)
    return near.argsort(stable=True)[:count]


def pick_candidates(
    rows: Float[Tensor, "r d"],
    noise: Float[Tensor, "c d"],
    features: Float[Tensor, "n d"],
    *,
    sigma: float,
    neighbours: int,
    reference_bug: bool,
) -> Int64[Tensor, "r k"]:
    """Return for each row which of the candidates normalise(row + sigma noise) it keeps.

    Those with the most distant k-th neighbour among `features`. The products with features are
    sums of two small ones: candidates are never formed, only ranked.
    """
    of_rows, of_noise = rows @ features.T, sigma * (noise @ features.T)
    squares = 1 + 2 * sigma * (rows @ noise.T) + sigma**2 * noise.square().sum(1)
    near = torch.cat(
        [
            neighbour_similarity(part[:, None] + of_noise, neighbours)
            for part in of_rows.split(ROWS_AT_ONCE)
        ]
    )
    distances = -near / squares.sqrt()  # rising with the distance of unit vectors
    if reference_bug:
        wrong = distances.flatten().view(len(noise), len(rows))
        return wrong.topk(KEPT_A_ROW, dim=0).indices.T
    return distances.topk(KEPT_A_ROW, dim=1).indices


def sample_class(
    features: Float[Tensor, "n d"],
    name: str,
    *,
    neighbours: int,
    boundary: int,
    candidates: int,
    sigma: float,
    vectors: int,
    reference_bug: bool,
    seed: int,
) -> tuple[Float[Tensor, "m d"], Int64[Tensor, " m"]]:
    """Return `vectors` unit outlier vectors of one class and the feature each started from.

    In rounds: up to 50 of the `boundary` outermost features, drawn anew, share `candidates`
    Gaussian draws, and each keeps its two farthest. Raises ValueError if the class has too few
    features, or candidates are fewer than two.
    """
    if candidates < KEPT_A_ROW:
        raise ValueError(
            f"ood_features.dreamood.candidates must be at least {KEPT_A_ROW}, got {candidates}"
        )
    for setting, value in (("neighbours", neighbours), ("boundary", boundary)):
        if value > len(features):
            raise ValueError(
                f"ood_features.dreamood.{setting} must be at most the training pictures of each "
                f"class, got {value} for {len(features)} of {name}; lower it"
            )
    unit = F.normalize(features, dim=1)
    pool = outermost(unit, neighbours=neighbours, count=boundary)
    a_round = min(boundary, ROWS_A_ROUND)
    found, started = [], []
    for number in range(math.ceil(vectors / (a_round * KEPT_A_ROW))):
        random = seeds.generator(seed, "ood_features", "dreamood", name, number)
        rows = pool[torch.from_numpy(random.permutation(boundary)[:a_round]).to(pool.device)]
        noise = torch.from_numpy(
            random.standard_normal((candidates, unit.shape[1]), dtype=np.float32)
        )
        noise = noise.to(unit)
        kept = pick_candidates(
            unit[rows], noise, unit, sigma=sigma, neighbours=neighbours,
            reference_bug=reference_bug,
        )  # fmt: skip
        moved = unit[rows][:, None] + sigma * noise[kept]
        found.append(F.normalize(moved.flatten(0, 1), dim=1))
        started.append(rows.repeat_interleave(KEPT_A_ROW))
    return torch.cat(found)[:vectors], torch.cat(started)[:vectors]


def sample(training: TrainingFeatures, settings: Mapping[str, Any]) -> Sampled:
    """Return each class's vectors as DreamOOD samples them. There are no steps: -1."""
    keys = ("neighbours", "boundary", "candidates", "sigma", "vectors", "reference_bug", "seed")
    how = {key: settings[key] for key in keys}
    found, rows, owners = [], [], []
    with progress("ood_features", len(training.classes), "classes") as advance:
        for label, name in enumerate(training.classes):
            members = np.flatnonzero(training.labels == label)
            vectors, started = sample_class(training.features[members], name, **how)
            found.append(vectors)
            rows.append(members[started.cpu().numpy()])
            owners.append(np.full(len(vectors), label))
            advance()
    counts = plain_counts(training.classes, map(len, owners))
    labels = torch.from_numpy(np.concatenate(owners)).to(training.features.device)
    steps = np.full(len(labels), -1, np.int32)
    return Sampled(torch.cat(found), labels, np.concatenate(rows), steps, counts)
