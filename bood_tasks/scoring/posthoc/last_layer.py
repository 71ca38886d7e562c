"""What DICE, ReAct and ViM read: the last linear layer, of weight [v, p] and bias [v]."""

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bood_tasks.detectors.confidence import energy
from bood_tasks.scoring.posthoc.base import Outputs, State, by_block


def linear_head(training: Outputs) -> State:
    """Return the classifier's last layer, where the features are."""
    named = training.head.state_dict()  # detached
    return {name: value.to(training.features.device) for name, value in named.items()}


def percentile_of(values: Tensor, level: float) -> float:
    """Return a percentile of all values; torch's own stops at 16 million."""
    return float(np.percentile(values.cpu().numpy(), level))


def energy_of(features: Float[Tensor, "n p"], state: State) -> Float[Tensor, " n"]:
    """Return the energy of the state's last layer on features."""
    weight, bias = state["weight"], state["bias"]
    return by_block(lambda block: energy(F.linear(block, weight.double(), bias.double())), features)
