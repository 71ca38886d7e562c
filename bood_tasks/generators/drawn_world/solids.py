"""The drawn world's solids: geometric bodies, ray-traced with one light."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from bood_tasks.generators.drawn_world.canvas import (
    SIZE,
    Generator,
    Plane,
    backdrop,
    grid,
    linear_ramp,
    rotate,
    uniform,
)


def _length(*parts):
    return np.sqrt(sum(part**2 for part in parts))


def _box(x, y, z, a, b, c):
    qx, qy, qz = np.abs(x) - a, np.abs(y) - b, np.abs(z) - c
    outside = _length(np.maximum(qx, 0), np.maximum(qy, 0), np.maximum(qz, 0))
    return outside + np.minimum(np.maximum(np.maximum(qx, qy), qz), 0)


def _melt(a, b, k=0.25):
    """Smooth minimum of two distances: two bodies that run into one another."""
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def _cylinder(x, y, z, radius, half):
    return np.maximum(_length(x, z) - radius, np.abs(y) - half)


def _cone(x, y, z):
    return np.maximum((_length(x, z) * 0.86 + (y - 0.75) * 0.5), -y - 0.65)


def _octahedron(x, y, z, s=0.95):
    return (np.abs(x) + np.abs(y) + np.abs(z) - s) * 0.577


# Signed distances (or lower bounds of them) of bodies of about unit size.
SOLIDS: dict[str, Callable] = {
    "ball": lambda x, y, z: _length(x, y, z) - 0.8,
    "egg": lambda x, y, z: (_length(x / 0.55, y / 0.9, z / 0.55) - 1) * 0.55,
    "cube": lambda x, y, z: _box(x, y, z, 0.6, 0.6, 0.6),
    "block": lambda x, y, z: _box(x, y, z, 0.85, 0.3, 0.5),
    "plate": lambda x, y, z: _box(x, y, z, 0.8, 0.12, 0.8),
    "drum": lambda x, y, z: _cylinder(x, y, z, 0.65, 0.5),
    "rod": lambda x, y, z: _cylinder(x, y, z, 0.26, 0.95),
    "cone": _cone,
    "octa": _octahedron,
    "pill": lambda x, y, z: _length(x, y - np.clip(y, -0.5, 0.5), z) - 0.4,
    "twin": lambda x, y, z: _melt(_length(x - 0.42, y, z) - 0.5, _length(x + 0.42, y, z) - 0.4),
    "bead": lambda x, y, z: np.maximum(_length(x, y, z) - 0.8, 0.3 - _length(x, z)),
    "bite": lambda x, y, z: np.maximum(
        _box(x, y, z, 0.62, 0.62, 0.62), 0.62 - _length(x - 0.6, y - 0.6, z - 0.6)
    ),
    "dice": lambda x, y, z: np.maximum(_box(x, y, z, 0.6, 0.6, 0.6), _length(x, y, z) - 0.78),
    "jack": lambda x, y, z: np.minimum(
        np.minimum(_box(x, y, z, 0.9, 0.24, 0.24), _box(x, y, z, 0.24, 0.9, 0.24)),
        _box(x, y, z, 0.24, 0.24, 0.9),
    ),
    "bowl": lambda x, y, z: np.maximum(
        np.maximum(_length(x, y, z) - 0.85, 0.62 - _length(x, y, z)), y - 0.1
    ),
    "cairn": lambda x, y, z: np.minimum(
        _box(x, y + 0.45, z, 0.7, 0.25, 0.7), _box(x, y - 0.25, z, 0.4, 0.45, 0.4)
    ),
    "twist": lambda x, y, z: 0.6 * _box(*rotate(x, z, 1.3 * y), y, 0.4, 0.4, 0.85),
    "wedge": lambda x, y, z: np.maximum(_box(x, y, z, 0.7, 0.6, 0.6), 0.7 * (x + y)),
}


def _spin(rng: Generator, n: int) -> Float[ndarray, "n 3 3"]:
    """Random rotations, uniform over orientations (QR of Gaussian matrices)."""
    q, r = np.linalg.qr(rng.standard_normal((n, 3, 3)))
    return q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]


def _render(solid: Callable, n: int, rng: Generator, scale: Plane) -> tuple[Plane, Plane, Plane]:
    """Sphere-traced orthographic view: coverage, Lambert brightness, depth (0 near, 1 far)."""
    x, y = grid()
    spin = _spin(rng, n)
    x = (x - uniform(rng, -0.2, 0.2, n)) / scale
    y = (y - uniform(rng, -0.2, 0.2, n)) / scale

    def distance(z, dx=0.0, dy=0.0, dz=0.0):
        p = np.stack([x + dx + 0 * z, y + dy + 0 * z, z + dz])
        body = np.einsum("nij,jnhw->inhw", spin, p)
        return solid(*body)

    z = np.full((n, SIZE, SIZE), -1.6)
    for _ in range(28):
        z = np.minimum(z + 0.9 * distance(z), 1.7)
    near = distance(z)
    step = 0.02
    normal = np.stack(
        [distance(z, **{axis: step}) - distance(z, **{axis: -step}) for axis in ("dx", "dy", "dz")]
    )
    normal /= np.maximum(_length(*normal), 1e-9)
    light = rng.standard_normal((3, n, 1, 1))
    light[2] = -np.abs(light[2]) - 0.4
    light /= _length(*light)
    lambert = np.clip((normal * light).sum(0), 0, 1)
    # The surface is a near hit; a ray that ran to the far wall has left the body.
    cover = np.where(z < 1.6, np.clip(1 - near * scale * SIZE / 2, 0, 1), 0.0)
    return cover, lambert, np.clip((z + 0.8) / 1.2, 0, 1)


def solids(n: int, rng: Generator, *, solid: str, staging: str) -> Plane:
    """One geometric body, ray-traced with one light: `lone` on black, `staged` in a grey room with
    a cast shadow, `misty` shaded by depth and fading into a bright backdrop.

    Not clip-art or photographs: mathematical bodies with computed shading and no surface pattern.
    Not digits: there is no torus, and rods and the like are never shown on black.
    """
    scale = uniform(rng, 0.55, 0.85, n)
    cover, lambert, depth = _render(SOLIDS[solid], n, rng, scale)
    albedo = uniform(rng, 0.6, 1.0, n)
    if staging == "lone":
        return cover * albedo * (0.12 + 0.88 * lambert)
    if staging == "staged":
        x, y = grid()
        wall = backdrop(n, rng, 0.0) * 0.6 + 0.2
        sx, sy = uniform(rng, -0.35, 0.35, n), uniform(rng, 0.3, 0.6, n)
        shadow = np.exp(-(((x - sx) / 0.7) ** 2 + ((y - sy) / 0.3) ** 2) * 1.5)
        wall = wall * (1 - 0.7 * shadow)
        return wall + cover * (albedo * (0.1 + 0.9 * lambert) - wall)
    fog = uniform(rng, 0.6, 0.95, n) + 0.2 * (linear_ramp(n, rng) - 0.5)
    return fog + cover * (fog * (0.1 + 0.8 * depth) - fog)
