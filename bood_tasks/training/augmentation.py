"""Random crops, colours and mirror images, made on the device where the pictures are.

Random numbers come from the caller's CPU generator: the same pictures on every device.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a resized crop, as Inception's
TRIES = 10  # at a part that lies within its picture, as torchvision
CONTRASTIVE_AREA = (0.2, 1.0)  # this and the next two as SimCLR, CIDER and NPOS for CIFAR
FACTOR, TURN = 0.4, 0.1  # of brightness, contrast and saturation; of hue, in circles
JITTERED, GREYED = 0.8, 0.2  # shares of the pictures
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
Pixels = UInt8[Tensor, "n 3 h w"]
Cropped = UInt8[Tensor, "n 3 s s"]
Aspects = Float[Tensor, " n"]  # width / height of the pictures before they were squashed
Boxes = Float[Tensor, "2 2 n"]  # sizes, then centres, across and down; a picture is [-1, 1]


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


def shift(
    images: Pixels, crop: int | None, padding: int, rng: torch.Generator, *, flip: bool = False
) -> Cropped:
    """Return crop x crop windows at random places of the pictures within a zero border, half of
    them mirrored if `flip`: in one pass, as shift and then mirror."""
    count, height = len(images), images.shape[2]
    device, size = images.device, crop or height
    room = height + 2 * padding - size
    if not room:
        return mirror(images, rng) if flip else images
    offset = torch.randint(0, room + 1, (2, count), generator=rng)
    window = torch.arange(size)
    places = offset[:, :, None] + window
    if flip:
        mirrored = torch.rand(count, generator=rng) < 0.5
        places[1] = torch.where(mirrored[:, None], places[1].flip(1), places[1])
    rows, columns = to_device(places, device)
    which = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(3, device=device)[:, None, None]
    padded = F.pad(images, (padding, padding, padding, padding))
    return padded[which, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _shapes(
    draws: Float[Tensor, "2 ..."], area: tuple[float, float]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Return shares of a picture's area, uniform, and aspect ratios, log-uniform."""
    low, high = map(math.log, RATIO)
    return area[0] + (area[1] - area[0]) * draws[0], (low + (high - low) * draws[1]).exp()


def clipped_boxes(count: int, rng: torch.Generator, *, area: tuple[float, float]) -> Boxes:
    """Return random boxes in square pictures: what lies outside a picture is cut off."""
    draws = torch.rand(4, count, generator=rng)
    share, ratio = _shapes(draws[:2], area)
    sizes = torch.stack([share * ratio, share / ratio]).sqrt().clamp(max=1)
    return torch.stack([sizes, (1 - sizes) * (2 * draws[2:] - 1)])


def boxes_within(aspects: Aspects, rng: torch.Generator, *, area: tuple[float, float]) -> Boxes:
    """Return random boxes in squashed pictures, drawn as torchvision's RandomResizedCrop draws them
    in the pictures as they were, but for its whole pixels.

    The first of TRIES shapes that lies within the picture, at a random place; else the largest
    part of an allowed ratio, in the middle. A box of ratio r covers w of a picture's width and h
    of its height with w h = share and w aspect / h = r.
    """
    share, ratio = _shapes(torch.rand(2, TRIES, len(aspects), generator=rng), area)
    sizes = torch.stack([share * ratio / aspects, share * aspects / ratio]).sqrt()
    fits = (sizes <= 1).all(0)
    first = fits.int().argmax(0).expand(2, 1, -1)
    largest = torch.stack([RATIO[1] / aspects, aspects / RATIO[0]]).clamp(max=1)
    sizes = torch.where(fits.any(0), sizes.gather(1, first)[:, 0], largest)
    places = torch.rand(2, len(aspects), generator=rng)
    return torch.stack([sizes, (1 - sizes) * torch.where(fits.any(0), 2 * places - 1, 0)])


def cut_out(images: Pixels, boxes: Boxes, crop: int) -> Cropped:
    """Return a part of each picture, resized to crop x crop, bilinear.

    Not antialiased: the largest part is size / crop (256 / 224: 1.14) times the result.
    """
    sizes, centres = boxes
    # affine_grid: x' = width x + centre
    theta = to_device(torch.cat([sizes.T.diag_embed(), centres.T[:, :, None]], 2), images.device)
    grid = F.affine_grid(theta, [len(images), 3, crop, crop], align_corners=False)
    padding = "border"
    if images.device.type == "mps":  # which knows zeros alone; no place beyond the last pixel's
        edge = 1 - 1 / torch.tensor([images.shape[3], images.shape[2]], device=images.device)
        grid, padding = grid.clamp(-edge, edge), "zeros"
    parts = F.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode=padding, align_corners=False
    )
    return parts.round_().to(torch.uint8)


def resized_crop(
    images: Pixels,
    crop: int,
    rng: torch.Generator,
    *,
    area: tuple[float, float] = AREA,
    aspects: Aspects | None = None,
) -> Cropped:
    """Return random parts of the pictures, each resized to crop x crop, bilinear.

    `area`: range of a part's share of its picture, uniform; aspect ratio 3/4-4/3 (log-uniform).
    `aspects`: the pictures are whole ones, squashed, and the parts lie as in torchvision
    (boxes_within); without it they are square as they are, and parts are clipped to them.
    """
    if aspects is None:
        return cut_out(images, clipped_boxes(len(images), rng, area=area), crop)
    return cut_out(images, boxes_within(aspects, rng, area=area), crop)


def grey(colours: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Return the luma of colours."""
    weights = to_device(torch.tensor(LUMA), colours.device)
    return (colours * weights[:, None, None]).sum(1, keepdim=True)


def turned(
    colours: Float[Tensor, "n 3 h w"], by: Float[Tensor, "n 1 1 1"]
) -> Float[Tensor, "n 3 h w"]:
    """Return colours in [0, 1] with their hue turned by a share of the circle (HSV)."""
    value, least = colours.amax(1, keepdim=True), colours.amin(1, keepdim=True)
    chroma = value - least
    red, green, blue = (colours / chroma.clamp_min(1e-12)).split(1, 1)
    hue = torch.where(
        value == colours[:, :1],
        green - blue,
        torch.where(value == colours[:, 1:2], 2 + blue - red, 4 + red - green),
    )
    sector = hue + 6 * by + to_device(torch.tensor([5.0, 3.0, 1.0]), colours.device)[:, None, None]
    sector = sector.remainder(6)
    return value - chroma * torch.minimum(sector, 4 - sector).clamp(0, 1)


def jittered(
    colours: Float[Tensor, "n 3 h w"],
    factors: Float[Tensor, "3 n 1 1 1"],
    turn: Float[Tensor, "n 1 1 1"],
    order: list[int],
) -> Float[Tensor, "n 3 h w"]:
    """Return colours in [0, 1] of changed brightness (0), contrast (1), saturation (2) and hue (3),
    one after the other in an `order`, by the factors of the first three and a turn."""
    for which in order:
        if which == 3:
            colours = turned(colours, turn)
            continue
        towards = torch.zeros_like(colours) if which == 0 else grey(colours)
        if which == 1:
            towards = towards.mean((1, 2, 3), keepdim=True)
        colours = (towards + factors[which] * (colours - towards)).clamp(0, 1)
    return colours


def colour_jitter(images: Pixels, rng: torch.Generator) -> Pixels:
    """Return the pictures, 80 % of them with other colours and then 20 % of them grey.

    Brightness, contrast and saturation change by factors of .6-1.4, hue by a tenth of the circle
    to either side, uniformly; their order is drawn once a call (torchvision: for each picture).
    """
    count = len(images)
    draws = torch.rand(6, count, 1, 1, 1, generator=rng)
    order = torch.randperm(4, generator=rng).tolist()
    draws = to_device(draws, images.device)
    colours = images.float() / 255
    factors, turn = 1 + FACTOR * (2 * draws[:3] - 1), TURN * (2 * draws[3] - 1)
    changed = jittered(colours, factors, turn, order)
    colours = torch.where(draws[4] < JITTERED, changed, colours)
    colours = torch.where(draws[5] < GREYED, grey(colours), colours)
    return (255 * colours).round_().to(torch.uint8)


def mirror(images: Pixels, rng: torch.Generator) -> Pixels:
    """Return the pictures, half of them mirrored."""
    chosen = to_device(torch.rand(len(images), generator=rng) < 0.5, images.device)
    return torch.where(chosen[:, None, None, None], images.flip(3), images)
