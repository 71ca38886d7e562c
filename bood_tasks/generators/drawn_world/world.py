"""The small generator's world: many words for abstract, procedurally drawn pictures.

Stable Diffusion knows far more than CIFAR's classes, so a vector that leaves a class decodes into
something else. The small generator needs a wide world for the same reason: trained on the ID
classes alone, it decodes perturbed vectors to clean ID images of a neighbouring class.

Nothing here may resemble an OOD test set of the embedded default (dresses and shirts, clip-art,
handwritten digits, photographs of brick, grass and gravel), or the gain would be Outlier Exposure
in disguise. Hence the rules that every family keeps: no pen strokes, no thin curves, no glyphs; no
drawings of things; no garments; no photographs, no grain, nothing periodic; each family's docstring
says how. What remains in common is low-level (edges, filled areas); docs/generator.md says so.

Seeded by the caller's generator alone: the same seed draws the same pictures.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from bood_tasks.generators.drawn_world.canvas import (
    OBLONG,
    SIZE,
    Generator,
    Plane,
    backdrop,
    coverage,
    grid,
    linear_ramp,
    rotate,
    smooth_field,
    uniform,
)
from bood_tasks.generators.drawn_world.figures import FIGURES, SHADES, figures, place_figure
from bood_tasks.generators.drawn_world.solids import SOLIDS, solids


def draw(word: str, count: int, rng: Generator) -> UInt8[ndarray, "n 32 32"]:
    """`count` grey pictures of one world word; 0 is black.

    Raises ValueError for a word that the world does not hold.
    """
    if word not in WORDS:
        raise ValueError(f"word must be one of the world's {len(WORDS)} words, got {word!r}")
    picture = WORDS[word](count, rng)
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


# --- family 3: fields that fill the frame ---


def _julia(n, rng):
    """Smooth escape time of z² + c around a filled Julia set; wide, bulky sets only."""
    x, y = grid()
    x, y = rotate(x, y, uniform(rng, 0, 2 * np.pi, n))
    z = (x + 1j * y) * uniform(rng, 0.9, 1.3, n)
    c = 0.55 * np.exp(1j * uniform(rng, 0, 2 * np.pi, n)) * uniform(rng, 0.3, 1.2, n)
    time = np.zeros(z.shape)
    for _ in range(14):
        inside = np.abs(z) < 2
        z = np.where(inside, z * z + c, z)
        time += inside
    smooth = time - np.log2(np.maximum(np.log2(np.maximum(np.abs(z), 1.001)), 0.3)) * (time < 14)
    return np.clip(smooth / 14, 0, 1)


def _basins(n, rng):
    """Which root Newton's method finds for z³ = 1, few steps: broad lobes of three greys."""
    x, y = grid()
    x, y = rotate(x, y, uniform(rng, 0, 2 * np.pi, n))
    z = (x + 1j * y) * uniform(rng, 0.7, 1.4, n) + 0.3 * uniform(rng, -1, 1, n) + 1e-3
    for _ in range(3):
        z = z - (z**3 - 1) / (3 * z**2)
    tone = np.mod(np.angle(z) / (2 * np.pi) + uniform(rng, 0, 1, n), 1)
    return 0.1 + 0.85 * tone


def _facets(n, rng, *, corners=6, slope=0.35):
    """A sheet of large folded facets: nearest of a few seeds, each with a tilt of its own."""
    x, y = grid()
    px, py = rng.uniform(-1, 1, (2, corners, n, 1, 1))
    gx, gy, level = rng.uniform(-1, 1, (3, corners, n, 1, 1))
    nearest = np.argmin((x - px) ** 2 + (y - py) ** 2, axis=0)[None]
    tone = 0.5 + 0.4 * level + slope * (gx * (x - px) + gy * (y - py))
    return np.take_along_axis(tone, nearest, axis=0)[0]


def _relief(n, rng):
    """A smooth hilly surface under slanting light."""
    field = smooth_field(n, rng, waves=5, top=1.6)
    return np.clip(0.5 + 6 * (np.gradient(field, axis=2) + 0.4 * np.gradient(field, axis=1)), 0, 1)


def _bowl_field(n, rng, power):
    """A quadratic surface: bowl, ridge or saddle."""
    x, y = grid()
    x, y = x - uniform(rng, -0.5, 0.5, n), y - uniform(rng, -0.5, 0.5, n)
    x, y = rotate(x, y, uniform(rng, 0, 2 * np.pi, n))
    surface = x**2 + power * y**2
    low, high = surface.min((1, 2), keepdims=True), surface.max((1, 2), keepdims=True)
    return (surface - low) / (high - low)


def _fan(n, rng, *, blades, swirl):
    """A few wide sectors about a point, straight or swirling."""
    x, y = grid()
    x, y = x - uniform(rng, -0.4, 0.4, n), y - uniform(rng, -0.4, 0.4, n)
    turn = np.arctan2(y, x) / (2 * np.pi) + uniform(rng, 0, 1, n) + swirl * np.hypot(x, y)
    level = np.mod(turn * blades, 1)
    return 0.08 + uniform(rng, 0.5, 0.9, n) * level


def _goo(n, rng):
    """Metaballs: a few bright cores that melt into each other."""
    x, y = grid()
    field = 0.0
    for _ in range(4):
        px, py = uniform(rng, -0.6, 0.6, n), uniform(rng, -0.6, 0.6, n)
        field = field + uniform(rng, 0.04, 0.12, n) / ((x - px) ** 2 + (y - py) ** 2 + 0.03)
    return np.clip(field - 0.35, 0, 1)


FIELDS: dict[str, Callable] = {
    "haze": smooth_field,
    "contour": lambda n, rng: np.floor(smooth_field(n, rng) * 3.99) / 3,
    "island": lambda n, rng: np.clip(smooth_field(n, rng, top=1.5) * 8 - 4, 0, 1),
    "relief": _relief,
    "glow": lambda n, rng: (1 - _bowl_field(n, rng, 1.0)) ** 4,
    "crater": lambda n, rng: _bowl_field(n, rng, 1.0) ** 0.7,
    "valley": lambda n, rng: np.sqrt(_bowl_field(n, rng, 0.0)),
    "saddle": lambda n, rng: _bowl_field(n, rng, -1.0),
    "julia": _julia,
    "basin": _basins,
    "crystal": _facets,
    "patchwork": lambda n, rng: _facets(n, rng, corners=4, slope=0.0),
    "crumple": lambda n, rng: _facets(n, rng, corners=9, slope=1.2),
    "fan": lambda n, rng: _fan(n, rng, blades=2, swirl=0.0),
    "swirl": lambda n, rng: _fan(n, rng, blades=2, swirl=0.6),
    "goo": _goo,
    "horizon": lambda n, rng: np.where(
        linear_ramp(n, rng) > 0.5, 0.9 - smooth_field(n, rng) * 0.3, smooth_field(n, rng) * 0.5
    ),
}


def fields(n: int, rng: Generator, *, field: str) -> Plane:
    """A function of the plane that fills the frame.

    Not textures: wavelengths are as long as the frame or facets a third of it, so that there is no
    grain, no repeated element, and nothing photographed. Not digits: no curve is drawn.
    """
    return FIELDS[field](n, rng)


# --- family 4: arrangements ---


def _quarters(n, rng, parts):
    """Four half-size pictures in a 2 x 2 arrangement; each quarter is a 2 x 2 mean."""
    tiles = [part(n, rng).reshape(n, SIZE // 2, 2, SIZE // 2, 2).mean((2, 4)) for part in parts]
    return np.concatenate(
        [np.concatenate(tiles[:2], axis=2), np.concatenate(tiles[2:], axis=2)], axis=1
    )


def _glass(n, rng, names, style="plain"):
    """Translucent figures that lie over one another and add their light."""
    light = np.zeros((n, SIZE, SIZE))
    for name in names:
        cover, shade = place_figure(n, rng, name, style, low=0.35, high=0.7, shift=0.5)
        light += 0.5 * cover * shade
    return light


def _nest(n, rng, name):
    """The same figure four times, each inside the last, in alternating greys."""
    x, y = grid()
    x, y = x - uniform(rng, -0.2, 0.2, n), y - uniform(rng, -0.2, 0.2, n)
    x, y = rotate(x, y, uniform(rng, 0, 2 * np.pi, n))
    picture = backdrop(n, rng, 0.3)
    for size in (0.95, 0.7, 0.45, 0.2):
        cover = coverage(FIGURES[name](x / size, y / size, rng) * size)
        picture = picture + cover * (uniform(rng, 0, 1, n) - picture)
    return picture


def _crowd(n, rng, name, style, count):
    """Several small figures strewn over the frame, later ones in front."""
    picture = backdrop(n, rng, 0.3)
    for _ in range(count):
        cover, shade = place_figure(n, rng, name, style, low=0.18, high=0.4, shift=0.75)
        picture = picture + cover * (shade - picture)
    return picture


def _hybrid(n, rng, one, other):
    """Two pictures joined along a random straight cut."""
    return np.where(linear_ramp(n, rng) > 0.5, one(n, rng), other(n, rng))


def _figured(figure: str, style: str) -> Callable:
    return lambda n, rng: figures(n, rng, figure=figure, style=style)


def _bodied(solid: str, staging: str) -> Callable:
    return lambda n, rng: solids(n, rng, solid=solid, staging=staging)


ARRANGEMENTS: dict[str, Callable] = {
    "quartet": lambda n, rng: _quarters(
        n, rng, [_bodied(s, "lone") for s in ("ball", "cube", "cone", "drum")]
    ),
    "chart": lambda n, rng: _quarters(
        n, rng, [_figured(f, "ramp") for f in ("star", "hexagon", "triangle", "moon")]
    ),
    "glassdiscs": lambda n, rng: _glass(n, rng, ["disc"] * 4),
    "glassmix": lambda n, rng: _glass(n, rng, ["square", "triangle", "star", "oval"]),
    "nestsquare": lambda n, rng: _nest(n, rng, "square"),
    "neststar": lambda n, rng: _nest(n, rng, "star"),
    "nestblob": lambda n, rng: _nest(n, rng, "pentagon"),
    "crowdball": lambda n, rng: _crowd(n, rng, "disc", "bulge", 7),
    "crowdkite": lambda n, rng: _crowd(n, rng, "kite", "split", 7),
    "crowdblob": lambda n, rng: _crowd(n, rng, "blob", "cloudy", 6),
    "hybridone": lambda n, rng: _hybrid(n, rng, _bodied("cube", "lone"), FIELDS["contour"]),
    "hybridtwo": lambda n, rng: _hybrid(n, rng, _figured("sun", "facet"), _bodied("egg", "misty")),
    "spotlit": lambda n, rng: (
        _figured("hexagon", "facet")(n, rng) * (1 - _bowl_field(n, rng, 1.0)) ** 2
    ),
    "sunken": lambda n, rng: np.abs(_figured("blob", "bulge")(n, rng) - smooth_field(n, rng)),
}


def arrangements(n: int, rng: Generator, *, plan: str) -> Plane:
    """Several of the pieces above in one frame: side by side, nested, strewn, translucent, joined.

    They resemble a test set no more than their pieces do.
    """
    return ARRANGEMENTS[plan](n, rng)


def _words() -> dict[str, Callable]:
    """Every word and what draws it. Each figure takes two shadings, each solid two stagings."""
    words: dict[str, Callable] = {}
    for i, figure in enumerate(FIGURES):
        for style in (SHADES[i % len(SHADES)], SHADES[(i + 3) % len(SHADES)]):
            words[style + figure] = _figured(figure, style)
    stagings = ("lone", "staged", "misty")
    for i, solid in enumerate(SOLIDS):
        shown = ("staged", "misty") if solid in OBLONG else (stagings[i % 3], stagings[i % 3 - 2])
        for staging in shown:
            words[staging + solid] = _bodied(solid, staging)
    for field in FIELDS:
        words[field] = lambda n, rng, field=field: fields(n, rng, field=field)
    for plan in ARRANGEMENTS:
        words[plan] = lambda n, rng, plan=plan: arrangements(n, rng, plan=plan)
    return words


WORDS = _words()
