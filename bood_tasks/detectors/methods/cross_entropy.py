"""Plain cross-entropy: the baseline, and the one model that all post-hoc scores share."""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from bood_tasks.detectors.method import Input, Method
from bood_tasks.training.recipe import Step

VERSION = 1


class CrossEntropy(Method):
    """Cross-entropy of the class logits."""

    def loss(self, x: Input, y: Int64[Tensor, " i"], step: Step) -> dict[str, Float[Tensor, ""]]:
        return {"loss": F.cross_entropy(self(x)[: len(y)], y)}


METHOD = CrossEntropy
