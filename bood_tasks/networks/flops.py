"""Operations of a classifier's forward pass."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def count(run: Callable[[], object]) -> float:
    """Return the operations of what `run` calls."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return float(counter.get_total_flops())


def classifier_flops(*, depth: int, width: int, stem: str, outputs: int, size: int) -> float:
    """Return the operations of one picture's way forward through a ResNet."""
    from bood_tasks.networks.resnet import ResNet

    with torch.device("meta"):
        network = ResNet(depth=depth, width=width, stem=stem, outputs=outputs)
        return count(lambda: network(torch.empty(1, 3, size, size)))
