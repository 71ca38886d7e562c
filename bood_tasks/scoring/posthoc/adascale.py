"""SCALE by a percentile of each sample's own (AdaSCALE, Regmi 2025).

A picture is moved where its largest logit's gradient is least; the features of OOD pictures answer
more than those of ID pictures. The more a sample's features answer, the lower the percentile.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.detectors.method import Method
from bood_tasks.networks.float64 import float64
from bood_tasks.scoring.posthoc.base import Score, State
from bood_tasks.scoring.posthoc.last_layer import energy_of, linear_head
from bood_tasks.scoring.posthoc.odin import perturbed
from bood_tasks.scoring.posthoc.shaping import kept_count, strength

Features = Float[Tensor, "b p"]


def flattest(gradient: Float[Tensor, "b 3 h w"], share: float) -> Float[Tensor, "b 3 h w"]:
    """Return the sign of the gradient at the share of entries where it is least, 0 elsewhere."""
    flat = gradient.flatten(1)
    places = flat.abs().topk(int(flat.shape[1] * share), largest=False).indices
    return (
        torch.zeros_like(flat).scatter(1, places, flat.gather(1, places).sign()).view_as(gradient)
    )


def _both(
    model: Method, x: Float[Tensor, "b 3 h w"], magnitude: float, pixels: float
) -> tuple[Features, Features]:
    """Return the features of network input, and of the same moved."""
    moved = perturbed(
        lambda pictures: model(pictures).amax(1), x, magnitude, lambda g: flattest(g, pixels)
    )
    with torch.no_grad():
        return model.outputs(x)["features"], model.outputs(moved)["features"]


def answer(features: Features, moved: Features, shifted: float, corrected: float, weight: float):
    """Return Q', [b]: `weight` times how far the largest features moved, and what they are moved.

    `shifted`, `corrected`: the percent of features, the largest, of which each is the sum.
    """

    def over_largest(values: Features, percent: float) -> Float[Tensor, " b"]:
        count = max(1, int(features.shape[1] * percent / 100))
        return values.gather(1, features.topk(count).indices).sum(1)

    shift = over_largest((features - moved).abs(), shifted)
    return weight * shift + over_largest(moved.relu(), corrected)


def statistic(
    model: Method, x: Float[Tensor, "b 3 h w"], magnitude: float,
    *, pixels: float, shifted: float, corrected: float, weight: float,
) -> Float[Tensor, " b"]:  # fmt: skip
    """Return how strongly each picture's features answer a step (the paper's Q')."""
    return answer(*_both(model, x, magnitude, pixels), shifted, corrected, weight)


def percentiles(
    answers: Float[Tensor, " b"], reference: Float[Tensor, " m"], lowest: float, highest: float
) -> Float[Tensor, " b"]:
    """Return p = lowest + (1 - F(Q')) (highest - lowest), F the distribution of `reference`."""
    above = 1 - float64(torch.searchsorted(reference, answers, right=True)) / len(reference)
    return lowest + above * (highest - lowest)


def scaled_energy(
    features: Features, of_each: Float[Tensor, " b"], state: State, variant: str
) -> Float[Tensor, " b"]:
    """Return the energy with features times exp(r) ("a"), or logits times r^2 ("l"); r as SCALE's,
    with a percentile for each sample."""
    exact = float64(features)
    width = features.shape[1]
    counts = torch.tensor([kept_count(width, p) for p in of_each.tolist()], device=exact.device)
    sums = exact.relu().sort(descending=True).values.cumsum(1)
    r = strength(exact, sums.gather(1, counts[:, None] - 1))
    if variant == "a":
        return energy_of(exact * r.exp(), state)
    logits = exact @ state["weight"].double().T + state["bias"].double()
    return (logits * r.square()).logsumexp(1).float()


def adascale(
    model: Method, x: Float[Tensor, "b 3 h w"], magnitudes: Sequence[float], state: State,
    *, variant: str, lowest: float, highest: float,
    pixels: float, shifted: float, corrected: float, weight: float,
) -> Float[Tensor, "b m"]:  # fmt: skip
    """Return AdaSCALE-A's ("a") or AdaSCALE-L's ("l") score of network input, for one magnitude."""
    (magnitude,) = magnitudes
    features, moved = _both(model, x, magnitude, pixels)
    answers = answer(features, moved, shifted, corrected, weight)
    reference = state["reference"].to(answers.device)
    of_each = percentiles(answers, reference, lowest, highest)
    return scaled_energy(features, of_each, state, variant)[:, None]


SCORES = {"adascale": Score(fit=linear_head, moved=adascale, statistic=statistic)}
