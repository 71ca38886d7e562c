"""Pictures on their way from a file to the classifier's resolution, read one by one when asked."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
from jaxtyping import Int64, UInt8

from bood_tasks.jobs import seeds

KERNELS = {
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "lanczos": PIL.Image.Resampling.LANCZOS,
    "box": PIL.Image.Resampling.BOX,
}
Pictures = UInt8[np.ndarray, "n h w 3"]
Given = Sequence | np.ndarray  # by a caller: PIL pictures, paths or uint8 [h, w, 3]
Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Rows:
    """The pictures of one split, unread.

    `read(i)` opens the i-th (uint8 [h, w], [h, w, 3] or a PIL picture), `name(i)` says where it
    comes from; `labels` index the class names, `index` counts in the source.
    """

    read: Callable[[int], np.ndarray | PIL.Image.Image]
    name: Callable[[int], str]
    labels: Labels
    index: Labels

    def pick(self, rows: Int64[np.ndarray, " m"]) -> "Rows":
        """Return some of the rows, in the order given."""
        return Rows(
            lambda i: self.read(int(rows[i])),
            lambda i: self.name(int(rows[i])),
            self.labels[rows],
            self.index[rows],
        )


def rows_of(images: np.ndarray, labels: np.ndarray, origin: str) -> Rows:
    """Return an array's pictures, each read from it when asked."""
    return Rows(
        images.__getitem__,
        lambda i: f"{origin} row {i}",
        np.asarray(labels, np.int64),
        np.arange(len(images), dtype=np.int64),
    )


def rows_given(pictures: Given) -> Rows:
    """Return a caller's own pictures: PIL pictures, paths, or uint8 [h, w, 3], any mixture.

    Raises TypeError for anything else.
    """
    if isinstance(pictures, str | os.PathLike | PIL.Image.Image):
        raise TypeError(f"pictures must be a list, got one {type(pictures).__name__}; write [it]")
    for i, item in enumerate(pictures):
        is_array = isinstance(item, np.ndarray)
        right = is_array and item.dtype == np.uint8 and item.ndim == 3 and item.shape[2] == 3
        if not right and not isinstance(item, str | os.PathLike | PIL.Image.Image):
            what = f"{item.dtype} {list(item.shape)}" if is_array else type(item).__name__
            raise TypeError(
                f"picture {i} must be a PIL picture, a path or uint8 [h, w, 3], got {what}"
            )

    def read(i: int) -> np.ndarray | PIL.Image.Image:
        item = pictures[i]
        if isinstance(item, PIL.Image.Image):
            return item.copy()  # the reader closes what it gets
        return item if isinstance(item, np.ndarray) else PIL.Image.open(item)

    def name(i: int) -> str:
        item = pictures[i]
        return str(item) if isinstance(item, str | os.PathLike) else f"picture {i}"

    none = np.zeros(len(pictures), np.int64)
    return Rows(read, name, none, np.arange(len(pictures), dtype=np.int64))


def hold_out(
    rows: Rows, classes: Sequence[str], settings: Mapping
) -> dict[str, Rows]:  # fmt: skip
    """Return training and validation rows: the last `validation_per_class` of each class.

    `train_per_class` keeps the first so many of the rest. Raises ValueError for a class that
    ends without training pictures.
    """
    held, limit = settings["validation_per_class"], settings["train_per_class"]
    train, validation = [], []
    for label, name in enumerate(classes):
        found = np.flatnonzero(rows.labels == label)
        kept = found[: len(found) - held][:limit]
        if not len(kept):
            raise ValueError(
                f"datasets.{settings['name']} must have training pictures of every class, got "
                f"{len(found)} of {name}, no images left in 'train' beside "
                f"validation_per_class = {held}"
            )
        train.append(kept)
        validation.append(found[len(found) - held :])
    splits = {"train": rows.pick(np.sort(np.concatenate(train)))}
    if held:
        splits["validation"] = rows.pick(np.sort(np.concatenate(validation)))
    return splits


def some_of(rows: Rows, count: int | None) -> Rows:
    """Return `count` rows drawn at random, always the same ones, in their order; all of them for
    None or where there are no more."""
    if count is None or count >= len(rows.labels):
        return rows
    order = seeds.generator(0, "dataset", "test_count").permutation(len(rows.labels))
    return rows.pick(np.sort(order[:count]))


def fit_picture(
    picture: PIL.Image.Image, *, size: int, fit: str, kernel: str = "bilinear"
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture at size x size.

    `pad`: pixels kept, black border; a larger picture is first shrunk to fit. `resize`: the
    short side is scaled to `size` and the centre cut out. `squash`: both sides are scaled to
    `size`. Scaling is antialiased.
    """
    picture = picture.convert("RGB")
    if fit == "squash":
        return np.asarray(picture.resize((size, size), KERNELS[kernel]))
    extreme = max if fit == "pad" else min
    scale = size / extreme(picture.size)
    if scale < 1 or fit == "resize":
        shape = [max(1, round(side * scale)) for side in picture.size]
        picture = picture.resize(shape, KERNELS[kernel])
    canvas = PIL.Image.new("RGB", (size, size))
    canvas.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return np.asarray(canvas)


def fit_both(picture: PIL.Image.Image, **image) -> dict[str, np.ndarray]:
    """Return a picture as fit_picture does (`images`) and whole, squashed to the same size
    (`whole`), with its width / height (`aspect`)."""
    whole = fit_picture(picture, **image | {"fit": "squash"})
    aspect = np.float32(picture.width / picture.height)
    return {"images": fit_picture(picture, **image), "whole": whole, "aspect": aspect}


def read_picture(
    rows: Rows, i: int, *, into: Callable = fit_picture, **image
) -> UInt8[np.ndarray, "h w 3"] | dict[str, np.ndarray] | str:  # fmt: skip
    """Return what `into` makes of the i-th picture, or why it cannot be read."""
    try:
        picture = rows.read(i)
        if isinstance(picture, np.ndarray):
            picture = PIL.Image.fromarray(picture)
        with picture:
            return into(picture, **image)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        return f"{rows.name(i)}: {error}"
