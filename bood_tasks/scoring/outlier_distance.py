"""How far the outliers that each row saw lie from ID, as the plain classifier and the pixels tell.

Enters: the plain detector with its outputs on the training split and on all data sets, every row's
outlier pictures. Leaves outlier_distance.csv: a line for each row with outliers, of at most ROWS of
them by a seeded draw, each source by its share; a line for each test and validation set, on the
same scales (`pixels` of those: pixel_statistics.json); a line for ID test pictures. What a row
makes of features alone (VOS, NPOS) has no pictures to look at.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import zarr
from jaxtyping import Int, UInt8
from numpy import ndarray
from torch import nn

from bood_tasks.artifacts.store import Artifact
from bood_tasks.detectors.model import load_model
from bood_tasks.detectors.outliers import first_rows, resized_blocks
from bood_tasks.jobs.environment import inference_batch, pick_device
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.jobs.progress import progress
from bood_tasks.networks.float64 import float64_device
from bood_tasks.scoring.controls import best
from bood_tasks.scoring.outputs import run_outputs
from bood_tasks.scoring.pixel_statistics import statistics
from bood_tasks.scoring.posthoc.base import Outputs, State
from bood_tasks.scoring.posthoc.table import score_named
from bood_tasks.scoring.roc import auroc
from bood_tasks.scoring.scores import as_outputs, read_outputs
from bood_tasks.training.loading import samples_of

VERSION = 1
ROWS = 2000  # outliers of a row that are looked at
DISTANCES = ("knn", "mahalanobis")  # in the plain classifier's features
COLUMNS = ("kind", "method", "variant", "dataset", "count", *DISTANCES, "confidence", "pixels")
OUTLIERS, OOD, ID = "outliers", "ood", "id"  # kinds of lines


def chosen_rows(
    available: Int[ndarray, " m"], count: int, rng: np.random.Generator
) -> Int[ndarray, " k"]:
    """Return at most `count` of the available row numbers, drawn without replacement, in order."""
    if len(available) <= count:
        return available
    return np.sort(rng.choice(available, count, replace=False))


def gather(arrays: Sequence[ndarray | zarr.Array], rows: Int[ndarray, " k"]) -> list[ndarray]:
    """Return these rows of several arrays, numbered through all of them, an array for each that
    has any."""
    found, before = [], 0
    for array in arrays:
        own = rows[(rows >= before) & (rows < before + array.shape[0])] - before
        before += array.shape[0]
        if len(own):
            found.append(array.oindex[own] if isinstance(array, zarr.Array) else array[own])
    return found


def distances(outputs: Outputs, states: Mapping[str, State]) -> dict[str, ndarray]:
    """Return each sample's distance from the training features, as the scores of these names have
    it: to the k-th neighbour's, all at length 1; to the nearest class's mean, whitened."""
    found = {name: -score_named(name).score(outputs, state) for name, state in states.items()}
    if "mahalanobis" in found:
        found["mahalanobis"] = found["mahalanobis"].clamp(min=0).sqrt()
    return {name: values.cpu().numpy() for name, values in found.items()}


def measure(outputs: Outputs, states: Mapping[str, State]) -> dict[str, float]:
    """Return the median distances and the mean confidence, the largest probability, of samples."""
    found = {name: float(np.median(of)) for name, of in distances(outputs, states).items()}
    confidence = outputs.logits.double().softmax(1).amax(1).mean()
    return found | {"confidence": float(confidence)}


def in_units(measured: Mapping[str, float], inside: Mapping[str, float]) -> dict[str, float]:
    """Return what was measured with distances in units of ID's own median."""
    return {
        name: value / inside[name] if name in DISTANCES and inside[name] else value
        for name, value in measured.items()
    }


def _sources(job: Job) -> Iterator[tuple[dict, list[tuple[list, float, ndarray]]]]:
    """Yield each row's label and its sources: arrays, share, numbers of the rows that were used."""
    left, filters = list(job.inputs["outliers"]), iter(job.inputs.get("outlier_filters", ()))
    for row in job.settings["rows"]:
        sources, total = [], sum(source["weight"] for source in row["sources"])
        for source in row["sources"]:
            own, left = left[: source["artifacts"]], left[source["artifacts"] :]
            whole = [samples_of(item, "test" if "test" in item else "") for item in own]
            arrays = first_rows(whole, source["count"])
            used = np.arange(sum(array.shape[0] for array in arrays))
            if source.get("filtered"):
                used = next(filters)["rows"][:]
            sources.append((arrays, source["weight"] / total, used))
        yield row, sources


def _pictures(sources, facts: Mapping, rng: np.random.Generator) -> UInt8[ndarray, "n s s 3"]:
    """Return a row's drawn outliers at the training resolution."""
    blocks = []
    for arrays, share, used in sources:
        rows = chosen_rows(used, max(1, round(ROWS * share)), rng)
        parts = gather(arrays, rows)
        blocks += resized_blocks(parts, size=facts["size"], kernel=facts["kernel"])
    return np.concatenate(blocks)


def _of_pictures(model: nn.Module, pictures: ndarray, job: Job, device: str, exact: str) -> Outputs:
    found = run_outputs(
        model, pictures, batch_size=inference_batch(), device=device, crop=job.settings["crop"]
    )
    return as_outputs({name: torch.from_numpy(values).to(exact) for name, values in found.items()})


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device, name = pick_device(), job.settings["id"]
    exact = float64_device(device)
    facts = job.inputs["dataset"].json("dataset.json")
    training = as_outputs(read_outputs(job.inputs["training"], f"{name}/train", exact))
    # no score of a row: of fewer training samples the farthest is the k-th neighbour
    neighbours = min(job.settings["neighbours"], len(training.logits))
    fits = {"knn": {"neighbours": neighbours}, "mahalanobis": {}}
    states = {
        score: score_named(score).fit(training, **how)
        for score, how in fits.items()
        if training.features is not None
    }
    rng = np.random.default_rng(job.settings["seed"])
    given: Artifact = job.inputs["outputs"]
    inside = measure(as_outputs(read_outputs(given, f"{name}/test", exact)), states)
    images = job.inputs["dataset"]["test/images"]
    looked_at = chosen_rows(np.arange(images.shape[0]), ROWS, rng)
    id_pixels = statistics(gather([images], looked_at)[0])
    lines = [{"kind": ID, "dataset": name, "count": images.shape[0], **in_units(inside, inside)}]
    for dataset in job.settings["datasets"]:
        outputs = as_outputs(read_outputs(given, f"{dataset}/test", exact))
        line = {"kind": OOD, "dataset": dataset, "count": len(outputs.logits)}
        lines.append(line | in_units(measure(outputs, states), inside))
    model = load_model(job.inputs["detector"], device, job.source)
    rows = job.settings["rows"]
    with job.draft() as draft, progress("outlier_distance", len(rows), "rows") as advance:
        for row, sources in _sources(job):
            pictures = _pictures(sources, facts, rng)
            outputs = _of_pictures(model, pictures, job, device, exact)
            _, *sides = best(id_pixels, statistics(pictures))
            line = {"kind": OUTLIERS, "method": row["method"], "variant": row["variant"]}
            line |= {"count": len(pictures), "pixels": auroc(*sides)}
            lines.append(line | in_units(measure(outputs, states), inside))
            advance()
        with (draft.folder / "outlier_distance.csv").open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
        draft.finish(rows={"outlier_distance": len(lines)})
