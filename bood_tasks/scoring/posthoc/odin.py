"""Scores of pictures moved a small step so that the classifier's confidence rises: ODIN, i-ODIN,
GODIN.

Pictures x are in the network's input scale (pixels.to_input), and so are magnitudes: the step
that ODIN's paper writes as epsilon for pixels in [0, 1] is epsilon / STD here. The network must
be in evaluation mode: otherwise batch norm makes the samples of a batch depend on each other.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.detectors.confidence import msp
from bood_tasks.scoring.posthoc.base import Score, State
from bood_tasks.scoring.roc import fpr95

Confidence = Callable[[Tensor], Tensor]  # of pictures [b, 3, h, w]: [b]
Step = Callable[[Tensor], Tensor]  # of gradients [b, 3, h, w]: the step of magnitude 1 along each


def uphill(
    confidence: Confidence, x: Float[Tensor, "b 3 h w"]
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, " b"]]:
    """Return the confidence's gradient, and the confidence."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()  # a clone: inference tensors have no gradient
        value = confidence(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return gradient, value.detach()


def steepest_alone(gradient: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Return the sign of the gradient at each picture's one largest entry, 0 elsewhere."""
    flat = gradient.flatten(1)
    place = flat.abs().argmax(1, keepdim=True)
    return torch.zeros_like(flat).scatter(1, place, flat.gather(1, place).sign()).view_as(gradient)


def perturbed(
    confidence: Confidence, x: Float[Tensor, "b 3 h w"], magnitude: float, step: Step = torch.sign
) -> Float[Tensor, "b 3 h w"]:
    """Return x + magnitude * step(grad log S(x)) for a confidence S: the sign of all entries for
    ODIN (Liang et al. 2018, equation 2).

    Any increasing function of S gives the same signs; one that does not saturate gives them
    where S has rounded to 1 as well.
    """
    return x + magnitude * step(uphill(confidence, x)[0])


def confidences(
    confidence: Confidence,
    x: Float[Tensor, "b 3 h w"],
    magnitudes: Sequence[float],
    step: Step = torch.sign,
) -> Float[Tensor, "b m"]:
    """Return the confidence of x moved by each magnitude.

    They share one gradient; that pass gives magnitude 0 as well, which alone needs no gradient.
    """
    with torch.no_grad():
        if not any(magnitudes):
            return confidence(x)[:, None].expand(-1, len(magnitudes))
        gradient, unmoved = uphill(confidence, x)
        unit = step(gradient)
        moved = [confidence(x + size * unit) if size else unmoved for size in magnitudes]
        return torch.stack(moved, 1)


def odin(
    model: Callable[[Tensor], Tensor],
    x: Float[Tensor, "b 3 h w"],
    magnitudes: Sequence[float],
    state: State | None = None,
    *,
    temperature: float,
    step: Step = torch.sign,
) -> Float[Tensor, "b m"]:
    """Return ODIN's score for each magnitude: the largest softmax(logits / T) of the moved x.

    Written as `msp` writes it: in the order of the probability, without its ties in float32.
    """

    def confidence(pictures: Tensor) -> Tensor:
        return msp(model(pictures), temperature=temperature)

    return confidences(confidence, x, magnitudes, step)


def iodin(
    model: Callable[[Tensor], Tensor],
    x: Float[Tensor, "b 3 h w"],
    magnitudes: Sequence[float],
    state: State | None = None,
    *,
    temperature: float,
) -> Float[Tensor, "b m"]:
    """Return ODIN's score of x of which one number alone is moved, that with the steepest gradient
    (i-ODIN, Regmi 2024)."""
    return odin(model, x, magnitudes, temperature=temperature, step=steepest_alone)


def choose_magnitude(
    magnitudes: Sequence[float], inside: Float[Tensor, "n m"], outside: Float[Tensor, "k m"]
) -> float:
    """Return the magnitude with the lowest FPR95 (ID positive); of equal ones the first.

    Both sides are scores of validation pictures, one column a magnitude.
    """
    found = [
        fpr95(i.cpu().numpy(), o.cpu().numpy(), convention="id", threshold="first")
        for i, o in zip(inside.T, outside.T, strict=True)
    ]
    return magnitudes[int(np.argmin(found))]


def most_confident_magnitude(magnitudes: Sequence[float], inside: Float[Tensor, "n m"]) -> float:
    """Return the magnitude with the largest mean confidence on ID validation, OOD unseen.

    GODIN's choice (Hsu et al. 2020); of equal ones the first.
    """
    return magnitudes[int(inside.double().mean(0).argmax())]


SCORES = {"odin": Score(moved=odin), "iodin": Score(moved=iodin)}
