"""ASCOOD (Regmi 2024, "Going Beyond Conventional OOD Detection"): outliers out of ID pictures.

No generator: what the classifier looks at most in an ID picture is spoilt, and the classifier
should be uniform on what is left. Its last layer reads features of mean 0 and one deviation.
Facts from the paper and the authors' code (github.com/sudarshanregmi/ASCOOD).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.detectors.method import Method
from bood_tasks.detectors.methods.outlier_exposure import to_uniform
from bood_tasks.training.augmentation import to_device
from bood_tasks.training.recipe import Recipe, Step, apart, optimiser

VERSION = 1
LEAST_DEVIATION = 1e-6  # added to a feature vector's, as the authors' code


def standardised(features: Float[Tensor, "b p"], scale: float) -> Float[Tensor, "b p"]:
    """Return each row less its mean, over its standard deviation (ddof = 1), times `scale`."""
    away = features - features.mean(1, keepdim=True)
    return scale * away / (features.std(1, keepdim=True) + LEAST_DEVIATION)


def shuffled(
    x: Float[Tensor, "b c h w"],
    attribution: Float[Tensor, "b c h w"],
    rng: torch.Generator,
    *,
    share: float,
) -> Float[Tensor, "b c h w"]:
    """Return pictures in which the share of pixels of largest attribution change places.

    A pixel's attribution is the sum over its channels of exp(gradient), the authors': what raises
    the class's logit counts, what lowers it does not. Channels stay together. Raises ValueError if
    the share is less than two pixels: an outlier would be its ID picture.
    """
    count, channels, height, width = x.shape
    chosen = int(height * width * share)
    if chosen < 2:
        raise ValueError(
            f"detector.ascood.share must reach two pixels of {height} x {width}, got {share:g}; "
            "raise it"
        )
    places = attribution.exp().sum(1).flatten(1).topk(chosen, dim=1).indices
    order = to_device(torch.rand(count, chosen, generator=rng).argsort(1), x.device)
    to = places[:, None].expand(-1, channels, -1)
    values = x.flatten(2)
    moved = values.gather(2, places.gather(1, order)[:, None].expand(-1, channels, -1))
    return values.scatter(2, to, moved).view_as(x)


def raised(
    x: Float[Tensor, "b c h w"],
    attribution: Float[Tensor, "b c h w"],
    *,
    share: float,
    step: float,
) -> Float[Tensor, "b c h w"]:
    """Return x + step * gradient at the share of values (pixels of a channel) whose gradient is
    largest in size; nothing is clipped (authors' code). Raises ValueError for a share of none."""
    sizes = attribution.abs().flatten(1)
    chosen = int(sizes.shape[1] * share)
    if chosen < 1:
        raise ValueError(
            f"detector.ascood.share must reach a value of {sizes.shape[1]}, got {share:g}; raise it"
        )
    largest = sizes.topk(chosen, dim=1).indices
    mask = torch.zeros_like(sizes).scatter(1, largest, 1.0).view_as(x)
    return x + step * attribution * mask


class ASCOOD(Method):
    """CE on ID pictures + weight KL(uniform || softmax) on as many outliers made of them.

    `outliers`: shuffle, gradient, or gaussian (noise of deviation alpha: the authors' control).
    alpha, gradient's step in units of the network's input, goes from `alpha_first` down to
    `alpha_last` with the training; the authors lower it once an epoch, here every step does.
    `sigma` scales the features that the last layer reads; it learns at `head_lr` times the rate.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: int,
        outliers: str,
        share: float,
        weight: float,
        sigma: float,
        alpha_first: float,
        alpha_last: float,
        head_lr: float,
    ):
        super().__init__(network, classes=classes)
        self.kind, self.share, self.weight, self.sigma = outliers, share, weight, sigma
        self.alpha_first, self.alpha_last, self.head_lr = alpha_first, alpha_last, head_lr

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b v"]:
        """Return class logits."""
        return self.network.head(standardised(self.network.stages(x)[-1], self.sigma))

    def outputs(self, x: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Return the common outputs; `features` are the standardised ones, which the last layer
        reads."""
        found = super().outputs(x)
        features = standardised(found["features"], self.sigma)
        return found | {"features": features, "logits": self.network.head(features)}

    def attribution(
        self, x: Float[Tensor, "b 3 h w"], y: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Return the gradient of each picture's logit of its class, in evaluation mode."""
        before = {layer: layer.training for layer in self.modules()}  # batch norm may be kept
        self.eval()
        with torch.enable_grad():
            pictures = x.detach().requires_grad_()
            logits = self(pictures).gather(1, y[:, None]).sum()
            found = torch.autograd.grad(logits, pictures)[0]
        for layer, training in before.items():
            layer.training = training
        return found

    def alpha(self, step: Step) -> float:
        """Return the step along the gradient at a step of training."""
        done = step.number / max(step.total - 1, 1)
        return self.alpha_first + (self.alpha_last - self.alpha_first) * done

    def outliers(
        self, x: Float[Tensor, "b 3 h w"], y: Int64[Tensor, " b"], step: Step
    ) -> Float[Tensor, "b 3 h w"]:
        """Return one outlier of each ID picture."""
        if self.kind == "gaussian":
            return self.alpha(step) * to_device(torch.randn(x.shape, generator=step.rng), x.device)
        found = self.attribution(x, y)
        if self.kind == "shuffle":
            return shuffled(x, found, step.rng, share=self.share)
        return raised(x, found, share=self.share, step=self.alpha(step))

    @torch.compiler.disable
    def loss(
        self, x: Float[Tensor, "n 3 h w"], y: Int64[Tensor, " b"], step: Step
    ) -> dict[str, Float[Tensor, ""]]:
        """ID rows and outliers share one forward pass. The term of the outliers is their
        cross-entropy to the uniform distribution; the paper's divergence is that less log v."""
        ids = x[: len(y)]
        logits = self(torch.cat([ids, self.outliers(ids, y, step)]))
        ce = F.cross_entropy(logits[: len(y)], y)
        ood = to_uniform(logits[len(y) :]).mean()
        return {"loss": ce + self.weight * ood, "ce": ce, "ood": ood}

    def optimisers(self, recipe: Recipe) -> list[torch.optim.Optimizer]:
        """Return the recipe's, in which the last layer has its own rate."""
        own = {"lr": self.head_lr * recipe.lr}
        return [optimiser(apart(self, self.network.head.parameters(), **own), recipe)]


METHOD = ASCOOD
