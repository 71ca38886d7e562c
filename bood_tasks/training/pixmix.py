"""PixMix (Hendrycks et al. 2022): ID pictures mixed with complex ones, which gain structure so.

A picture starts as it is or changed by one operation, and is then mixed up to `rounds` times, by
addition or multiplication, with another changed copy of itself or with a picture of the mixing
set. Facts from "PixMix: Dreamlike Pictures Comprehensively Improve Safety Measures" (arXiv
2112.05135) and the authors' code (github.com/andyzoujm/pixmix). Their mixing set, fractals and
feature visualisations, is a download; any pictures may stand in for it. On the device where the
pictures are; random numbers come from the caller's CPU generator.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from bood_tasks.training.augmentation import Pixels, to_device

OPERATIONS = (
    "autocontrast", "equalize", "posterize", "solarize", "rotate", "shear_x", "shear_y",
    "translate_x", "translate_y",
)  # fmt: skip
LEAST_LEVEL = 0.1  # of an operation; the severity is the largest
BITS, TURN, SHEAR, SHIFT = 4, 30, 0.3, 1 / 3  # at level 10; the shift in picture widths
LEAST = 1e-37  # of a factor, so that its negative power is finite


@dataclass(frozen=True)
class Changes:
    """One operation for each picture: its number, its level and the sign of what has one."""

    operation: Int64[Tensor, " n"]
    level: Float[Tensor, " n"]
    sign: Float[Tensor, " n"]


@dataclass(frozen=True)
class Draws:
    """All random choices of a batch: whether a picture starts changed, how often it is mixed, and
    of each round whether its partner is its own copy, whether they are multiplied, and a and b."""

    first: Changes
    starts_changed: Bool[Tensor, " n"]
    mixed: Int64[Tensor, " n"]
    again: list[Changes]
    with_itself: Bool[Tensor, "r n"]
    multiplied: Bool[Tensor, "r n"]
    a: Float[Tensor, "r n"]
    b: Float[Tensor, "r n"]


def _changes(count: int, severity: float, rng: torch.Generator) -> Changes:
    operation = torch.randint(len(OPERATIONS), (count,), generator=rng)
    level, sign = torch.rand(2, count, generator=rng)
    level = LEAST_LEVEL + (severity - LEAST_LEVEL) * level
    return Changes(operation, level, torch.where(sign < 0.5, -1.0, 1.0))


def draw(count: int, rng: torch.Generator, *, rounds: int, beta: float, severity: float) -> Draws:
    """Return the choices for so many pictures, on the CPU.

    With chance one half a is from Beta(beta, 1) and b from Beta(1, beta), else a is 1 + and b - one
    of Beta(1, beta): their distribution functions are powers, and are inverted.
    """
    first = _changes(count, severity, rng)
    starts, mixed = (
        torch.rand(count, generator=rng) < 0.5,
        torch.randint(rounds + 1, (count,), generator=rng),
    )
    again = [_changes(count, severity, rng) for _ in range(rounds)]
    which, one, two, itself, product = torch.rand(5, rounds, count, generator=rng)
    near_one, near_zero = one ** (1 / beta), 1 - one ** (1 / beta)
    other = 1 - two ** (1 / beta)
    inside = which < 0.5
    a, b = torch.where(inside, near_one, 1 + near_zero), torch.where(inside, other, -other)
    return Draws(first, starts, mixed, again, itself < 0.5, product < 0.5, a, b)


def autocontrast(images: Pixels) -> Pixels:
    """Return pictures whose every channel reaches from 0 to 255 (Pillow's, rounded down)."""
    values = images.flatten(2).float()
    low, high = values.amin(2, keepdim=True), values.amax(2, keepdim=True)
    scale = 255 / (high - low).clamp_min(1)
    stretched = ((values - low) * scale + 1e-3).floor().clamp(0, 255)
    return torch.where(high > low, stretched, values).to(torch.uint8).view_as(images)


def equalize(images: Pixels) -> Pixels:
    """Return pictures whose every channel has its values spread evenly (Pillow's rule)."""
    rows = images.flatten(2).flatten(0, 1).long()
    counts = torch.zeros(len(rows), 256, dtype=torch.int64, device=rows.device)
    counts.scatter_add_(1, rows, torch.ones_like(rows))
    last = counts.gather(1, rows.amax(1, keepdim=True))  # how often the largest value stands there
    step = (rows.shape[1] - last) // 255
    table = (step // 2 + counts.cumsum(1) - counts) // step.clamp_min(1)
    found = table.clamp(0, 255).gather(1, rows)
    return torch.where(step > 0, found, rows).to(torch.uint8).view_as(images)


def posterize(images: Pixels, level: Float[Tensor, " n"]) -> Pixels:
    """Return pictures of which each value keeps its first 4 - int(.4 level) bits."""
    dropped = 8 - (BITS - (level * BITS / 10).int())
    step = (2**dropped).view(-1, 1, 1, 1).to(images.device)
    return (images.int() // step * step).to(torch.uint8)


def solarize(images: Pixels, level: Float[Tensor, " n"]) -> Pixels:
    """Return pictures whose values from 256 - int(25.6 level) on are turned to their negative."""
    edge = (256 - (level * 25.6).int()).view(-1, 1, 1, 1).to(images.device)
    return torch.where(images.int() >= edge, 255 - images, images)


def affine(changes: Changes, size: int) -> Float[Tensor, "n 2 3"]:
    """Return what leads from a place of the changed picture to one of the picture as it was, both
    from -1 to 1: for rotations, shears and shifts; of another operation nothing."""
    names = [OPERATIONS[number] for number in changes.operation.tolist()]
    found = torch.eye(2, 3, dtype=torch.float64).repeat(len(names), 1, 1)
    for row, (name, level, sign) in enumerate(
        zip(names, changes.level.tolist(), changes.sign.tolist(), strict=True)
    ):
        if name == "rotate":
            angle = math.radians(sign * int(level * TURN / 10))
            cos, sin = math.cos(angle), math.sin(angle)
            found[row, :, :2] = torch.tensor([[cos, -sin], [sin, cos]])
        elif name.startswith("shear"):  # from the first row or column on
            axis, part = int(name == "shear_y"), sign * level * SHEAR / 10
            found[row, axis, 1 - axis] = found[row, axis, 2] = part
        elif name.startswith("translate"):
            by = sign * int(level * size * SHIFT / 10)
            found[row, int(name == "translate_y"), 2] = 2 * by / size
    return found.float()


def moved(images: Pixels, theta: Float[Tensor, "n 2 3"]) -> Pixels:
    """Return pictures at other places, bilinear, black where there was none."""
    shape = [len(images), 3, *images.shape[2:]]
    grid = F.affine_grid(to_device(theta, images.device), shape, align_corners=False)
    parts = F.grid_sample(images.float(), grid, padding_mode="zeros", align_corners=False)
    return parts.round_().clamp_(0, 255).to(torch.uint8)


def changed(images: Pixels, changes: Changes) -> Pixels:
    """Return each picture after its operation."""
    found = images.clone()
    names = [OPERATIONS[number] for number in changes.operation.tolist()]
    ways = {
        "autocontrast": lambda part, _: autocontrast(part),
        "equalize": lambda part, _: equalize(part),
        "posterize": lambda part, rows: posterize(part, changes.level[rows]),
        "solarize": lambda part, rows: solarize(part, changes.level[rows]),
    }
    theta = affine(changes, images.shape[2])
    for name in (*ways, ""):
        rows = torch.tensor(
            [k for k, own in enumerate(names) if own == name or (not name and own not in ways)],
            dtype=torch.int64,
        )
        if not len(rows):
            continue
        at = to_device(rows, images.device)
        way = ways.get(name)
        found[at] = way(images[at], rows) if way else moved(images[at], theta[rows])
    return found


def mix(
    x: Float[Tensor, "n 3 h w"],
    other: Float[Tensor, "n 3 h w"],
    a: Float[Tensor, "n 1 1 1"],
    b: Float[Tensor, "n 1 1 1"],
    multiplied: Bool[Tensor, "n 1 1 1"],
) -> Float[Tensor, "n 3 h w"]:
    """Return the mixture of two pictures in [0, 1], clipped to that: the sum a x + b y of values in
    [-1, 1], or the product x^a y^b of values in [0, 2]."""
    added = (a * (2 * x - 1) + b * (2 * other - 1) + 1) / 2
    product = (2 * x) ** a * (2 * other).clamp_min(LEAST) ** b / 2
    return torch.where(multiplied, product, added).clamp(0, 1)


def mixed_by(images: Pixels, mixing: Pixels, draws: Draws) -> Pixels:
    """Return the pictures mixed with those of the mixing set, one each, as the draws say."""

    def column(values: Tensor) -> Tensor:
        return to_device(values, images.device).view(-1, 1, 1, 1)

    start = torch.where(column(draws.starts_changed), changed(images, draws.first), images)
    found = start.float() / 255
    for number, again in enumerate(draws.again):
        other = torch.where(column(draws.with_itself[number]), changed(images, again), mixing)
        factors = (column(values[number]) for values in (draws.a, draws.b, draws.multiplied))
        result = mix(found, other.float() / 255, *factors)
        found = torch.where(column(draws.mixed > number), result, found)
    return (255 * found).round_().to(torch.uint8)


def pixmix(
    images: Pixels,
    mixing: Pixels,
    rng: torch.Generator,
    *,
    rounds: int,
    beta: float,
    severity: float,
) -> Pixels:
    """Return ID pictures mixed with as many of the mixing set, at random."""
    draws = draw(len(images), rng, rounds=rounds, beta=beta, severity=severity)
    return mixed_by(images, mixing, draws)
