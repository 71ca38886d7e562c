"""Energy of clipped features (Sun et al. 2021)."""

import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.scoring.posthoc.base import Outputs, Score, State
from bood_tasks.scoring.posthoc.last_layer import energy_of, linear_head, percentile_of


def fit_react(training: Outputs, *, percentile: float) -> State:
    """Fit the clip c: a percentile of all training activations (Sun et al. 2021)."""
    clip = torch.tensor(percentile_of(training.features, percentile), dtype=torch.float64)
    return linear_head(training) | {"clip": clip.to(training.features.device)}


def react(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the energy of the head on features min(f, c)."""
    return energy_of(outputs.features.clamp(max=float(state["clip"])), state)


SCORES = {"react": Score(react, fit_react)}
