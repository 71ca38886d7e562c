"""The metrics after every epoch of a detector's training (GOE's figures 4 and 5), by its kept
weights; epoch 0 is the classifier that it started from, if it started from one.

Leaves epochs.csv: as metrics.csv, less what names the row, with the epoch.
"""

import csv

import numpy as np
import torch
from safetensors.torch import load_file

from bood_tasks.detectors.model import load_model
from bood_tasks.jobs.environment import inference_batch, pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.jobs.progress import progress
from bood_tasks.scoring import metrics
from bood_tasks.scoring.outputs import run_outputs, splits
from bood_tasks.scoring.roc import compare, ways
from bood_tasks.scoring.scores import of_outputs
from bood_tasks.training.loading import samples_of

VERSION = 1
NOT_OURS = ("method", "variant", "seed")  # the artifact is one row's, of one seed
COLUMNS = ("epoch", *(name for name in metrics.COLUMNS if name not in NOT_OURS))


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, device = job.settings, pick_device()
    detector = job.inputs["detector"]
    model = load_model(detector, device)
    kept = sorted((detector.folder / "epochs").glob("*.safetensors"))
    weights = {int(path.stem): path for path in kept}
    if "start" in job.inputs:
        weights = {0: job.inputs["start"].folder / "model.safetensors"} | weights
    wanted = {settings["id"], *settings["test"]}
    parts = [
        (name, data) for name, split, data in splits(job) if name in wanted and split == "test"
    ]
    with job.draft() as draft, progress("epochs", len(weights), "epochs") as advance:
        found = []
        for epoch, path in weights.items():
            state, own = load_file(path), set(model.state_dict())
            # Another method's classifier may have parts beside the network, which scores read not.
            model.load_state_dict(
                {x: state[x] for x in state if epoch or x in own}, strict=epoch > 0
            )
            model.to(device).eval()
            scored: dict[str, dict[str, np.ndarray]] = {}
            for name, data in parts:
                outputs = run_outputs(
                    model, samples_of(data, "test"), batch_size=inference_batch(), device=device,
                    crop=settings["crop"],
                )  # fmt: skip
                given = {key: torch.from_numpy(x) for key, x in outputs.items()}
                scored[name] = {
                    score: of_outputs({"score": score}, given, {}).numpy()
                    for score in settings["scores"]
                }
            for score in settings["scores"]:
                inside = scored[settings["id"]][score]
                for name in settings["test"]:
                    outside = scored[name][score]
                    known = {"score": score, "id_dataset": settings["id"], "ood_dataset": name}
                    known |= {"split": "test", "n_id": len(inside), "n_ood": len(outside)}
                    values = compare(inside, outside, **ways(settings))
                    rows = metrics.records(known, values)
                    found += [{"epoch": epoch, **row} for row in rows]
            advance()
        with (draft.folder / "epochs.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, COLUMNS, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
        draft.finish(rows={"epochs": len(weights)})
