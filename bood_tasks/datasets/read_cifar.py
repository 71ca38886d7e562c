"""CIFAR-10 and CIFAR-100, in the binary or the python edition.

The python edition is published as pickles, which can run any code when they are read: here by an
unpickler that admits arrays, bytes, text and plain containers only.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bood_tasks.datasets.pictures import Rows, hold_out, rows_of

PIXELS = 32 * 32 * 3
ADMITTED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}
FILES = {  # training files, test file, labels and names in the python edition; without .bin
    "cifar10": ([f"data_batch_{k}" for k in range(1, 6)], "test_batch", "labels", "label_names"),
    "cifar100": (["train"], "test", "fine_labels", "fine_label_names"),
}
NAMES = {
    "cifar10": ("batches.meta.txt", "batches.meta"),
    "cifar100": ("fine_label_names.txt", "meta"),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) in ADMITTED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no plain data")


def unpickle_plain(content: bytes) -> object:
    """Return a pickle of arrays, bytes, text and plain containers.

    Raises pickle.UnpicklingError for anything else, before it runs.
    """
    return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()


def _load(file: Path) -> dict:
    try:
        content = unpickle_plain(file.read_bytes())
        if not isinstance(content, dict):
            raise TypeError(f"holds {type(content).__name__}, not a dict")
    except (pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{file} must be CIFAR's pickle: {error}; copy it again") from error
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
        try:
            images, labels = content["data"], np.asarray(content[FILES[kind][2]])
        except KeyError as error:
            raise ValueError(f"{root / name} must hold {error}; copy it again") from None
        if images.dtype != np.uint8 or images.shape != (len(labels), PIXELS):
            raise ValueError(
                f"{root / name} must hold uint8 [n, {PIXELS}] and n labels, got {images.dtype} "
                f"{list(images.shape)} and {len(labels)} labels; copy it again"
            )
    return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels.astype(np.int64)


def read_cifar(root: Path, settings: Mapping) -> tuple[dict[str, Rows], list[str]]:
    """Return CIFAR's splits and class names, sorted.

    Raises FileNotFoundError or ValueError that names the file.
    """
    kind = settings["kind"]
    training, test, _, names_key = FILES[kind]
    text, meta = NAMES[kind]
    if (root / text).is_file():
        names = (root / text).read_text(encoding="utf-8").split()
    else:
        names = _load(root / meta)[names_key]
    classes = sorted(names)
    new_label = np.array([classes.index(name) for name in names])

    def load(files: list[str]) -> Rows:
        parts = [_batch(root, name, kind) for name in files]
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        if labels.max() >= len(classes):
            raise ValueError(
                f"{root} must have labels below {len(classes)}, got {labels.max()}; copy it again"
            )
        return rows_of(images, new_label[labels], "+".join(files))

    return hold_out(load(training), classes, settings) | {"test": load([test])}, classes
