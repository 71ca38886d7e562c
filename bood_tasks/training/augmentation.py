"""Random crops and mirror images, made on the device where the pictures are.

Random numbers come from the caller's CPU generator: the same pictures on every device.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a resized crop, as Inception's
Pixels = UInt8[Tensor, "n 3 h w"]
Cropped = UInt8[Tensor, "n 3 s s"]


def to_device(values: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on the device; the host does not wait for a GPU."""
    if torch.device(device).type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def centre_crop(images: Pixels, crop: int | None) -> Cropped:
    """Return the middle crop x crop pixels; the whole pictures for None."""
    if crop is None:
        return images
    top, left = (images.shape[2] - crop) // 2, (images.shape[3] - crop) // 2
    return images[:, :, top : top + crop, left : left + crop]


def shift(images: Pixels, crop: int | None, padding: int, rng: torch.Generator) -> Cropped:
    """Return crop x crop windows at random places of the pictures within a zero border."""
    count, height = len(images), images.shape[2]
    device, size = images.device, crop or height
    room = height + 2 * padding - size
    if not room:
        return images
    offset = to_device(torch.randint(0, room + 1, (2, count), generator=rng), device)
    window = torch.arange(size, device=device)
    rows, columns = offset[0, :, None] + window, offset[1, :, None] + window
    which = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(3, device=device)[:, None, None]
    padded = F.pad(images, (padding, padding, padding, padding))
    return padded[which, channel, rows[:, None, :, None], columns[:, None, None, :]]


def resized_crop(images: Pixels, crop: int, rng: torch.Generator) -> Cropped:
    """Return random parts of the pictures, each resized to crop x crop, bilinear.

    Area 8-100 % of the picture, aspect ratio 3/4-4/3 (log-uniform), clipped to the picture. Not
    antialiased: the largest part is size / crop (256 / 224: 1.14) times the result.
    """
    count = len(images)
    draws = torch.rand(4, count, generator=rng)
    area = AREA[0] + (AREA[1] - AREA[0]) * draws[0]
    low, high = map(math.log, RATIO)
    ratio = (low + (high - low) * draws[1]).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    # affine_grid: x' = width x + left, in [-1, 1] over the picture
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 2] = width, (1 - width) * (2 * draws[2] - 1)
    theta[:, 1, 1], theta[:, 1, 2] = height, (1 - height) * (2 * draws[3] - 1)
    theta = to_device(theta, images.device)
    grid = F.affine_grid(theta, [count, 3, crop, crop], align_corners=False)
    parts = F.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return parts.round_().to(torch.uint8)


def mirror(images: Pixels, rng: torch.Generator) -> Pixels:
    """Return the pictures, half of them mirrored."""
    chosen = to_device(torch.rand(len(images), generator=rng) < 0.5, images.device)
    return torch.where(chosen[:, None, None, None], images.flip(3), images)
