"""Scores by what a class is like on the mean: SHE by its features, KLM by its probabilities."""

import sys

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.networks.float64 import float64
from bood_tasks.scoring.posthoc.base import ROWS, Outputs, Score, State, by_block


def fit_she(training: Outputs) -> State:
    """Fit each class's pattern: the mean feature of its rightly classified training samples.

    Zhang et al. 2023. A class of which none is right, as after too short a training, has the mean
    of all of its samples, and the log says so. Raises ValueError for a class without a sample.
    """
    labels, classes = training.labels, training.logits.shape[1]
    right = training.logits.argmax(1) == labels
    found = labels.bincount(minlength=classes)
    if not found.all():
        raise ValueError(
            f"she must have training samples of every class, got none of class "
            f"{int((found == 0).nonzero()[0])}; leave the score out"
        )
    wrong = labels[right].bincount(minlength=classes) == 0
    if wrong.any():
        print(
            f"she: no training sample of classes {wrong.nonzero()[:, 0].tolist()} is classified "
            "rightly; their patterns are means of all of their samples", file=sys.stderr,
        )  # fmt: skip
    used = right | wrong[labels]
    sums = float64(training.features).new_zeros(classes, training.features.shape[1])
    counts = labels[used].bincount(minlength=classes)
    for rows, owners in zip(
        training.features[used].split(ROWS), labels[used].split(ROWS), strict=True
    ):
        sums.index_add_(0, owners, float64(rows))
    return {"patterns": sums / counts[:, None]}


def she(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the product of the feature and the pattern of the class that is predicted."""

    def stored(features: Tensor, logits: Tensor) -> Tensor:
        return (features * state["patterns"][logits.argmax(1)]).sum(1)

    return by_block(stored, outputs.features, outputs.logits)


def fit_klm(held_out: Outputs) -> State:
    """Fit each class's typical probabilities, as logarithms: their mean over the ID validation
    samples that are put into it, whatever their label (Hendrycks et al. 2022). Classes into which
    none is put have none."""
    log_p = float64(held_out.logits).log_softmax(1)
    predicted = log_p.argmax(1)
    typical = [
        log_p[predicted == k].logsumexp(0) - (predicted == k).sum().log()
        for k in predicted.unique()
    ]
    return {"log_typical": torch.stack(typical)}


def klm(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return minus the least KL(p, d) over the typical probabilities d (Hendrycks et al. 2022)."""

    def negative_divergence(logits: Tensor) -> Tensor:
        log_p = logits.log_softmax(1)
        p = log_p.exp()
        return (p @ state["log_typical"].T).amax(1) - (p * log_p).sum(1)

    return by_block(negative_divergence, outputs.logits)


SCORES = {"she": Score(she, fit_she), "klm": Score(klm, fit_klm)}
