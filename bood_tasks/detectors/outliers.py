"""The outliers that a detector trains on, read from their artifacts."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import zarr
from jaxtyping import Bool, Int32, UInt8

from bood_tasks.artifacts.store import Artifact
from bood_tasks.jobs.environment import run_setting
from bood_tasks.jobs.job import Job
from bood_tasks.training.loading import samples_of
from bood_tasks.training.predict import are_tokens

ROWS_AT_ONCE = 100  # an image shard's file block
SAMPLED = 64  # pictures of an artifact that are looked at


def resized_blocks(
    arrays: Sequence[np.ndarray | zarr.Array],
    *,
    size: int,
    kernel: str | Callable[[int], str],
    start: int = 0,
    kept: Bool[np.ndarray, " m"] | None = None,
) -> Iterator[UInt8[np.ndarray, "b s s 3"] | Int32[np.ndarray, "b l"]]:
    """Yield the items from number `start` on, of `kept` those alone, block by block.

    Pictures come at the training resolution, each resized once, antialiased, by one kernel or by
    that of its number; texts as they are.
    """
    import PIL.Image  # here: scoring reads this module too, and resizes nothing

    from bood_tasks.datasets.pictures import fit_picture

    def fit_in(picture: np.ndarray, number: int) -> np.ndarray:
        picture, by = PIL.Image.fromarray(picture), kernel
        by = by if isinstance(by, str) else by(number)
        return fit_picture(picture, size=size, fit="resize", kernel=by)

    before = 0
    with ThreadPoolExecutor(run_setting("workers")) as pool:
        for array in arrays:
            for first in range(max(0, start - before), array.shape[0], ROWS_AT_ONCE):
                block = array[first : first + ROWS_AT_ONCE]
                numbers = np.arange(before + first, before + first + len(block))
                if kept is not None:
                    block, numbers = block[kept[numbers]], numbers[kept[numbers]]
                if not are_tokens(block) and block.shape[1:3] != (size, size) and len(block):
                    block = np.stack(list(pool.map(fit_in, block, numbers.tolist())))
                if len(block):
                    yield block
            before += array.shape[0]


def resized_outliers(
    arrays: Sequence[np.ndarray | zarr.Array],
    *,
    size: int,
    kernel: str | Callable[[int], str],
    kept: Bool[np.ndarray, " m"] | None = None,
) -> UInt8[np.ndarray, "n s s 3"]:
    """Return decoded pictures, of `kept` those alone, at the training resolution.

    Read block by block: 100,000 pictures of 256 pixels would be 20 GB.
    """
    count = sum(array.shape[0] for array in arrays) if kept is None else int(kept.sum())
    found, done = np.empty((count, size, size, 3), np.uint8), 0
    for block in resized_blocks(arrays, size=size, kernel=kernel, kept=kept):
        found[done : done + len(block)] = block
        done += len(block)
    return found


def require_pictures(pictures: zarr.Array | np.ndarray, origin: str) -> None:
    """Raise ValueError, naming where they are from, for pictures of which none shows anything.

    The first SAMPLED, one block of the file, nearly always tell; all are read only where these are
    of one colour.
    """
    seen = pictures[:SAMPLED]
    if seen.min() == seen.max() and np.array_equiv(pictures[:], seen[0, 0, 0, 0]):
        raise ValueError(
            f"outliers must show something, and all of {origin} are one colour, {seen.max()}; make "
            "them again: remove that folder"
        )


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


def kept_by(outlier_filter: Artifact) -> Bool[np.ndarray, " n"]:
    """Return which of a source's items its filter keeps."""
    kept = np.zeros(outlier_filter["confidence"].shape[0], bool)
    kept[outlier_filter["rows"][:]] = True
    return kept


def _kernel(job: Job, kernel: str, number: int) -> str | Callable[[int], str]:
    """Return the kernel of a source's pictures, or what tells that of each."""
    if job.settings.get("outlier_kernel") != "random":
        return kernel
    from bood_tasks.datasets.pictures import drawn_kernel

    return partial(drawn_kernel, "detector", number, seed=job.settings["seed"])


def _require_resized(job: Job, resized: list[bool], size: int) -> None:
    """Raise ValueError for a random kernel where no source is resized: it would change nothing."""
    if job.settings.get("outlier_kernel") == "random" and resized and not any(resized):
        raise ValueError(
            f"detector.outlier_kernel must be image for outliers that have {size} pixels already, "
            "got random; keep them larger (images.saved_size, images.resolution), or give their "
            "data set shrink: random"
        )


def open_outliers(job: Job, facts: Mapping) -> list[tuple[np.ndarray | zarr.Array, float]]:
    """Return each source's outliers, at the training resolution or length, and its share.

    Pictures keep their size where `outlier_fit` is crop; ValueError if they are smaller than what
    is cut out of them.
    """
    found, left, resized = [], list(job.inputs.get("outliers", ())), []
    filters = iter(job.inputs.get("outlier_filters", ()))
    for source in job.settings.get("sources", ()):
        own, left = left[: source["artifacts"]], left[source["artifacts"] :]
        arrays = first_rows(
            [samples_of(item, "test" if "test" in item else "") for item in own], source["count"]
        )
        kept = kept_by(next(filters)) if source.get("filtered") else None
        if are_tokens(arrays[0]):
            rows = np.concatenate([array[:] for array in arrays])
            rows = rows if kept is None else rows[kept]
            for item in own:
                _require_same_words(item, facts, rows)
            found.append((rows, source["weight"]))
            continue
        for item, array in zip(own, arrays, strict=False):
            require_pictures(array, str(item.folder))
        size, kernel = facts["size"], _kernel(job, facts["kernel"], len(found))
        if (side := arrays[0].shape[1]) < size:
            print(f"outliers of {side} pixels are enlarged to {size}", file=sys.stderr)
        if job.settings.get("outlier_fit") == "crop":
            smallest, size = size, arrays[0].shape[1]
            if size < smallest:
                raise ValueError(
                    f"detector.outlier_fit must be resize for outliers of {size} pixels, of which "
                    f"no {smallest} can be cut out, got crop; raise images.saved_size"
                )
        if len(arrays) == 1 and arrays[0].shape[1] == size and kept is None:
            rows = arrays[0]
        else:
            rows = resized_outliers(arrays, size=size, kernel=kernel, kept=kept)
        resized.append(arrays[0].shape[1] != size)
        found.append((rows, source["weight"]))
    _require_resized(job, resized, facts.get("size", 0))
    return found


def open_mixing(job: Job, facts: Mapping) -> tuple[np.ndarray | zarr.Array, dict] | None:
    """Return the pictures that are mixed into the ID ones, at the training resolution, and how;
    None where none are. Of the ID data set they are its training pictures."""
    if "mixing" not in job.inputs:
        return None
    how = dict(job.settings["pixmix"])
    items = job.inputs["mixing"]
    split = next((name for name in ("train", "test") if f"{name}/images" in items[0]), "")
    arrays = first_rows([samples_of(item, split) for item in items], how.pop("count"))
    for item, array in zip(items, arrays, strict=False):
        require_pictures(array, str(item.folder))
    size = facts["size"]
    if len(arrays) == 1 and arrays[0].shape[1] == size:
        return arrays[0], how
    return resized_outliers(arrays, size=size, kernel=facts["kernel"]), how
