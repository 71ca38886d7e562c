"""From a generator's output to the pictures that are kept."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor


def to_uint8(
    images: Float[Tensor, "b 3 h w"], saved_size: int | None, kernel: str
) -> UInt8[Tensor, "b s s 3"]:
    """Pictures in [-1, 1] as bytes, resized on their device (antialiased), then rounded."""
    if saved_size is not None and saved_size != images.shape[-1]:
        smooth = {} if kernel == "area" else {"antialias": True, "align_corners": False}
        images = F.interpolate(images, (saved_size, saved_size), mode=kernel, **smooth)
    return (images / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
