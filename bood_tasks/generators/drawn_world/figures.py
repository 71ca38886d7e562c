"""The drawn world's flat figures: plane geometry with an interior shading."""

from collections.abc import Callable

import numpy as np

from bood_tasks.generators.drawn_world.canvas import (
    OBLONG,
    SIZE,
    Generator,
    Plane,
    backdrop,
    coverage,
    grid,
    rotate,
    smooth_field,
    uniform,
)


def _polygon(x, y, corners: int):
    """Distance to a regular polygon of inradius 0.8."""
    sector = 2 * np.pi / corners
    angle = np.mod(np.arctan2(x, -y) + sector / 2, sector) - sector / 2
    return np.hypot(x, y) * np.cos(angle) - 0.8


def _star(x, y, points: int, depth: float):
    angle = np.arctan2(y, x)
    saw = np.abs(np.mod(angle * points / (2 * np.pi), 1) - 0.5) * 2
    return np.hypot(x, y) - (1 - depth + depth * saw)


def _superellipse(x, y, power: float):
    return (np.abs(x) ** power + np.abs(y) ** power) ** (1 / power) - 0.9


# Each takes x, y in the figure's own frame (about unit size) and the generator.
FIGURES: dict[str, Callable] = {
    "disc": lambda x, y, rng: np.hypot(x, y) - 0.9,
    "oval": lambda x, y, rng: np.hypot(x, y / uniform(rng, 0.4, 0.65, len(x))) - 1,
    "square": lambda x, y, rng: np.maximum(np.abs(x), np.abs(y)) - 0.8,
    "slab": lambda x, y, rng: np.maximum(
        np.abs(x) - 1, np.abs(y) - uniform(rng, 0.25, 0.5, len(x))
    ),
    "triangle": lambda x, y, rng: _polygon(x, y, 3) + 0.25,
    "pentagon": lambda x, y, rng: _polygon(x, y, 5),
    "hexagon": lambda x, y, rng: _polygon(x, y, 6),
    "spark": lambda x, y, rng: _star(x, y, 4, 0.6),
    "star": lambda x, y, rng: _star(x, y, 5, 0.5),
    "sun": lambda x, y, rng: _star(x, y, 9, 0.3),
    "cross": lambda x, y, rng: np.maximum(
        np.minimum(np.abs(x), np.abs(y)) - uniform(rng, 0.28, 0.42, len(x)),
        np.maximum(np.abs(x), np.abs(y)) - 0.95,
    ),
    "squircle": lambda x, y, rng: _superellipse(x, y, 4.0),
    "astroid": lambda x, y, rng: _superellipse(x, y, 0.6),
    "dome": lambda x, y, rng: np.maximum(np.hypot(x, y + 0.4) - 1, -(y + 0.4)),
    "pie": lambda x, y, rng: np.maximum(
        np.hypot(x, y) - 1,
        np.where(np.abs(np.arctan2(y, x)) < uniform(rng, 0.35, 1.1, len(x)), 1.0, -1.0),
    ),
    "moon": lambda x, y, rng: np.maximum(
        np.hypot(x, y) - 0.95, uniform(rng, 0.6, 0.8, len(x)) - np.hypot(x - 0.5, y)
    ),
    "lens": lambda x, y, rng: np.maximum(np.hypot(x, y - 0.6), np.hypot(x, y + 0.6)) - 1.1,
    "trefoil": lambda x, y, rng: np.hypot(x, y) - (0.72 + 0.25 * np.cos(3 * np.arctan2(y, x))),
    "kite": lambda x, y, rng: np.abs(x) / 0.6 + np.abs(y + 0.15 * np.abs(y)) - 0.95,
    "steps": lambda x, y, rng: np.maximum(
        np.maximum(np.abs(x), np.abs(y)) - 0.85, np.floor((x + 1) * 2) / 2 - 1 - y + 0.2
    ),
}


def _blob(x, y, rng):
    """A closed random outline: a disc whose radius carries four slow harmonics."""
    angle, radius = np.arctan2(y, x), 0.72
    for order in range(2, 6):
        phase = uniform(rng, 0, 2 * np.pi, len(x))
        radius = radius + uniform(rng, 0, 0.36 / order, len(x)) * np.cos(order * angle + phase)
    return np.hypot(x, y) - radius


FIGURES["blob"] = _blob


def _shade(style: str, x: Plane, y: Plane, distance: Plane, n: int, rng: Generator) -> Plane:
    """Brightness inside a figure, in [0, 1]."""
    bright, dark = uniform(rng, 0.55, 1.0, n), uniform(rng, 0.05, 0.4, n)
    if style == "plain":
        return bright + 0 * distance
    if style == "ramp":
        return dark + (bright - dark) * np.clip(0.5 + x / 2, 0, 1)
    if style == "bulge":
        return dark + (bright - dark) * np.sqrt(np.clip(-distance * 1.3, 0, 1))
    if style == "bevel":
        lit = np.clip(0.5 + 2.5 * np.gradient(distance, axis=2) * SIZE / 4, 0, 1)
        return np.where(distance > -0.28, dark + (bright - dark) * lit, 0.8 * bright)
    if style == "core":  # the core is the brighter part: a bright rim would be a ring
        return np.where(distance < -uniform(rng, 0.22, 0.4, n), bright, dark + 0.1)
    if style == "split":
        return np.where(x > uniform(rng, -0.3, 0.3, n), bright, dark)
    if style == "facet":
        wedge = np.floor((np.arctan2(y, x) / np.pi + 1) * 3)
        return dark + (bright - dark) * np.mod(wedge * 0.37 + uniform(rng, 0, 1, n), 1)
    if style == "cloudy":
        return dark + (bright - dark) * smooth_field(n, rng)
    raise ValueError(f"style must be one of {SHADES}, got {style!r}")


SHADES = ("plain", "ramp", "bulge", "bevel", "core", "split", "facet", "cloudy")


def place_figure(
    n, rng, figure: str, style: str, low=0.5, high=0.85, shift=0.3
) -> tuple[Plane, Plane]:
    """One figure, turned, scaled and shifted at random: its coverage and its brightness."""
    x, y = grid()
    size = uniform(rng, low, high, n)
    x = (x - uniform(rng, -shift, shift, n)) / size
    y = (y - uniform(rng, -shift, shift, n)) / size
    x, y = rotate(x, y, uniform(rng, 0, 2 * np.pi, n))
    distance = FIGURES[figure](x, y, rng)
    turned = rotate(x, y, uniform(rng, 0, 2 * np.pi, n))
    return coverage(distance * size), _shade(style, *turned, distance, n, rng)


def figures(n: int, rng: Generator, *, figure: str, style: str) -> Plane:
    """One filled figure of plane geometry with an interior shading.

    Not clip-art: nothing is depicted, and a figure of one flat grey never stands on black (that is
    what a silhouette drawing looks like). Not digits: filled areas, no strokes, no rings, and
    oblong bodies never on black, where a bar could pass for a one.
    """
    cover, shade = place_figure(n, rng, figure, style)
    if style == "plain":
        back = np.maximum(backdrop(n, rng, 0.0), 0.25)
        shade = np.where(back.mean((1, 2), keepdims=True) > 0.5, shade - 0.55, shade)
    else:
        back = backdrop(n, rng, 0.0 if figure in OBLONG else 0.5)
    return back + cover * (shade - back)
