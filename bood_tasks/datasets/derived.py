"""Data sets made here: noise, and what becomes of another data set's pictures."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import PIL.Image

from bood_tasks.artifacts.store import Artifact
from bood_tasks.datasets.folds import fold_of
from bood_tasks.datasets.pictures import Labels, Pictures, Rows, rows_of
from bood_tasks.jobs import seeds

ROWS_AT_ONCE = 100  # read together of the data set that classes are taken of
GAUSSIAN_MEAN, GAUSSIAN_STD = 127.5, 63.75  # two deviations reach black and white


def make_noise(settings: Mapping) -> tuple[dict[str, Rows], list[str]]:
    """Return images of independent pixels, one random stream an image.

    `uniform` over 0..255, or `gaussian` with mean 127.5 and deviation 63.75, clipped.
    """
    size, count = settings["size"] or settings["image"]["size"], settings["count"]

    def draw(item: int) -> np.ndarray:
        random = seeds.generator(0, "dataset", "noise", item)
        if settings["distribution"] == "gaussian":
            values = random.normal(GAUSSIAN_MEAN, GAUSSIAN_STD, (size, size, 3))
            return np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return random.integers(0, 256, (size, size, 3), dtype=np.uint8)

    labels, index = np.zeros(count, np.int64), np.arange(count, dtype=np.int64)
    return {"test": Rows(draw, lambda i: f"noise {i}", labels, index)}, ["noise"]


def _jigsaw(image: np.ndarray, _other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle a 4 x 4 grid of tiles; fewer where there are no four pixels, and the pixels that
    the grid leaves over stay."""
    grid = min(4, len(image))
    tile, order = len(image) // grid, rng.permutation(grid**2)
    inner = slice(grid * tile)
    whole = image[inner, inner].reshape(grid, tile, grid, tile, 3).swapaxes(1, 2)
    mixed = whole.reshape(grid**2, tile, tile, 3)[order].reshape(grid, grid, tile, tile, 3)
    found = image.copy()
    found[inner, inner] = mixed.swapaxes(1, 2).reshape(grid * tile, grid * tile, 3)
    return found


def _phase(image: np.ndarray, _other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keep the amplitude spectrum, take the phases of noise: ID statistics without ID shape."""
    noise = np.angle(np.fft.fft2(rng.standard_normal(image.shape[:2])))
    spectrum = np.abs(np.fft.fft2(image[..., 0].astype(np.float64)))
    grey = np.fft.ifft2(spectrum * np.exp(1j * noise)).real
    return np.repeat(grey[..., None], 3, axis=2)


CORRUPTIONS: dict[str, Callable] = {
    "mixed": lambda a, b, rng: (a.astype(np.float64) + b) / 2,
    "cut": lambda a, b, rng: np.concatenate([a[: len(a) // 2], b[len(b) // 2 :]]),
    "jigsaw": _jigsaw,
    "phase": _phase,
    "negative": lambda a, b, rng: 255 - a,
    "quarter-turn": lambda a, b, rng: np.rot90(a, 1 + 2 * int(rng.integers(2))),
}


def corrupt(images: Pictures, labels: Labels) -> tuple[Pictures, Labels]:
    """Return one corrupted copy of each image, the corruptions in turn; labels name them.

    `mixed` and `cut` join an image with one of another class, so they lie near the ID data;
    the others keep its statistics and lose its shape or its place. Every copy has the size of its
    image. Raises ValueError for images of a single class.
    """
    if len(set(labels.tolist())) < 2:
        raise ValueError(
            "corrupted pictures must come from at least two classes, got the pictures of "
            f"{len(set(labels.tolist()))}; give the data set's validation split another class"
        )
    done, kinds = [], []
    for row, image in enumerate(images):
        rng = seeds.generator(0, "dataset", "corrupted", row)
        kind = row % len(CORRUPTIONS)
        other = images[rng.choice(np.flatnonzero(labels != labels[row]))]
        result = list(CORRUPTIONS.values())[kind](image, other, rng)
        done.append(np.clip(np.rint(result), 0, 255).astype(np.uint8))
        kinds.append(kind)
    return np.stack(done), np.array(kinds, np.int64)


def resample(images: Pictures, *, size: int) -> Pictures:
    """Return images scaled down to size x size and back up (antialiased bilinear, bicubic)."""
    shape, scale = images.shape[1:3], PIL.Image.Resampling
    small = [PIL.Image.fromarray(item).resize((size, size), scale.BILINEAR) for item in images]
    return np.stack([np.asarray(item.resize(shape[::-1], scale.BICUBIC)) for item in small])


def fold_rows(settings: Mapping, of: Artifact) -> tuple[dict[str, Rows], list[str]]:
    """Return some classes of a data set, each picture read when asked."""
    rows, classes = fold_of(settings, of, of.json("dataset.json")["classes"])

    def taken(split: str, picked: np.ndarray, labels: np.ndarray) -> Rows:
        images = of[f"{split}/images"]

        @lru_cache(2)  # rows are asked for in their order, by several threads
        def block(number: int) -> np.ndarray:
            return images[number * ROWS_AT_ONCE : (number + 1) * ROWS_AT_ONCE]

        found = Rows(
            lambda i: block(i // ROWS_AT_ONCE)[i % ROWS_AT_ONCE],
            lambda i: f"{split} row {i}",
            labels,
            of[f"{split}/index"][:],
        )
        return found.pick(picked)

    return {name: taken(*each) for name, each in rows.items()}, classes


def derive(settings: Mapping, of: Artifact) -> tuple[dict[str, Rows], list[str]]:
    """Read the data set that this one is made from and change it, or take some of its classes."""
    if settings["kind"] == "fold":
        return fold_rows(settings, of)
    split = "validation" if settings["kind"] == "corrupted" else "test"
    if f"{split}/images" not in of:
        raise ValueError(
            f"datasets.{settings['name']}.of must have a {split} split, and "
            f"{of.settings['name']} has none; set its validation_per_class"
        )
    images, labels = of[f"{split}/images"][:], of[f"{split}/labels"][:]
    if settings["kind"] == "corrupted":
        images, labels = corrupt(images, labels)
        return {"test": rows_of(images, labels, "corrupted")}, list(CORRUPTIONS)
    resampled = resample(images, size=settings["size"])
    return {"test": rows_of(resampled, labels, "resampled")}, of.json("dataset.json")["classes"]
