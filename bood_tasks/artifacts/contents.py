"""What an array of an artifact must be, by the last part of its name: number format and shape.

A manifest's digests say that nothing changed since it was written. They do not say that what was
written is right: another version or a mistaken stage may have written it. Formats and shapes stand
in an array's header, so every reader checks them at no cost; values are checked where they are
written.
"""

from collections.abc import Mapping

import numpy as np

# format, number of dimensions
CONTENTS = {
    "images": ("uint8", 4),
    "labels": ("int64", 1),
    "index": ("int64", 1),
    "anchors": ("float32", 2),
    "features": ("float32", 2),
    "logits": ("float32", 2),
    "probabilities": ("float32", 2),
    "vectors": ("float32", 2),
    "score": ("float32", 1),
    "correct": ("bool", 1),
    "crossed": ("bool", 1),
    "margin": ("float32", 1),
    "steps": ("int32", 1),
}
FINITE = ("anchors", "features", "logits", "probabilities", "vectors", "score", "margin")


def wrong(
    name: str, dtype: np.dtype, shape: tuple[int, ...], rows: Mapping[str, int]
) -> str | None:
    """Return what is wrong with an array, in words; None if nothing is.

    `name`: its path, e.g. "digits/test/score". `rows`: the manifest's numbers of rows, by the
    folder of the array or, of an artifact with one number alone, of all arrays at the top.
    """
    folder, _, last = name.rpartition("/")
    if last not in CONTENTS:
        return None
    wanted, dimensions = CONTENTS[last]
    if dtype != np.dtype(wanted):
        return f"{name} must be {wanted}, got {dtype}"
    if len(shape) != dimensions or (last == "images" and (shape[1] != shape[2] or shape[3] != 3)):
        kind = "[n, size, size, 3]" if last == "images" else f"of {dimensions} dimensions"
        return f"{name} must be {kind}, got shape {list(shape)}"
    count = rows.get(folder)
    if not folder and len(rows) == 1 and "/" not in next(iter(rows)):
        count = next(iter(rows.values()))
    if count is not None and shape[0] != count:
        return f"{name} must have the {count:,} rows of its manifest, got {shape[0]:,}"
    return None


def require_finite(name: str, values: np.ndarray) -> None:
    """Raise ValueError, naming an array and its first row that is not finite."""
    if name.rpartition("/")[2] in FINITE and not np.isfinite(values).all():
        bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
        raise ValueError(
            f"{name} must be finite, and {int(bad.sum()):,} of {len(bad):,} rows are not, first "
            f"row {int(bad.argmax())}; look at what the stage read, or lower its learning rate"
        )
