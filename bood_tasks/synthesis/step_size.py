"""The step size α at which the median feature needs a set number of steps to the boundary.

What `distances.step_size: auto` stands for; the published α fits one network's features. Found
once, by the stage distances, which leaves it in distances.json for all that step after it. Scaled
features have a scaled α, and as many dimensions more have α / √k on unit features; the steps are
the same.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.samplers import STEP_SIZE_FOUND
from bood_tasks.jobs import seeds
from bood_tasks.synthesis.cosine import CosineClassifier
from bood_tasks.synthesis.stepping import Stepping, in_space, initial_margin, step_rows

AUTO = "auto"
SAMPLE = 1000  # features stepped at each α that is tried
MOST_TRIED = 60  # α; about 8 are


@dataclass(frozen=True)
class Found:
    """The α that was found, the median number of steps at it, and of how many features."""

    step_size: float
    median_steps: int
    sampled: int

    def as_json(self) -> dict:
        """Return what distances.json holds."""
        return asdict(self)


def find_step_size(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    anchors: Float[Tensor, "v d"],
    settings: Mapping,
) -> Found:
    """Return the α at which the median feature crosses after `median_steps` steps (Eq. 3).

    Of a sample, seeded, of the features that start in their class. Of an even number the lower
    median. By bisection of log α from a bound that the median cannot cross sooner from
    (CosineClassifier.nearest), so α has the features' scale. Where the median jumps over the number
    wanted (many equal features), the α whose median is nearest, the smaller of two.

    Raises ValueError if no feature starts in its class.
    """
    wanted, seed = settings["median_steps"], settings["seed"]
    stepping = Stepping.of(settings, 1.0)
    classifier = CosineClassifier(anchors, temperature=stepping.temperature)
    inside = (initial_margin(classifier, features, labels) > 0).nonzero().squeeze(1).cpu()
    if not len(inside):
        raise ValueError(
            "distances.step_size: auto must have features that start in their class, got none of "
            f"{len(features)}; train the encoder longer"
        )
    order = seeds.generator(seed, "distances", "sample").permutation(len(inside))
    rows = inside[torch.from_numpy(order[:SAMPLE])].to(features.device)
    sample, own = features[rows], labels[rows]

    def median_at(step_size: float) -> int:
        at = replace(stepping, step_size=step_size)
        steps, _, _ = step_rows(sample, own, classifier, at)
        return int(steps.median())

    products = classifier.products(in_space(sample, stepping.feature_space))
    bound = classifier.nearest(products, own, classifier.reach(1.0)).median().item()
    low, high = bound / wanted, None  # at low the median is at least `wanted`
    tried, size = {}, low
    for _ in range(MOST_TRIED):
        tried[size] = median_at(size)
        if tried[size] == wanted:
            break
        if tried[size] > wanted:
            low = size
        else:
            high = size
        size = 2 * low if high is None else (low * high) ** 0.5
    best = min(tried, key=lambda size: (abs(tried[size] - wanted), size))
    return Found(best, tried[best], len(rows))


def stepping_of(settings: Mapping, distances: Artifact) -> Stepping:
    """Return how a stage's settings step, with the α that its distances were counted with."""
    found = distances.json(STEP_SIZE_FOUND)["step_size"] if settings["step_size"] == AUTO else None
    return Stepping.of(settings, found)
