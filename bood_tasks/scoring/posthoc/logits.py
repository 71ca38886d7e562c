"""The scores of the logits alone: MSP, MaxLogit, energy, GEN."""

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.detectors.confidence import energy, msp
from bood_tasks.scoring.posthoc.base import Outputs, Score, State, by_block


def gen(outputs: Outputs, state: State, *, gamma: float, classes: int) -> Float[Tensor, " n"]:
    """Return minus the generalised entropy, the sum of p^gamma (1 - p)^gamma over the `classes`
    largest probabilities p (Liu et al. 2023).

    1 - p of the largest p is the sum of the others, which a difference would round to 0.
    """

    def negative_entropy(logits: Tensor) -> Tensor:
        top, place = logits.max(1, keepdim=True)
        total = logits.logsumexp(1, keepdim=True)
        left = logits.scatter(1, place, -torch.inf)
        likely = (left - total).topk(min(classes, logits.shape[1]) - 1).values  # log p, the rest's
        log_p = torch.cat([top - total, likely], 1)
        log_rest = torch.cat(
            [left.logsumexp(1, keepdim=True) - total, torch.log1p(-likely.exp())], 1
        )
        return -(gamma * (log_p + log_rest)).exp().sum(1)

    return by_block(negative_entropy, outputs.logits)


SCORES = {
    "msp": Score(lambda outputs, state: msp(outputs.logits)),  # Hendrycks & Gimpel 2017
    "max_logit": Score(lambda outputs, state: outputs.logits.amax(1)),  # Hendrycks et al. 2022
    "energy": Score(lambda outputs, state: energy(outputs.logits)),  # Liu et al. 2020
    "gen": Score(gen),
}
