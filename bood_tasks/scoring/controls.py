"""What pixels or lengths alone could tell: the controls beside every table."""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import zarr
from jaxtyping import Float, UInt8
from numpy import ndarray

from bood_tasks.artifacts.store import Artifact
from bood_tasks.scoring.roc import Threshold, auroc, compare

PICTURES_AT_ONCE = 256
Pictures = UInt8[ndarray, "n h w 3"] | zarr.Array


def picture_batches(images: Pictures) -> Iterator[UInt8[ndarray, "n h w 3"]]:
    for start in range(0, images.shape[0], PICTURES_AT_ONCE):
        yield images[start : start + PICTURES_AT_ONCE]


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
        for batch in picture_batches(images)
        for image in batch
    ]


def compared(settings: Mapping) -> list[tuple[str, str]]:
    """Return (OOD set, ID split that it is compared with), as in metrics.py."""
    return [
        (name, "validation" if group == "validation" else "test")
        for group in ("test", "validation", "control")
        for name in settings[group]
    ]


def count_copies(data: Mapping[str, Artifact], settings: Mapping) -> dict[str, dict[str, int]]:
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
