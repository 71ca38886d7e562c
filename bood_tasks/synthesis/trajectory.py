"""One feature's way across the decision boundary, decoded at every step (the paper's Figure 2).

Leaves: `images` uint8 [t, h, w, 3], `probabilities` float32 [t, v], `predictions` [t]. All
pictures share one noise, so what changes is the vector alone.
"""

import numpy as np
import torch

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.generators.text_to_image.interface import open_generator
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.synthesis.cosine import cosine_logits
from bood_tasks.synthesis.crossing import crossing_rows, way_out
from bood_tasks.synthesis.images import decode_vectors
from bood_tasks.synthesis.ood_features import rescale_vectors
from bood_tasks.synthesis.overshoot import own_margins
from bood_tasks.synthesis.shards import item_streams
from bood_tasks.synthesis.step_size import stepping_of

VERSION = 2
STEPS_WANTED = 6


def choose_row(steps: np.ndarray, crossed: np.ndarray) -> int:
    """Return the first row that crosses in STEPS_WANTED steps, else the nearest to that."""
    usable = crossing_rows(steps, crossed)
    return int(usable[np.argmin(np.abs(steps[usable] - STEPS_WANTED))])


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    settings = job.settings
    features, distances = job.inputs["features"], job.inputs["distances"]
    anchors = torch.from_numpy(job.inputs["anchors"]["anchors"][:])
    names = job.inputs["anchors"].json("anchors.json")["classes"]
    steps = distances["steps"][:]
    known = distances["exact"][:] if "exact" in distances else True  # else a lower bound
    row = choose_row(steps, distances["crossed"][:] & known)
    label = int(features["labels"][row])
    feature = torch.from_numpy(features["features"][row : row + 1])
    stepping = stepping_of(settings, distances)
    if stepping.feature_space == "unit":
        feature = feature / feature.norm()
    target = None
    if "overshoot" in settings:
        of_all = distances["margin"][:], features["labels"][:], names
        target = own_margins(*of_all, settings["overshoot"])[label]
    path = way_out(
        feature, label, anchors, stepping, settings, steps=int(steps[row]), target=target
    )
    probabilities = cosine_logits(path, anchors, temperature=stepping.temperature).softmax(1)
    vectors = rescale_vectors(
        path, anchors[label].norm().expand(len(path)), rescale=settings["rescale"]
    )
    generator = open_generator(
        job.inputs["generator"], device, dtype=settings["dtype"], scheduler=settings["scheduler"]
    )
    count = len(path)  # each the same item, with the same noise
    streams = item_streams(settings["seed"], "images", [names[label]] * count, [0] * count)
    images = decode_vectors(generator, vectors, streams, settings)
    with job.draft() as draft:
        draft.save("images", images.cpu().numpy())
        draft.save("probabilities", probabilities.numpy())
        draft.save("predictions", probabilities.argmax(1).numpy())
        write_json(
            draft.folder / "trajectory.json",
            {
                "class": names[label],
                "row": row,
                "crossed_at": int(steps[row]),
                "step_size": stepping.step_size,
            },
        )
        draft.finish(rows={"images": len(images)})
