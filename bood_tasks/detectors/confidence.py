"""The two scores that a classifier's logits have of themselves: MSP and energy."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.networks.float64 import float64


def msp(logits: Float[Tensor, "n v"], *, temperature: float = 1.0) -> Float[Tensor, " n"]:
    """Return the maximum softmax probability S (Hendrycks & Gimpel 2017) as log((v-1) S / (1-S)).

    These log-odds against the uniform distribution have the order of S. Float32 would round S to
    1 for sure pictures, and to a few thousand values near 1/v at a temperature of 1000. Raises
    ValueError for fewer than two classes, of which one is always sure.
    """
    if logits.shape[1] < 2:
        raise ValueError(
            f"msp must have the logits of at least two classes, got {logits.shape[1]}; give the ID "
            "data set more classes"
        )
    scaled = float64(logits) / temperature
    top, place = scaled.max(1, keepdim=True)
    others = (scaled - top).scatter(1, place, -torch.inf)
    return (math.log(logits.shape[1] - 1) - others.logsumexp(1)).float()


def energy(logits: Float[Tensor, "n v"]) -> Float[Tensor, " n"]:
    """Return logsumexp of the logits, the negative free energy (Liu et al. 2020)."""
    return logits.logsumexp(1)
