"""Scores of features and last layer together, in closed form: fDBD's distance to the decision
boundaries, GradNorm's gradient."""

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.scoring.posthoc.base import Outputs, Score, State, by_block
from bood_tasks.scoring.posthoc.last_layer import linear_head


def fit_fdbd(training: Outputs) -> State:
    """Fit the mean training feature, and |w_i - w_j| of all pairs of classes (Liu & Qin 2024).

    Raises ValueError for two classes with the same weights, which no boundary parts.
    """
    weight = linear_head(training)["weight"].double()
    between = torch.stack([(weight - row).norm(dim=1) for row in weight])
    between.fill_diagonal_(1)  # beside a difference of logits that is 0
    if not between.all():
        first, second = (between == 0).nonzero()[0].tolist()
        raise ValueError(
            f"fdbd must have other weights in the last layer for each class, got the same for "
            f"classes {first} and {second}; leave the score out"
        )
    return {"between": between, "mean": training.features.mean(0, dtype=torch.float64)}


def fdbd(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the mean distance to the other classes' decision boundaries, over that to the mean
    training feature: mean over c of (z_max - z_c) / |w_max - w_c|, over |f - mean|."""

    def distance(features: Tensor, logits: Tensor) -> Tensor:
        top, predicted = logits.max(1, keepdim=True)
        to_boundaries = ((top - logits) / state["between"][predicted[:, 0]]).sum(1)
        away = (features - state["mean"]).norm(dim=1).clamp_min(1e-12)
        return to_boundaries / (logits.shape[1] - 1) / away

    return by_block(distance, outputs.features, outputs.logits)


def gradnorm(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the L1 norm of the gradient of KL(uniform, softmax) by the last layer's weights.

    It is the outer product of f and softmax - 1/v, of norm |f|_1 |softmax - 1/v|_1 (Huang et al.
    2021).
    """

    def norm(features: Tensor, logits: Tensor) -> Tensor:
        return features.abs().sum(1) * (logits.softmax(1) - 1 / logits.shape[1]).abs().sum(1)

    return by_block(norm, outputs.features, outputs.logits)


SCORES = {"fdbd": Score(fdbd, fit_fdbd), "gradnorm": Score(gradnorm, linear_head)}
