"""Outlier Exposure (Hendrycks et al. 2019): the classifier is to be uniform on outliers."""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.detectors.method import Input, Method
from bood_tasks.training.recipe import Step

VERSION = 1


def to_uniform(logits: Float[Tensor, "o v"]) -> Float[Tensor, " o"]:
    """Return each row's cross-entropy to the uniform distribution, -mean_y log p(y|x) >= log v."""
    return -logits.log_softmax(1).mean(1)


class OutlierExposure(Method):
    """CE + lambda CE to uniform on the outliers.

    `batch`: both summed over a batch and divided by all its rows, so the number of outliers in it
    weighs (GOE, with shuffled batches; pytorch-ood's loss). `halves`: the same mean, of as many
    outliers as ID rows (GOE on ImageNet). `balanced`: a mean of each, twice as much as `halves`.
    """

    def __init__(self, network: nn.Module, *, classes: int, loss_weight: float, weighting: str):
        super().__init__(network, classes=classes)
        self.loss_weight, self.weighting = loss_weight, weighting

    def loss(self, x: Input, y: Int64[Tensor, " i"], step: Step) -> dict[str, Float[Tensor, ""]]:
        logits = self(x)
        ce = F.cross_entropy(logits[: len(y)], y, reduction="sum")
        oe = to_uniform(logits[len(y) :]).sum()
        ids, outliers = len(y), len(x) - len(y)
        if self.weighting != "balanced":
            ids = outliers = len(x)
        # A shuffled batch may hold no row of one kind: its sum is then 0.
        ce, oe = ce / max(ids, 1), oe / max(outliers, 1)
        return {"loss": ce + self.loss_weight * oe, "ce": ce, "oe": oe}


METHOD = OutlierExposure
