"""From a generator's output to the pictures that are kept."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

CURE = "take float32 or bfloat16, whose numbers reach further than float16's"


def to_uint8(
    images: Float[Tensor, "b 3 h w"], saved_size: int | None, kernel: str, cure: str = CURE
) -> UInt8[Tensor, "b s s 3"]:
    """Pictures in [-1, 1] as bytes, resized on their device (antialiased), then rounded.

    Raises ValueError for pictures that are not finite, which bytes cannot tell; waits for the
    device.
    """
    made, finite = as_bytes(images, saved_size, kernel)
    require_finite(finite, cure)
    return made


def as_bytes(
    images: Float[Tensor, "b 3 h w"], saved_size: int | None, kernel: str
) -> tuple[UInt8[Tensor, "b s s 3"], Bool[Tensor, " b"]]:
    """Return pictures as `to_uint8` does, and which of them are finite; waits for nothing."""
    finite = torch.isfinite(images).flatten(1).all(1)
    if saved_size is not None and saved_size != images.shape[-1]:
        smooth = {} if kernel == "area" else {"antialias": True, "align_corners": False}
        images = F.interpolate(images, (saved_size, saved_size), mode=kernel, **smooth)
    images = (images / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return images.permute(0, 2, 3, 1), finite


def require_finite(finite: Bool[Tensor, " b"], cure: str) -> None:
    """Raise ValueError, with the cure, if a picture is not finite: as bytes it would be black."""
    bad = len(finite) - int(finite.sum())
    if bad:
        raise ValueError(
            f"a generator's pictures must be finite numbers, and {bad} of {len(finite)} are not; "
            f"{cure}"
        )
