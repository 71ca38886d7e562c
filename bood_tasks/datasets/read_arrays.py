"""Data sets that are published as arrays: .npz, .mat (SVHN), idx (MNIST), .npy, and scikit-learn's
digits."""

import gzip
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image

from bood_tasks.datasets.pictures import Rows, hold_out, rows_of


def _npz_arrays(source: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an .npz file; pickled objects are refused."""
    try:
        with source.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{source} must be a whole .npz file of plain arrays: {error}; copy it again"
        ) from error


def read_npz(source: Path, settings: Mapping) -> tuple[dict[str, Rows], list[str]]:
    """Return the splits of an .npz file and its class names.

    Raises ValueError for a missing key, another shape than uint8 [n, h, w] or a class without
    images.
    """
    file = _npz_arrays(source)

    def read(role: str) -> tuple[np.ndarray, np.ndarray]:
        for key in settings[role]:
            if key not in file:
                raise ValueError(
                    f"datasets.{settings['name']}.{role} must name arrays of {source.name}, "
                    f"got {key!r}; it holds {', '.join(file)}"
                )
        images, labels = (file[key] for key in settings[role])
        if images.dtype != np.uint8 or images.ndim != 3 or len(images) != len(labels):
            raise ValueError(
                f"{source.name}:{settings[role][0]} must be uint8 [n, h, w] with one label a row, "
                f"got {images.dtype} {list(images.shape)} and {len(labels)} labels"
            )
        return images, labels.astype(np.int64)

    names = [str(name) for name in file["names"]] if "names" in file else []
    given = settings["classes"] or {name: label for label, name in enumerate(names)}
    classes = dict(sorted(given.items()))  # as in a folder: the order of keys has no meaning

    def pick(role: str) -> Rows:
        images, labels = read(role)
        mapped = np.full(len(labels), -1, np.int64)
        for new, (name, old) in enumerate(classes.items()):
            mapped[labels == old] = new
            if not (labels == old).any():
                raise ValueError(
                    f"datasets.{settings['name']}.classes.{name} must be a label of {source.name}, "
                    f"got {old}: no images left in {role!r}; it has {sorted(set(labels.tolist()))}"
                )
        return rows_of(images, mapped, f"{source.name}:{settings[role][0]}").pick(
            np.flatnonzero(mapped >= 0)
        )

    splits = hold_out(pick("train"), list(classes), settings) if settings["train"] else {}
    return splits | {"test": pick("test")}, list(classes)


def read_svhn(root: Path, settings: Mapping) -> tuple[dict[str, Rows], list[str]]:
    """Return SVHN's cropped digits: X uint8 [32, 32, 3, n], y [n, 1] where 10 stands for 0."""
    from scipy.io import loadmat

    classes = [str(digit) for digit in range(10)]

    def load(split: str) -> Rows:
        file = root / f"{split}_32x32.mat"
        try:
            content = loadmat(file)
            images, labels = content["X"].transpose(3, 0, 1, 2), content["y"].ravel()
        except (ValueError, KeyError, TypeError, OSError, zlib.error) as error:
            raise ValueError(f"{file} must be SVHN's .mat file: {error}; copy it again") from error
        return rows_of(images, labels.astype(np.int64) % 10, file.name)

    splits = {}
    if (root / "train_32x32.mat").is_file():
        splits = hold_out(load("train"), classes, settings)
    return splits | {"test": load("test")}, classes


def read_idx(file: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return the pictures of MNIST's format, gzipped: a header of big-endian numbers (2051, then
    n, h, w) and uint8 [n, h, w]; labels lie in another file, which is not read.

    Raises ValueError for another header, or another number of pixels than it says.
    """
    try:
        content = gzip.decompress(file.read_bytes())
        magic, *shape = np.frombuffer(content[:16], ">u4").tolist()
        if (magic, len(shape)) != (2051, 3):
            raise ValueError(f"it begins with {magic}, not 2051")
        images = np.frombuffer(content[16:], np.uint8).reshape(shape)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} must be a gzipped idx file: {error}; copy it again") from error
    return {"test": rows_of(images, np.zeros(len(images)), file.name)}, [file.name.split(".")[0]]


def read_npy(file: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return the pictures of one uint8 [n, h, w, 3] array, left on disk until they are read."""
    try:
        images = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{file} must be a whole .npy file: {error}; copy it again") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f"{file} must be uint8 [n, h, w, 3], got {images.dtype} {list(images.shape)}"
        )
    return {"test": rows_of(images, np.zeros(len(images)), file.name)}, [file.stem]


def read_samples(file: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return BigGAN-PyTorch's samples: an .npz file whose `x` is uint8 [n, 3, h, w]."""
    images = _npz_arrays(file).get("x")
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
