"""The last features of each class, as methods keep them that draw outliers beside features."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.training.recipe import Step


class Queue(nn.Module):
    """The last `size` features of each class; `seen` counts all that ever entered."""

    features: Tensor
    seen: Tensor

    def __init__(self, *, classes: int, size: int, width: int):
        super().__init__()
        self.register_buffer("features", torch.zeros(classes, size, width))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.int64))

    def add(self, features: Float[Tensor, "b p"], labels: Int64[Tensor, " b"]) -> None:
        """Put each feature in the place of its class's oldest, in order."""
        size = self.features.shape[1]
        same = labels[:, None] == labels
        earlier = same.tril(-1).sum(1)
        place = labels * size + (self.seen[labels] + earlier) % size
        # A batch may hold more of a class than its queue: the last row for a place wins.
        rows = torch.arange(len(labels), device=labels.device)
        last = ((place[:, None] == place) * rows).amax(1)
        self.features.flatten(0, 1)[place] = features[last]
        self.seen += F.one_hot(labels, len(self.seen)).sum(0)

    def begun(self, step: Step, start: float, section: str) -> bool:
        """Whether the share `start` of training has passed, after which outliers are drawn.

        Raises ValueError, naming settings of detector.`section`, unless all queues are full then.
        """
        first, size = math.ceil(start * step.total), self.features.shape[1]
        if step.number == first and self.seen.min() < size:
            own = f"detector.{section}"
            raise ValueError(
                f"{own}.queue must be at most the pictures of each class before {own}.start, got "
                f"{size} for {int(self.seen.min())} of class {int(self.seen.argmin())}; lower it "
                f"or raise {own}.start"
            )
        return step.number >= first
