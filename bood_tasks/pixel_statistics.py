"""How far statistics of the pixels alone tell a test set from ID (method: section 9).

A detector that does not beat the best of them may have learnt brightness, contrast or resampling.
They are of the pictures as a detector sees them: after they were resized.

Leaves pixel_statistics.json: for each OOD set the best statistic with its figures, and how many of
its pictures are exact copies of ID ones.
"""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import zarr
from jaxtyping import Float, UInt8
from numpy import ndarray

from bood_tasks.metrics import Threshold, auroc, compare
from bood_tasks.stage import read_job, run
from bood_tasks.store import Artifact, write_json

VERSION = 1

NEAR_ZERO = 12  # of 255: black as the eye sees it, though JPEG or resizing moved it (our choice)
PICTURES_AT_ONCE = 256

Pictures = UInt8[ndarray, "n h w 3"] | zarr.Array


def _of_batch(images: UInt8[ndarray, "n h w 3"]) -> dict[str, Float[ndarray, " n"]]:
    values = images / 255
    across, down = np.abs(np.diff(values, axis=2)), np.abs(np.diff(values, axis=1))
    each = (1, 2, 3)
    return {
        "mean": values.mean(each),
        "std": values.std(each),
        "near-zero share": (images.max(-1) <= NEAR_ZERO).mean((1, 2)),
        "total variation": (across.sum(each) + down.sum(each)) / values[0].size,
    }


def _batches(images: Pictures) -> Iterator[UInt8[ndarray, "n h w 3"]]:
    for start in range(0, images.shape[0], PICTURES_AT_ONCE):
        yield images[start : start + PICTURES_AT_ONCE]


def statistics(images: Pictures) -> dict[str, Float[ndarray, " n"]]:
    """Return four statistics of each picture x, its values in [0, 1].

    `mean` and `std` over pixels and channels; the share of pixels whose three channels are all
    at most NEAR_ZERO; total variation Σ |∂x| over horizontal and vertical neighbours, divided by
    h w 3, so that it does not grow with the picture.
    """
    parts = [_of_batch(batch) for batch in _batches(images)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def best(
    id_stats: Mapping[str, Float[ndarray, " n"]],
    ood_stats: Mapping[str, Float[ndarray, " m"]],
) -> tuple[str, Float[ndarray, " n"], Float[ndarray, " m"]]:
    """Return the statistic with the largest AUROC, and its values as scores: larger = more ID.

    Each statistic is negated where that tells the sets apart better; of equals the first stands.
    Sign and statistic are chosen on the test set itself, so this is what pixels could do at best,
    not a detector.
    """
    found = {}
    for name, inside in id_stats.items():
        outside, area = ood_stats[name], auroc(inside, ood_stats[name])
        found[name] = (area, inside, outside) if area >= 0.5 else (1 - area, -inside, -outside)
    name = max(found, key=lambda name: found[name][0])
    return name, *found[name][1:]


def fingerprints(images: Pictures) -> list[bytes]:
    """Return a hash of each picture's pixels: exact copies have the same."""
    return [
        hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest()
        for batch in _batches(images)
        for image in batch
    ]


def compared(settings: Mapping) -> list[tuple[str, str]]:
    """Return (OOD set, ID split that it is compared with), as in metrics.py."""
    return [
        (name, "validation" if group == "validation" else "test")
        for group in ("test", "validation", "control")
        for name in settings[group]
    ]


def _copies(data: Mapping[str, Artifact], settings: Mapping) -> dict[str, dict[str, int]]:
    """Count each set's pictures that ID training or test has, too; ID test's that training has."""
    inside = data[settings["id"]]
    splits = {split: fingerprints(inside[f"{split}/images"]) for split in ("train", "test")}
    known = {split: set(found) for split, found in splits.items()}
    counts = {settings["id"]: {"in_training": sum(x in known["train"] for x in splits["test"])}}
    for name, _ in compared(settings):
        found = fingerprints(data[name]["test/images"])
        counts[name] = {
            f"in_{word}": sum(x in known[split] for x in found)
            for split, word in (("train", "training"), ("test", "test"))
        }
    return counts


def figures(
    inside: Mapping[str, Float[ndarray, " n"]],
    outside: Mapping[str, Float[ndarray, " m"]],
    *,
    threshold: Threshold,
) -> dict:
    """Return the best statistic of an OOD set, its AUROC, and all figures of metrics.compare."""
    statistic, in_scores, out_scores = best(inside, outside)
    return {
        "statistic": statistic,
        "auroc": auroc(in_scores, out_scores),
        "n_id": len(in_scores),
        "n": len(out_scores),
        "figures": compare(in_scores, out_scores, threshold=threshold),
    }


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    data = dict(zip(settings["datasets"], job.inputs["datasets"], strict=True))
    inside = {
        split: statistics(data[settings["id"]][f"{split}/images"])
        for split in dict.fromkeys(split for _, split in compared(settings))
    }
    facts = _copies(data, settings)
    for name, split in compared(settings):
        outside = statistics(data[name]["test/images"])
        facts[name] |= figures(inside[split], outside, threshold=settings["threshold"])
    with job.draft() as draft:
        write_json(draft.folder / "pixel_statistics.json", facts)
        draft.finish(rows={"data sets": len(facts)})


if __name__ == "__main__":
    run(main)
