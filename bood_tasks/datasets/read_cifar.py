"""CIFAR-10 and CIFAR-100, in the binary or the python edition.

The python edition is published as pickles, which can run any code when they are read: here by an
unpickler that admits arrays, bytes, text and plain containers only.
"""

import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bood_tasks.datasets.bounded import require_bounded_pickle
from bood_tasks.datasets.foreign import decoding
from bood_tasks.datasets.pictures import Rows, hold_out, plain_labels, rows_of

PIXELS = 32 * 32 * 3
FILES = {  # training files, test file, labels and names in the python edition; without .bin
    "cifar10": ([f"data_batch_{k}" for k in range(1, 6)], "test_batch", "labels", "label_names"),
    "cifar100": (["train"], "test", "fine_labels", "fine_label_names"),
}
NAMES = {
    "cifar10": ("batches.meta.txt", "batches.meta"),
    "cifar100": ("fine_label_names.txt", "meta"),
}


class _DType:
    """Stands for numpy.dtype: plain numbers only, whatever state follows."""

    def __init__(self, name: str, *_how: object):
        if not re.fullmatch(r"[biuf][1248]", name):
            raise pickle.UnpicklingError(f"it asks for an array of {name!r}, which is no number")
        self.name, self.order = name, "="

    def __setstate__(self, state: tuple) -> None:
        self.order = {"<": "<", ">": ">"}.get(state[1], "=")


class _Array:
    """Stands for numpy.ndarray: an array of exactly the bytes that its pickle holds.

    numpy's own would lay any type over any memory (a pointer, a negative offset).
    """

    values: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, content = state
        content = content.encode("latin1") if isinstance(content, str) else content
        if not (isinstance(kind, _DType) and isinstance(content, bytes)):
            raise pickle.UnpicklingError("it holds an array that is no plain data")
        flat = np.frombuffer(content, np.dtype(kind.order + kind.name))
        self.values = flat.reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_how: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """Stand for _codecs.encode, by which Python 3 wrote bytes in pickles of Python 2."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


ADMITTED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) in ADMITTED:
            return ADMITTED[module, name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no plain data")


def unpickle_plain(content: bytes) -> object:
    """Return a pickle of bytes, text and plain containers; it, or values of its dict, may be arrays
    of numbers.

    Nothing of numpy is called but frombuffer. Raises pickle.UnpicklingError for anything else,
    before it runs, and what a damaged pickle raises.
    """
    require_bounded_pickle(content)
    found = _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    if isinstance(found, dict):
        return {k: v.values if isinstance(v, _Array) else v for k, v in found.items()}
    return found.values if isinstance(found, _Array) else found


def _load(file: Path) -> dict:
    with decoding(file, "CIFAR's pickle"):
        content = unpickle_plain(file.read_bytes())
        if not isinstance(content, dict):
            raise ValueError(f"it holds {type(content).__name__}, not a dict")
    return content


def _batch(root: Path, name: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 [n, 32, 32, 3] and labels of one file of either edition."""
    binary = root / f"{name}.bin"
    if binary.is_file():
        label_bytes = 2 if kind == "cifar100" else 1  # CIFAR-100: coarse, then fine
        content = np.fromfile(binary, np.uint8)
        if not len(content) or len(content) % (label_bytes + PIXELS):
            raise ValueError(
                f"{binary} must hold rows of {label_bytes + PIXELS} bytes, got {len(content)} "
                "bytes; copy it again"
            )
        rows = content.reshape(-1, label_bytes + PIXELS)
        images, labels = rows[:, label_bytes:], rows[:, label_bytes - 1]
    else:
        content = _load(root / name)
        with decoding(root / name, f"CIFAR's pickle: uint8 [n, {PIXELS}] and n labels"):
            images, labels = content["data"], content[FILES[kind][2]]
            if isinstance(labels, list) and any(isinstance(item, list | tuple) for item in labels):
                raise ValueError("its labels are lists")  # of lists of lists, each written once
            labels = np.asarray(labels)
            if images.dtype != np.uint8 or images.shape != (len(labels), PIXELS):
                raise ValueError(
                    f"got {images.dtype} {list(images.shape)} and {len(labels)} labels"
                )
            labels = plain_labels(labels, len(images), "labels")
    return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels.astype(np.int64)


def read_cifar(root: Path, settings: Mapping) -> tuple[dict[str, Rows], list[str]]:
    """Return CIFAR's splits and class names, sorted.

    Raises FileNotFoundError or ValueError that names the file.
    """
    kind = settings["kind"]
    training, test, _, names_key = FILES[kind]
    text, meta = NAMES[kind]
    with decoding(root / text, "CIFAR's list of class names"):
        if (root / text).is_file():
            names = (root / text).read_text(encoding="utf-8").split()
        else:
            names = _load(root / meta)[names_key]
        classes = sorted(names)
    new_label = np.array([classes.index(name) for name in names])

    def load(files: list[str]) -> Rows:
        parts = [_batch(root, name, kind) for name in files]
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        for bad in (labels.max(), labels.min()):
            if not 0 <= bad < len(classes):
                raise ValueError(
                    f"{root} must have labels of 0 to {len(classes) - 1}, got {bad}; copy it again"
                )
        return rows_of(images, new_label[labels], "+".join(files))

    return hold_out(load(training), classes, settings) | {"test": load([test])}, classes
