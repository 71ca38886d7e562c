"""GCOS (Karzanov & Detyniecki 2026): VOS with outliers in a shell off the classes' manifold.

Where the outliers lie is samplers/gcos.py's matter, with what is known of the paper. Its
contrastive loss with an adaptive margin could not be read: VOS's loss stands in for it, so a
difference from VOS's row is one of outliers alone. Scored by the energy of the logits, as there.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bood_tasks.detectors.methods.vos import VOS
from bood_tasks.synthesis.samplers.gcos import CALIBRATED, drawn, fit_shell

VERSION = 1


class GCOS(VOS):
    """VOS whose every step shows `selected` outliers of each class in the shell.

    They start from features drawn out of the queues. Of each queue the features in every fourth
    place are the calibration set, the others tell means and covariance.
    """

    section = "gcos"

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: int,
        queue: int,
        selected: int,
        weight: float,
        start: float,
        variance: float,
        inner: float,
        outer: float,
    ):
        super().__init__(
            network, classes=classes, queue=queue, candidates=selected, selected=selected,
            weight=weight, start=start,
        )  # fmt: skip
        if queue < CALIBRATED:
            raise ValueError(
                f"detector.gcos.queue must be at least {CALIBRATED}, of which one is for the "
                f"quantiles, got {queue}; raise it"
            )
        self.selected = selected
        self.shell = {"variance": variance, "inner": inner, "outer": outer}

    @torch.no_grad()
    def outliers(self, rng: torch.Generator) -> Float[Tensor, "m p"]:
        """Return this step's outliers of all classes."""
        classes, size, _ = self.queue.features.shape
        rows = self.queue.features.flatten(0, 1)
        labels = torch.arange(classes, device=rows.device).repeat_interleave(size)
        place = torch.arange(size, device=rows.device).repeat(classes)
        shell = fit_shell(
            rows, labels, place % CALIBRATED == CALIBRATED - 1, classes=classes, **self.shell
        )
        picks = torch.randint(size, (classes, self.selected), generator=rng)
        picks += size * torch.arange(classes)[:, None]
        return drawn(rows, labels, picks.flatten().to(rows.device), shell, rng)


METHOD = GCOS
