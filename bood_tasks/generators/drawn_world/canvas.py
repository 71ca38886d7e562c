"""What every picture of the drawn world starts from: coordinates, soft edges, backgrounds.

Planes are float arrays [n, size, size] (or broadcastable to it) in coordinates from -1 to 1, y
downwards; brightness runs from 0, black, to 1.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

SIZE = 32
OBLONG = ("slab", "oval", "lens", "rod", "pill", "egg", "block")  # never shown on black
Generator = np.random.Generator
Plane = Float[ndarray, "#n #h #w"]


def grid() -> tuple[Plane, Plane]:
    centre = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    y, x = np.meshgrid(centre, centre, indexing="ij")
    return x[None], y[None]


def uniform(rng: Generator, low: float, high: float, n: int) -> Plane:
    return rng.uniform(low, high, (n, 1, 1))


def coverage(distance: Plane) -> Plane:
    """Coverage of a pixel whose centre lies `distance` outside an edge: a one-pixel soft edge."""
    return np.clip(0.5 - distance * SIZE / 2, 0, 1)


def rotate(x: Plane, y: Plane, angle: Plane) -> tuple[Plane, Plane]:
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def linear_ramp(n: int, rng: Generator) -> Plane:
    """A linear ramp from 0 to 1 across the frame in a random direction."""
    x, y = grid()
    along, _ = rotate(x, y, uniform(rng, 0, 2 * np.pi, n))
    return np.clip(0.5 + along / 2.4, 0, 1)


def smooth_field(n: int, rng: Generator, waves: int = 6, top: float = 1.1) -> Plane:
    """A random smooth field in [0, 1] of wavelengths longer than the frame: nothing periodic."""
    x, y = grid()
    field = np.zeros((n, SIZE, SIZE))
    for _ in range(waves):
        fx, fy = uniform(rng, -top, top, n), uniform(rng, -top, top, n)
        field += np.sin(np.pi * (fx * x + fy * y) + uniform(rng, 0, 2 * np.pi, n))
    low, high = field.min((1, 2), keepdims=True), field.max((1, 2), keepdims=True)
    return (field - low) / (high - low)


def backdrop(n: int, rng: Generator, black: float) -> Plane:
    """Black in a share `black` of the pictures, else a grey ramp."""
    low, high = uniform(rng, 0.05, 0.9, n), uniform(rng, 0.05, 0.9, n)
    ramp = low + (high - low) * linear_ramp(n, rng)
    return np.where(uniform(rng, 0, 1, n) < black, 0.0, ramp)
