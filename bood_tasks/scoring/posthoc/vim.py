"""Virtual-logit matching (Wang et al. 2022)."""

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.detectors.confidence import energy
from bood_tasks.scoring.posthoc.base import RANK_LEVEL, Outputs, Score, State, by_block
from bood_tasks.scoring.posthoc.last_layer import linear_head

TOLD_APART = 1e-6  # of the sum of variances: below it float32 products turn the space's axes
ROWS = 1024  # of a product in float32, whose sums go on in float64


def vim_dimension(width: int) -> int:
    """Return the principal space's dimension for features of p = `width`.

    1000 from 2048 on and 512 from 768 on as in Wang et al. 2022, whose networks are no narrower;
    half the width below.
    """
    if width >= 2048:
        return 1000
    return 512 if width >= 768 else width // 2


def _second_moment(
    features: Float[Tensor, "n p"], origin: Float[Tensor, " p"], dtype: torch.dtype
) -> tuple[Float[Tensor, "p p"], float]:
    """Return the sum of (f - o)(f - o)^T in float64, of products in `dtype`, and the trace of that
    part of it which they round: with the features' middle in place of o."""
    blocks = features.split(ROWS)
    middle = torch.stack([block.sum(0) for block in blocks]).sum(0) / len(features)
    rounded, sums = torch.zeros_like(torch.outer(origin, origin)), torch.zeros_like(origin)
    for block in blocks:
        away = block.to(dtype) - middle.to(dtype)
        rounded += away.T @ away
        sums += away.sum(0)
    shift = middle.double() - origin
    mixed = torch.outer(sums + len(features) / 2 * shift, shift)
    return rounded + mixed + mixed.T, float(rounded.trace())


def fit_vim(training: Outputs, *, dimension: int | None) -> State:
    """Fit the origin o = -W^+ b, the space R of least variance about it, and alpha.

    alpha = mean of the largest logit / mean of |R^T (f - o)|. None: `vim_dimension`, or half the
    rank of the training features where these do not reach so far (dead channels, few pictures).
    The space is taken from products in float32 where its largest variance stands out from their
    rounding, else in float64.
    """
    features, head = training.features, linear_head(training)
    width = features.shape[1]
    origin = -torch.linalg.pinv(head["weight"].double()) @ head["bias"].double()
    usual = vim_dimension(width) if dimension is None else min(dimension, width - 1)
    for dtype in (torch.float32, torch.float64):
        moment, rounded = _second_moment(features, origin, dtype)
        variances, axes = torch.linalg.eigh(moment)
        if variances[width - usual - 1] > TOLD_APART * rounded:
            break
    rank = int((variances > RANK_LEVEL * variances[-1]).sum())
    if dimension is None:
        dimension = usual if usual < rank else rank // 2
    if dimension >= rank:
        raise ValueError(
            f"scoring.vim.dimension must be below {rank}, the training features' rank, got "
            f"{dimension}; lower it, or write null"
        )
    state = {"origin": origin, "residual": axes[:, : width - dimension].contiguous()}
    largest = training.logits.amax(1).double().mean()
    single = {name: value.float() for name, value in state.items()}
    norms = [_residual_norm(block, single) for block in features.split(ROWS)]  # of which a mean
    return state | {"alpha": largest / torch.cat(norms).double().mean()}


def _residual_norm(block: Float[Tensor, "n p"], state: State) -> Float[Tensor, " n"]:
    return ((block - state["origin"]) @ state["residual"]).norm(dim=1)


def vim(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the energy less the virtual logit alpha |R^T (f - o)| (Wang et al. 2022)."""
    return by_block(
        lambda features, logits: energy(logits) - state["alpha"] * _residual_norm(features, state),
        outputs.features, outputs.logits,
    )  # fmt: skip


SCORES = {"vim": Score(vim, fit_vim)}
