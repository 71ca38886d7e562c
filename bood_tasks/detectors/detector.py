"""Train the classifier that detects, by the row's method (method.py).

Enters: the ID data set, pictures or tokens, and, for methods that take them, outliers: shards that
were generated, or data sets, each source with its share. Leaves: model.safetensors, method.json,
curve.csv, the validation accuracy and, with `snapshots`, the weights after every epoch in epochs/.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import zarr
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.detectors.method import Method
from bood_tasks.detectors.model import (
    DESCRIPTION,
    build,
    keep_network,
    network_description,
    network_files,
)
from bood_tasks.detectors.nearness import known_of_outliers
from bood_tasks.detectors.outliers import open_mixing, open_outliers
from bood_tasks.jobs import seeds
from bood_tasks.jobs.environment import inference_batch, pick_device
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.networks.weights import initialised, save_weights
from bood_tasks.training.augmentation import Aspects
from bood_tasks.training.curve import write_curve
from bood_tasks.training.fit import fit
from bood_tasks.training.loading import (
    load_where_it_fits,
    require_labels,
    samples_of,
    training_rows,
)
from bood_tasks.training.predict import predict
from bood_tasks.training.recipe import Recipe
from bood_tasks.training.trained import doubts, steps_of

VERSION = 4


def train_detector(
    images: np.ndarray | zarr.Array,
    labels: np.ndarray,
    outliers: Sequence[tuple[np.ndarray | zarr.Array, float]],
    recipe: Recipe,
    description: Mapping,
    *,
    seed: int,
    checkpoint: Path,
    device: str,
    aspects: Aspects | None = None,
    known: Sequence[Float[Tensor, "_ k"]] = (),
    mixing: tuple[np.ndarray | zarr.Array, Mapping] | None = None,
    start: Mapping[str, Tensor] | None = None,
    snapshots: Path | None = None,
    keep: Callable[[Path], object] = lambda path: None,
    source: str = "",
    files: Path | None = None,
) -> tuple[Method, list, float]:
    """Return the trained detector, its loss curve (the terms of its method's loss) and the
    pictures or texts a second. `outliers`: sources and their shares of what is shown. `known`: of
    each source, what nearness.py tells of its outliers, if the method reads that. `aspects`: of
    whole ID pictures, squashed. `mixing`: pictures that are mixed into the ID ones, and how.
    `files`: the folder of a network of somebody else's.

    The start depends on the seed alone, so rows of one table differ by their method and outliers
    only; with `start`, the classifier goes on from a trained one's weights and the rest is new.
    """
    model = initialised(
        lambda: build(description, source, files), seeds.stream(seed, "detector", "weights")
    ).to(device)
    if start is not None:
        own = {f"network.{name}" for name in model.network.state_dict()}
        model.load_state_dict({name: start[name] for name in own & set(start)}, strict=False)
    curve, rate = fit(
        model,
        lambda net, x, y, step: net.loss(x, y, step),
        load_where_it_fits(images, device),
        torch.from_numpy(labels),
        recipe,
        stage="detector",
        seed=seed,
        checkpoint=checkpoint,
        aspects=aspects,
        outliers=[(load_where_it_fits(rows, device), share) for rows, share in outliers],
        known=known,
        mixing=mixing and (load_where_it_fits(mixing[0], device), mixing[1]),
        snapshots=snapshots,
        keep=keep,
        optimisers=model.optimisers(recipe),
    )
    return model, curve, rate


def _start(job: Job, description: Mapping) -> dict[str, Tensor] | None:
    """Return the weights to start from; raises ValueError if they are another network's."""
    if "start" not in job.inputs:
        return None
    given = job.inputs["start"].json(DESCRIPTION)
    shape = set(description) - {"method", "settings"}
    different = {key: given.get(key) for key in shape if given.get(key) != description[key]}
    if different:
        raise ValueError(
            f"detector.start must name a row with the same network, got one with {different}; "
            "give that row the same detector settings"
        )
    return load_file(job.inputs["start"].folder / "model.safetensors")


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    settings, data = job.settings, job.inputs["dataset"]
    facts = data.json("dataset.json")
    fields = set(Recipe.__dataclass_fields__) & set(settings)
    recipe = Recipe(**{name: settings[name] for name in fields})
    description = network_description(settings, facts) | {
        "method": settings["method"],
        "settings": settings["method_settings"],
    }
    labels = data["train/labels"][:]
    require_labels(labels, description["classes"], str(data.folder))
    images, aspects = training_rows(data, recipe.augment)
    with job.draft() as draft:
        snapshots = draft.folder / "epochs" if settings["snapshots"] else None
        if snapshots:
            snapshots.mkdir(exist_ok=True)
        outliers = open_outliers(job, facts)
        model, curve, rate = train_detector(
            images,
            labels,
            outliers,
            recipe,
            description,
            seed=settings["seed"],
            checkpoint=draft.progress / "checkpoint.safetensors",
            device=device,
            aspects=aspects,
            known=known_of_outliers(
                job, [rows.shape[0] for rows, _ in outliers], len(facts["classes"])
            ),
            mixing=open_mixing(job, facts),
            start=_start(job, description),
            snapshots=snapshots,
            keep=draft.keep,
            source=job.source,
            files=network_files(job),
        )
        keep_network(job, draft)
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / DESCRIPTION, description)
        write_curve(curve, draft.folder / "curve.csv")
        split = "validation" if "validation" in data else "test"
        logits = predict(
            model,
            samples_of(data, split),
            batch_size=inference_batch(),
            device=device,
            crop=recipe.crop,
        )
        right = (logits.argmax(1).numpy() == data[f"{split}/labels"][:]).mean().item()
        write_json(draft.folder / "detector.json", {"accuracy": {split: right}})
        steps = steps_of(
            images.shape[0], epochs=recipe.epochs, batch_size=recipe.batch_size, steps=recipe.steps
        )
        why = doubts(
            accuracy=right,
            classes=len(facts["classes"]),
            steps=None if "start" in job.inputs else steps,
        )
        if why:
            print(
                f"warning: the detector is hardly trained: {'; '.join(why)}; raise detector.epochs "
                "(auto looks at the number of pictures)",
                file=sys.stderr,
            )
        draft.finish(facts={"images_per_second": round(rate, 1)})
