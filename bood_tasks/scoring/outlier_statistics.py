"""How far outliers lie from ID as a classifier trained on ID alone sees them.

Enters: the shards of one outlier source, the detector of a row without outliers, the ID data set
and a set of noise. Leaves outlier_statistics.json: the mean confidence (MSP) on outliers, noise and
ID validation data, and, where the classifier has features, how far outliers and noise lie from the
ID training features beside held-out ID data (scales.py: `separation`, and the quantiles of the
distances to the nearest).
"""

from collections.abc import Sequence

import numpy as np
import zarr

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.detectors.model import load_model
from bood_tasks.detectors.outliers import first_rows, resized_blocks
from bood_tasks.jobs.environment import inference_batch, pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.scoring.outputs import run_outputs
from bood_tasks.scoring.scales import confidence, nearest, separation
from bood_tasks.training.loading import samples_of

VERSION = 1
FILE = "outlier_statistics.json"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PARTS = ("outliers", "noise", "validation", "train")


def statistics(found: dict[str, dict[str, np.ndarray]]) -> dict:
    """Return what outlier_statistics.json says; `found`: logits, and features if there are any, of
    each of PARTS."""
    told: dict = {
        "confidence": {
            part: float(confidence(found[part]["logits"]).mean()) for part in PARTS[:-1]
        },
        "count": {part: len(outputs["logits"]) for part, outputs in found.items()},
    }
    features = {part: outputs.get("features") for part, outputs in found.items()}
    if any(values is None for values in features.values()):
        return told
    train = features["train"]
    told["separation"] = {
        part: separation(features[part], features["validation"], train)
        for part in ("outliers", "noise")
    }
    told["distance"] = {
        part: np.quantile(nearest(features[part], train), QUANTILES).tolist() for part in PARTS[:-1]
    }
    return told


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, device = job.settings, pick_device()
    data, noise = job.inputs["datasets"]
    facts = data.json("dataset.json")
    model = load_model(job.inputs["detector"], device, job.source)

    def outputs(rows: Sequence | np.ndarray | zarr.Array) -> dict[str, np.ndarray]:
        return run_outputs(
            model, rows, batch_size=inference_batch(), device=device, crop=settings["crop"]
        )

    def first(array: zarr.Array) -> np.ndarray:
        return array[: settings["count"]]

    shards = first_rows([samples_of(item) for item in job.inputs["outliers"]], settings["count"])
    blocks = resized_blocks(shards, size=facts.get("size", 0), kernel=facts.get("kernel", ""))
    with job.draft() as draft:
        found = {
            "outliers": outputs(np.concatenate(list(blocks))),
            "noise": outputs(first(samples_of(noise, "test"))),
            "validation": outputs(first(samples_of(data, "validation"))),
            "train": outputs(samples_of(data, "train")),
        }
        told = statistics(found)
        write_json(draft.folder / FILE, told)
        draft.finish(rows=told["count"])
