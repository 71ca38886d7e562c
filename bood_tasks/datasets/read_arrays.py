"""Data sets that are published as arrays: .npz, .mat (SVHN), idx (MNIST), .npy, and scikit-learn's
digits."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import PIL.Image

from bood_tasks.catalogue.walk import LeftOut
from bood_tasks.datasets.bounded import (
    most_of,
    read_gzip,
    require_bounded_array,
    require_bounded_mat,
)
from bood_tasks.datasets.foreign import decoding
from bood_tasks.datasets.pictures import Rows, hold_out, plain_labels, rows_of

NAMES = "names"  # the key of an .npz file's class names
OTHER_LABEL = "with a label that is none of the classes"


def _npz_arrays(source: Path, keys: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return some arrays of an .npz file, those that it has, and all its keys.

    No other array is read; bombs and pickled objects are refused.
    """
    with (
        decoding(source, "a whole .npz file of plain arrays"),
        source.open("rb") as handle,
        np.load(handle, allow_pickle=False) as file,
    ):
        wanted = [key for key in keys if key in file]
        for key in wanted:
            require_bounded_array(file.zip, key)
        return {key: file[key] for key in wanted}, list(file)


def read_npz(
    source: Path, settings: Mapping, told: LeftOut | None = None
) -> tuple[dict[str, Rows], list[str]]:
    """Return the splits of an .npz file and its class names.

    Classes are those of the settings, else the file's `names`, else the labels' own numbers; a set
    for testing without either is of one class. Raises ValueError for a missing key, another shape
    than uint8 [n, h, w] or [n, h, w, 3] or a class without images.
    """
    setting = f"datasets.{settings['name']}"
    roles = [role for role in ("train", "test") if settings[role]]
    file, held = _npz_arrays(source, {NAMES, *(key for role in roles for key in settings[role])})

    def read(role: str) -> tuple[np.ndarray, np.ndarray]:
        for key in settings[role]:
            if key not in file:
                raise ValueError(
                    f"{setting}.{role} must name arrays of {source.name}, "
                    f"got {key!r}; it holds {', '.join(held)}"
                )
        images, labels = (file[key] for key in settings[role])
        if images.ndim == 4 and images.shape[3] == 1:
            images = images[..., 0]
        colour = images.ndim == 4 and images.shape[3] == 3
        if images.dtype != np.uint8 or not (images.ndim == 3 or colour) or not images.size:
            raise ValueError(
                f"{source.name}:{settings[role][0]} must be uint8 [n, h, w] or [n, h, w, 3], "
                f"got {images.dtype} {list(images.shape)}"
            )
        return images, plain_labels(labels, len(images), f"{source.name}:{settings[role][1]}")

    read_roles = {role: read(role) for role in roles}
    classes = _npz_classes(settings, file.get(NAMES), read_roles, source)

    def pick(role: str) -> Rows:
        images, labels = read_roles[role]
        mapped = np.full(len(labels), -1, np.int64)
        for new, (name, old) in enumerate(classes.items()):
            right = np.ones(len(labels), bool) if old is None else labels == old
            mapped[right] = new
            if not right.any():
                raise ValueError(
                    f"{setting}.classes.{name} must be a label of {source.name}, "
                    f"got {old}: no images left in {role!r}; it has {sorted(set(labels.tolist()))}"
                )
        if told is not None and (left := int((mapped < 0).sum())):
            told.add(OTHER_LABEL, f"{source.name}:{settings[role][0]}", left)
        return rows_of(images, mapped, f"{source.name}:{settings[role][0]}").pick(
            np.flatnonzero(mapped >= 0)
        )

    splits = hold_out(pick("train"), list(classes), settings) if settings["train"] else {}
    return splits | {"test": pick("test")}, list(classes)


def _npz_classes(
    settings: Mapping, names: np.ndarray | None, found: Mapping, source: Path
) -> dict[str, int | None]:
    """Return {class: label}, sorted by name; None stands for every label."""
    if settings["classes"]:
        return dict(sorted(settings["classes"].items()))  # the order of keys has no meaning
    if names is not None:
        listed = [str(name) for name in names.ravel()]
        if names.ndim != 1 or len(set(listed)) < len(listed):
            raise ValueError(
                f"{source.name}:{NAMES} must list each class once, got {listed[:20]}; give "
                f"datasets.{settings['name']}.classes"
            )
        labels = range(len(listed))
        if not settings["train"]:  # a set for testing need not hold them all
            labels = [k for k in labels if (found["test"][1] == k).any()]
        if labels:
            return dict(sorted((listed[label], label) for label in labels))
    if not settings["train"]:
        return {source.stem: None}
    return {str(label): label for label in sorted(set(found["train"][1].tolist()), key=str)}


def read_svhn(root: Path, settings: Mapping) -> tuple[dict[str, Rows], list[str]]:
    """Return SVHN's cropped digits: X uint8 [32, 32, 3, n], y [n, 1] where 10 stands for 0."""
    from scipy.io import loadmat, whosmat

    classes = [str(digit) for digit in range(10)]

    def load(split: str) -> Rows:
        file = root / f"{split}_32x32.mat"
        with decoding(file, "SVHN's .mat file (MATLAB 5, X and y)"):
            require_bounded_mat(file)
            _require_svhn(whosmat(file), file.stat().st_size)
            content = loadmat(file, variable_names=("X", "y"))
            images, labels = content["X"].transpose(3, 0, 1, 2), content["y"]
            if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3):
                raise ValueError(f"X is {images.dtype} {list(images.shape)}, images first")
            numbers = plain_labels(labels, len(images), "y")
            if not np.isin(numbers, range(1, 11)).all():
                raise ValueError("y holds labels outside 1 to 10")
        return rows_of(images, numbers % 10, file.name)

    splits = {}
    if (root / "train_32x32.mat").is_file():
        splits = hold_out(load("train"), classes, settings)
    return splits | {"test": load("test")}, classes


def _require_svhn(held: list[tuple[str, tuple[int, ...], str]], size: int) -> None:
    """Raise ValueError unless a .mat file's header claims what SVHN's holds, within bounds."""
    claimed = {name: (shape, kind) for name, shape, kind in held}
    for name in ("X", "y"):
        if name not in claimed:
            raise ValueError(f"it holds {', '.join(claimed) or 'nothing'}, and no {name}")
    shape, kind = claimed["X"]
    if kind != "uint8" or shape[:3] != (32, 32, 3) or len(shape) > 4:
        raise ValueError(f"X is {kind} {list(shape)}, not uint8 [32, 32, 3, n]")
    count = shape[3] if len(shape) == 4 else 1
    labels = int(np.prod(claimed["y"][0], dtype=object))
    if labels != count or 32 * 32 * 3 * count > most_of(size):
        raise ValueError(f"its header claims {count:,} pictures and {labels:,} labels")


def read_idx(file: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return the pictures of MNIST's format, gzipped: a header of big-endian numbers (2051, then
    n, h, w) and uint8 [n, h, w]; labels lie in another file, which is not read.

    Raises ValueError for another header, or another number of pixels than it says.
    """
    with decoding(file, "a gzipped idx file"):
        content = read_gzip(file)
        magic, *shape = np.frombuffer(content[:16], ">u4").tolist()
        if (magic, len(shape)) != (2051, 3):
            raise ValueError(f"it begins with {magic}, not 2051")
        images = np.frombuffer(content[16:], np.uint8).reshape(shape)
    return {"test": rows_of(images, np.zeros(len(images)), file.name)}, [file.name.split(".")[0]]


def read_npy(file: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return the pictures of one uint8 [n, h, w, 3] array, left on disk until they are read."""
    with decoding(file, "a whole .npy file"):
        images = np.load(file, mmap_mode="r", allow_pickle=False)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f"{file} must be uint8 [n, h, w, 3], got {images.dtype} {list(images.shape)}"
        )
    return {"test": rows_of(images, np.zeros(len(images)), file.name)}, [file.stem]


def read_samples(file: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return BigGAN-PyTorch's samples: an .npz file whose `x` is uint8 [n, 3, h, w]."""
    images = _npz_arrays(file, ["x"])[0].get("x")
    if images is None or images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        told = "none" if images is None else f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"{file} must hold x, uint8 [n, 3, h, w], got {told}")
    images = images.transpose(0, 2, 3, 1)
    return {"test": rows_of(images, np.zeros(len(images)), file.name)}, [file.stem]


def read_digits() -> tuple[dict[str, Rows], list[str]]:
    """Return scikit-learn's 1,797 digits, 8 x 8 with values 0..16, up-sampled to 28 pixels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    large = [
        np.asarray(PIL.Image.fromarray(item).resize((28, 28), PIL.Image.Resampling.BICUBIC))
        for item in grey
    ]
    rows = rows_of(np.stack(large), digits.target, "digits")
    return {"test": rows}, [str(digit) for digit in range(10)]
