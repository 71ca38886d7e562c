"""Pictures as the networks read them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

MEAN, STD = 0.5, 0.25  # one fixed scaling for every data set: nothing to fit, nothing to leak


def renormalised(
    x: Float[Tensor, "b 3 h w"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "b 3 h w"]:
    """Return network input as weights expect it that were trained with another mean and std."""
    mean, std = (torch.tensor(value, device=x.device).view(3, 1, 1) for value in (mean, std))
    return x * (STD / std) + (MEAN - mean) / std


def to_input(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Return network input in about [-2, 2] from pixels 0..255."""
    scaled = (images.float() / 255 - MEAN) / STD
    return scaled.contiguous(memory_format=torch.channels_last)
