"""Virtual-logit matching (Wang et al. 2022)."""

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.detectors.confidence import energy
from bood_tasks.networks.float64 import float64
from bood_tasks.scoring.posthoc.base import RANK_LEVEL, ROWS, Outputs, Score, State, by_block
from bood_tasks.scoring.posthoc.last_layer import linear_head


def vim_dimension(width: int) -> int:
    """Return the principal space's dimension for features of p = `width`.

    1000 from 2048 on and 512 from 768 on as in Wang et al. 2022, whose networks are no narrower;
    half the width below.
    """
    if width >= 2048:
        return 1000
    return 512 if width >= 768 else width // 2


def fit_vim(training: Outputs, *, dimension: int | None) -> State:
    """Fit the origin o = -W^+ b, the space R of least variance about it, and alpha.

    alpha = mean of the largest logit / mean of |R^T (f - o)|. None: `vim_dimension`, or half the
    rank of the training features where these do not reach so far (dead channels, few pictures).
    """
    features, head = training.features, linear_head(training)
    origin = -torch.linalg.pinv(head["weight"].double()) @ head["bias"].double()
    blocks = (block.double() - origin for block in features.split(ROWS))
    variances, axes = torch.linalg.eigh(sum(block.T @ block for block in blocks))
    rank = int((variances > RANK_LEVEL * variances[-1]).sum())
    if dimension is None:
        usual = vim_dimension(features.shape[1])
        dimension = usual if usual < rank else rank // 2
    if dimension >= rank:
        raise ValueError(
            f"scoring.vim.dimension must be below {rank}, the training features' rank, got "
            f"{dimension}; lower it, or write null"
        )
    state = {"origin": origin, "residual": axes[:, : len(axes) - dimension].contiguous()}
    largest = training.logits.amax(1).double().mean()
    return state | {"alpha": largest / _residual_norm(features, state).double().mean()}


def _residual_norm(features: Float[Tensor, "n p"], state: State) -> Float[Tensor, " n"]:
    return by_block(
        lambda block: ((block - state["origin"]) @ state["residual"]).norm(dim=1), features
    )


def vim(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the energy less the virtual logit alpha |R^T (f - o)| (Wang et al. 2022)."""
    virtual = state["alpha"] * _residual_norm(outputs.features, state).double()
    return (energy(float64(outputs.logits)) - virtual).float()


SCORES = {"vim": Score(vim, fit_vim)}
