"""What the plainest statistics of pictures or texts alone could tell, beside every table."""

import hashlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import zarr
from jaxtyping import Float, UInt8
from numpy import ndarray

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.jobs.job import Job
from bood_tasks.scoring.roc import auroc, compare, ways

PICTURES_AT_ONCE = 256
Pictures = UInt8[ndarray, "n h w 3"] | zarr.Array
Statistics = Callable[[Artifact, str], dict[str, ndarray]]  # of a split, by name, a value a sample
Marks = Callable[[Artifact, str], list[bytes]]  # of a split: exact copies have the same


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


def count_copies(
    data: Mapping[str, Artifact], settings: Mapping, marks_of: Marks
) -> dict[str, dict[str, int]]:
    """Count each set's samples that ID training or test has, too; ID test's that training has."""
    inside = data[settings["id"]]
    splits = {split: marks_of(inside, split) for split in ("train", "test")}
    known = {split: set(found) for split, found in splits.items()}
    counts = {settings["id"]: {"in_training": sum(x in known["train"] for x in splits["test"])}}
    for name, _ in compared(settings):
        found = marks_of(data[name], "test")
        counts[name] = {
            f"in_{word}": sum(x in known[split] for x in found)
            for split, word in (("train", "training"), ("test", "test"))
        }
    return counts


def figures(
    inside: Mapping[str, Float[ndarray, " n"]],
    outside: Mapping[str, Float[ndarray, " m"]],
    **how: str,
) -> dict:
    """Return the best statistic of an OOD set, its AUROC, and all values of roc.compare, which
    takes `how`."""
    statistic, in_scores, out_scores = best(inside, outside)
    return {
        "statistic": statistic,
        "auroc": auroc(in_scores, out_scores),
        "n_id": len(in_scores),
        "n": len(out_scores),
        "figures": compare(in_scores, out_scores, **how),
    }


def write_controls(
    job: Job,
    statistics_of: Statistics,
    marks_of: Marks,
    *,
    alone: tuple[str, ...] = (),
    typical: tuple[str, ...] = (),
) -> None:
    """Write the stage's JSON: for each OOD set its best statistic, those that stand `alone` beside
    it, the median of those that are `typical`, of ID as well, and its exact copies of ID samples.
    """
    settings, stage = job.settings, job.identity["stage"]
    data = dict(zip(settings["datasets"], job.inputs["datasets"], strict=True))
    facts = count_copies(data, settings, marks_of)
    splits = dict.fromkeys(split for _, split in compared(settings))
    insides = {split: statistics_of(data[settings["id"]], split) for split in splits}
    for one in typical:
        facts[settings["id"]][one] = float(np.median(next(iter(insides.values()))[one]))
    for name, split in compared(settings):
        inside, outside = insides[split], statistics_of(data[name], "test")
        facts[name] |= figures(inside, outside, **ways(settings))
        facts[name] |= {one: float(np.median(outside[one])) for one in typical}
        for one in alone:
            sides = ({one: side[one]} for side in (inside, outside))
            facts[name][one] = figures(*sides, **ways(settings))
    with job.draft() as draft:
        write_json(draft.folder / f"{stage}.json", facts)
        draft.finish(rows={"data sets": len(facts)})
