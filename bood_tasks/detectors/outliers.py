"""The outliers that a detector trains on, read from their artifacts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import zarr
from jaxtyping import UInt8

from bood_tasks.artifacts.store import Artifact
from bood_tasks.jobs.environment import run_setting
from bood_tasks.jobs.job import Job
from bood_tasks.training.predict import are_tokens

ROWS_AT_ONCE = 100  # an image shard's file block


def resized_outliers(
    arrays: Sequence[np.ndarray | zarr.Array], *, size: int, kernel: str
) -> UInt8[np.ndarray, "n s s 3"]:
    """Return decoded pictures at the training resolution, each resized once, antialiased.

    Read block by block: 100,000 pictures of 256 pixels would be 20 GB.
    """
    import PIL.Image  # here: scoring reads this module too, and resizes nothing

    from bood_tasks.datasets.pictures import fit_picture

    found = np.empty((sum(array.shape[0] for array in arrays), size, size, 3), np.uint8)

    def fit_in(picture: np.ndarray) -> np.ndarray:
        picture = PIL.Image.fromarray(picture)
        return fit_picture(picture, size=size, fit="resize", kernel=kernel)

    done = 0
    with ThreadPoolExecutor(run_setting("workers")) as pool:
        for array in arrays:
            for start in range(0, array.shape[0], ROWS_AT_ONCE):
                block = array[start : start + ROWS_AT_ONCE]
                if block.shape[1:3] != (size, size):
                    block = np.stack(list(pool.map(fit_in, block)))
                found[done : done + len(block)] = block
                done += len(block)
    return found


def samples_of(artifact: Artifact, split: str = "") -> zarr.Array:
    """Return a split's pictures or tokens, or those of an artifact that has no splits."""
    prefix = f"{split}/" if split else ""
    return artifact[f"{prefix}images" if f"{prefix}images" in artifact else f"{prefix}tokens"]


def first_rows(arrays: Sequence[zarr.Array], count: int | None) -> list[np.ndarray | zarr.Array]:
    """Return the arrays up to the first `count` rows of all together; None: whole."""
    kept, left = [], count
    for array in arrays:
        if left is None or array.shape[0] <= left:
            kept.append(array)
        elif left > 0:
            kept.append(array[:left])
        left = None if left is None else max(0, left - array.shape[0])
    return kept


def _require_same_words(item: Artifact, facts: Mapping, tokens: np.ndarray) -> None:
    """Raise ValueError if outlier texts are numbered by another vocabulary than the ID texts."""
    own = item.json("dataset.json" if "test/tokens" in item else "outliers.json")
    if own["vocabulary"] != facts["vocabulary"] or tokens.max() >= facts["vocabulary_size"]:
        raise ValueError(
            f"{item.folder} must be numbered by the ID texts' vocabulary "
            f"({facts['vocabulary'][:12]}, {facts['vocabulary_size']} words), got "
            f"{own['vocabulary'][:12]}; make it from the same vocabulary"
        )


def open_outliers(job: Job, facts: Mapping) -> list[tuple[np.ndarray | zarr.Array, float]]:
    """Return each source's outliers, at the training resolution or length, and its share."""
    found, left = [], list(job.inputs.get("outliers", ()))
    for source in job.settings.get("sources", ()):
        own, left = left[: source["artifacts"]], left[source["artifacts"] :]
        arrays = first_rows(
            [samples_of(item, "test" if "test" in item else "") for item in own], source["count"]
        )
        if are_tokens(arrays[0]):
            rows = np.concatenate([array[:] for array in arrays])
            for item in own:
                _require_same_words(item, facts, rows)
        elif len(arrays) == 1 and arrays[0].shape[1] == facts["size"]:
            rows = arrays[0]
        else:
            rows = resized_outliers(arrays, size=facts["size"], kernel=facts["kernel"])
        found.append((rows, source["weight"]))
    return found
