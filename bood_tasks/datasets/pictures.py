"""Pictures on their way from a file to the classifier's resolution, read one by one when asked."""

import io
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Lock

import numpy as np
import PIL.Image

from bood_tasks.catalogue.array_types import Int64, UInt8
from bood_tasks.catalogue.datasets import MAX_PIXELS
from bood_tasks.catalogue.walk import shown
from bood_tasks.datasets.foreign import FILES_OWN, reason
from bood_tasks.datasets.pixels import to_rgb
from bood_tasks.jobs import seeds

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "AVIF", "PPM")  # start no program
MAX_BYTES = 2**30  # of a file: as many pixels of four channels of 16 bits, not compressed
MOST_A_SIDE = 2**17  # pixels: Pillow keeps a pointer for each row, however short
LARGE_PIXELS = 2**24  # pictures from here on are decoded one after the other
MOST_RESIZED = 4  # times as long as the output a picture may be made before it is cut
KERNELS = {
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "lanczos": PIL.Image.Resampling.LANCZOS,
    "box": PIL.Image.Resampling.BOX,
    "nearest": PIL.Image.Resampling.NEAREST,
}
RANDOM = "random"  # one of KERNELS for each picture
Pictures = UInt8[np.ndarray, "n h w 3"]
Given = Sequence | np.ndarray  # by a caller: PIL pictures, paths, a file's bytes, uint8 [h, w, 3]
Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Rows:
    """The pictures of one split, unread.

    `read(i)` opens the i-th (uint8 [h, w], [h, w, 3] or a PIL picture), `name(i)` says where it
    comes from; `labels` index the class names, `index` counts in the source. `published`: pixels
    are taken as published, not as pictures of one's own, see pixels.py.
    """

    read: Callable[[int], np.ndarray | PIL.Image.Image]
    name: Callable[[int], str]
    labels: Labels
    index: Labels
    published: bool = True

    def pick(self, rows: Int64[np.ndarray, " m"]) -> "Rows":
        """Return some of the rows, in the order given."""
        return Rows(
            lambda i: self.read(int(rows[i])),
            lambda i: self.name(int(rows[i])),
            self.labels[rows],
            self.index[rows],
            self.published,
        )


def rows_of(images: np.ndarray, labels: np.ndarray, origin: str) -> Rows:
    """Return an array's pictures, each read from it when asked."""
    return Rows(
        images.__getitem__,
        lambda i: f"{origin} row {i}",
        np.asarray(labels, np.int64),
        np.arange(len(images), dtype=np.int64),
    )


def plain_labels(labels: np.ndarray, count: int, what: str) -> Labels:
    """Return labels as whole numbers [n]; [n, 1] and one-hot rows are taken as what they mean.

    Raises ValueError for anything else.
    """
    cure = "give one whole number a row"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"{what} must hold numbers, got {labels.dtype}; {cure}")
    if labels.ndim == 2 and labels.shape[1] > 1:
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()):
            raise ValueError(
                f"{what} must have one label a row, got {list(labels.shape)}, whose rows are not "
                f"one-hot; {cure}"
            )
        labels = labels.argmax(1)
    if labels.ndim != 1 or len(labels) != count:
        raise ValueError(
            f"{what} must have one label a row, got {list(labels.shape)} for {count:,} pictures; "
            f"{cure}"
        )
    if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.rint(labels))).all():
        raise ValueError(f"{what} must hold whole numbers, got fractions or NaN; {cure}")
    return labels.astype(np.int64)


def open_picture(file: str | os.PathLike | bytes) -> PIL.Image.Image:
    """Return a picture file, or what one holds, opened and not yet decoded.

    By what it holds, whatever its name, one of FORMATS: others, some of which start programs, are
    refused. Raises ValueError for what is no file (a FIFO would wait for ever), OSError and what
    Pillow raises.
    """
    if isinstance(file, bytes):
        size, file = len(file), io.BytesIO(file)
    else:
        state = os.stat(file)
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("it is no plain file")
        size = state.st_size
    if size > MAX_BYTES:
        raise ValueError(f"it has {size:,} bytes, more than {MAX_BYTES:,}")
    return PIL.Image.open(file, formats=FORMATS)


def rows_given(pictures: Given) -> Rows:
    """Return a caller's own pictures: PIL pictures, paths, what a file holds (bytes), or uint8
    [h, w, 3], any mixture.

    Raises TypeError for anything else.
    """
    if isinstance(pictures, str | bytes | os.PathLike | PIL.Image.Image):
        raise TypeError(f"pictures must be a list, got one {type(pictures).__name__}; write [it]")
    for i, item in enumerate(pictures):
        is_array = isinstance(item, np.ndarray)
        right = is_array and item.dtype == np.uint8 and item.ndim == 3 and item.shape[2] == 3
        if not right and not isinstance(item, str | bytes | os.PathLike | PIL.Image.Image):
            what = f"{item.dtype} {list(item.shape)}" if is_array else type(item).__name__
            raise TypeError(
                f"picture {i} must be a PIL picture, a path or uint8 [h, w, 3], got {what}"
            )

    alone = Lock()

    def read(i: int) -> np.ndarray | PIL.Image.Image:
        item = pictures[i]
        if isinstance(item, PIL.Image.Image):
            with alone:  # two threads must not decode one picture, nor may it be closed
                return to_rgb(item)[0]
        return item if isinstance(item, np.ndarray) else open_picture(item)

    def name(i: int) -> str:
        item = pictures[i]
        return shown(item) if isinstance(item, str | os.PathLike) else f"picture {i}"

    none = np.zeros(len(pictures), np.int64)
    return Rows(read, name, none, np.arange(len(pictures), dtype=np.int64), published=False)


def require_classes(
    name: str,
    classes: Sequence[str],
    labels: Mapping[str, Sequence[int] | np.ndarray],
    had: Mapping[str, Sequence[int] | np.ndarray] | None = None,
) -> None:
    """Raise ValueError unless ID data have two classes, each in the training split and in every
    other one that held it (`had`: labels before some were left out)."""
    if len(classes) < 2:
        raise ValueError(
            f"datasets.{name} must have at least two classes to be the ID data set, got "
            f"{len(classes)}: {', '.join(classes)}; give each class a folder or a label of its own"
        )
    for split, found in labels.items():
        needed = np.arange(len(classes)) if split == "train" else (had or {}).get(split, ())
        if absent := [classes[k] for k in np.setdiff1d(needed, found).astype(int)]:
            raise ValueError(
                f"datasets.{name} must have samples of every class in its {split} split, got none "
                f"of {', '.join(absent[:20])} that can be read; add some, or leave the class out"
            )


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
        kept = found[: max(0, len(found) - held)][:limit]
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


def drawn_kernel(*item: int | str, seed: int = 0) -> str:
    """Return one of KERNELS, each as likely, by an item's own stream."""
    return list(KERNELS)[int(seeds.generator(seed, "kernel", *item).integers(len(KERNELS)))]


def fit_picture(
    picture: PIL.Image.Image, *, size: int, fit: str, kernel: str = "bilinear"
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture at size x size.

    `pad`: pixels kept, black border; a larger picture is first shrunk to fit. `resize`: the
    short side is scaled to `size` and the centre cut out. `squash`: both sides are scaled to
    `size`. Scaling is antialiased. What is made on the way has at most MOST_RESIZED times the
    output's pixels: a picture more oblong than that is cut before it is scaled.
    """
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    if fit == "squash":
        return np.asarray(picture.resize((size, size), KERNELS[kernel]))
    extreme = max if fit == "pad" else min
    scale = size / extreme(picture.size)
    if scale < 1 or fit == "resize":
        shape = [max(1, round(side * scale)) for side in picture.size]
        box, kept = [0.0, 0.0, *map(float, picture.size)], shape.copy()
        for axis in range(2):
            if shape[axis] > MOST_RESIZED * size:  # scale the centre that is kept alone
                ratio, start = picture.size[axis] / shape[axis], (shape[axis] - size) // 2
                box[axis], box[axis + 2] = start * ratio, (start + size) * ratio
                kept[axis] = size
        whole = kept == shape
        picture = picture.resize(kept, KERNELS[kernel], box=None if whole else tuple(box))
    canvas = PIL.Image.new("RGB", (size, size))
    canvas.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return np.asarray(canvas)


def fit_both(picture: PIL.Image.Image, **image) -> dict[str, np.ndarray]:
    """Return a picture as fit_picture does (`images`) and whole, squashed to the same size
    (`whole`), with its width / height (`aspect`)."""
    whole = fit_picture(picture, **image | {"fit": "squash"})
    aspect = np.float32(picture.width / picture.height)
    return {"images": fit_picture(picture, **image), "whole": whole, "aspect": aspect}


Made = UInt8[np.ndarray, "h w 3"] | dict[str, np.ndarray]
_one_large = Lock()


def read_told(
    rows: Rows, i: int, *, into: Callable = fit_picture, max_pixels: int = MAX_PIXELS, **image
) -> tuple[Made | str, tuple[str, ...]]:
    """Return what `into` makes of the i-th picture, or why it cannot be read; and what was done to
    its pixels on the way, see pixels.py. With the kernel RANDOM each picture has its own.

    Decoders raise anything: this is where it is named, with the picture's format. Raises OSError
    where the machine is at fault.
    """
    kind = "picture"
    if image.get("kernel") == RANDOM:
        image["kernel"] = drawn_kernel("dataset", int(rows.index[i]))
    try:
        picture = rows.read(i)
        if isinstance(picture, np.ndarray):
            flat, notes = PIL.Image.fromarray(picture).convert("RGB"), ()
        else:
            with picture:
                kind = picture.format or kind
                pixels = picture.width * picture.height
                if pixels > max_pixels:
                    raise ValueError(f"it has {pixels:,} pixels, more than {max_pixels:,}")
                if (side := max(picture.size)) > MOST_A_SIDE:
                    raise ValueError(f"a side has {side:,} pixels, more than {MOST_A_SIDE:,}")
                with _one_large if pixels >= LARGE_PIXELS else nullcontext():
                    flat, notes = (
                        (picture.convert("RGB"), ()) if rows.published else to_rgb(picture)
                    )
                    return into(flat, **image), notes
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in FILES_OWN:
            raise
        return f"{rows.name(i)}: no {kind} that can be read: {reason(error)}", ()
    return into(flat, **image), notes


def read_picture(rows: Rows, i: int, **how) -> Made | str:
    """Return what read_told does, but what was done to the pixels."""
    return read_told(rows, i, **how)[0]
