"""Train the classifier that detects, by the row's method (method.py).

Enters: the ID data set and, for methods that take them, outliers: generated image shards or a
data set. Leaves: model.safetensors, method.json, curve.csv and the validation accuracy.
"""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import torch
import zarr
from jaxtyping import UInt8
from safetensors.torch import load_file
from torch import Tensor

from bood_tasks import seeds
from bood_tasks.environment import inference_batch, pick_device, run_setting
from bood_tasks.loading import place
from bood_tasks.method import Method
from bood_tasks.networks import ResNet, initialised, save_weights
from bood_tasks.pictures import fit_picture
from bood_tasks.stage import Job, read_job, run
from bood_tasks.store import Artifact, write_json
from bood_tasks.training import Recipe, fit, predict

VERSION = 3
ROWS_AT_ONCE = 100  # an image shard's file block
FILE = "method.json"


def method_class(module: str, source: str = "") -> type[Method]:
    """Return the class that a training module names METHOD: the package's, or the file's.

    Raises ValueError if there is none.
    """
    if source:
        found = importlib.util.spec_from_file_location(module, source)
        loaded = importlib.util.module_from_spec(found)
        found.loader.exec_module(loaded)
    else:
        loaded = importlib.import_module(f"bood_tasks.{module}")
    method = getattr(loaded, "METHOD", None)
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise ValueError(
            f"methods.{module}.module must name a subclass of bood_tasks.method.Method METHOD, "
            f"got {method!r} in {source or loaded.__name__}; end it with `METHOD = <class>`"
        )
    return method


def build(description: Mapping, source: str = "") -> Method:
    """Return the untrained network that `method.json` describes."""
    shape = {name: description[name] for name in ("depth", "width", "stem")}
    network = ResNet(**shape, outputs=description["classes"])
    method = method_class(description["method"], source)
    return method(network, classes=description["classes"], **description["settings"])


def train_detector(
    images: np.ndarray | zarr.Array,
    labels: np.ndarray,
    outliers: np.ndarray | zarr.Array | None,
    recipe: Recipe,
    description: Mapping,
    *,
    seed: int,
    checkpoint: Path,
    device: str,
    start: Mapping[str, Tensor] | None = None,
    source: str = "",
) -> tuple[Method, list, float]:
    """Return the trained detector, its loss curve (the terms of its method's loss) and the
    pictures a second.

    The start depends on the seed alone, so rows of one table differ by their method and outliers
    only; with `start`, the classifier goes on from a trained one's weights and the rest is new.
    """
    model = initialised(
        lambda: build(description, source), seeds.stream(seed, "detector", "weights")
    ).to(device)
    if start is not None:
        own = {f"network.{name}" for name in model.network.state_dict()}
        model.load_state_dict({name: start[name] for name in own & set(start)}, strict=False)
    curve, rate = fit(
        model,
        lambda net, x, y, step: net.loss(x, y, step),
        place(images, device),
        torch.from_numpy(labels),
        recipe,
        stage="detector",
        seed=seed,
        checkpoint=checkpoint,
        outliers=None if outliers is None else place(outliers, device),
        optimisers=model.optimisers(lr=recipe.lr, weight_decay=recipe.weight_decay),
    )
    return model, curve, rate


def load_model(artifact: Artifact, device: str, source: str = "") -> Method:
    """Return a trained network in evaluation mode; a method of one's own needs its `source`."""
    model = build(artifact.json(FILE), source)
    model.load_state_dict(load_file(artifact.folder / "model.safetensors"))
    return model.to(device, memory_format=torch.channels_last).eval()


def resized_outliers(
    arrays: Sequence[np.ndarray | zarr.Array], *, size: int, kernel: str
) -> UInt8[np.ndarray, "n s s 3"]:
    """Return decoded pictures at the training resolution, each resized once, antialiased.

    Read block by block: 100,000 pictures of 256 pixels would be 20 GB.
    """
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


def _outliers(job: Job, facts: dict) -> np.ndarray | zarr.Array | None:
    """Return the outliers at the training resolution, if the row has any."""
    if "outliers" in job.inputs:
        return job.inputs["outliers"]["test/images"]
    if "images" not in job.inputs:
        return None
    shards = [shard["images"] for shard in job.inputs["images"]]
    return resized_outliers(shards, size=facts["size"], kernel=facts["kernel"])


def _start(job: Job, description: dict) -> dict[str, Tensor] | None:
    """Return the weights to start from; raises ValueError if they are another network's."""
    if "start" not in job.inputs:
        return None
    given = job.inputs["start"].json(FILE)
    shape = ("depth", "width", "stem", "classes")
    different = {key: given[key] for key in shape if given[key] != description[key]}
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
    recipe = Recipe(**{name: settings[name] for name in Recipe.__dataclass_fields__})
    description = {name: settings[name] for name in ("depth", "width", "stem")} | {
        "classes": len(facts["classes"]),
        "method": settings["method"],
        "settings": settings["method_settings"],
    }
    with job.draft() as draft:
        model, curve, rate = train_detector(
            data["train/images"],
            data["train/labels"][:],
            _outliers(job, facts),
            recipe,
            description,
            seed=settings["seed"],
            checkpoint=draft.progress / "checkpoint.safetensors",
            device=device,
            start=_start(job, description),
            source=job.source,
        )
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / FILE, description)
        pd.DataFrame(curve).to_csv(draft.folder / "curve.csv", index=False)
        split = "validation" if "validation/images" in data else "test"
        logits = predict(
            model,
            data[f"{split}/images"],
            batch_size=inference_batch(),
            device=device,
            crop=recipe.crop,
        )
        right = (logits.argmax(1).numpy() == data[f"{split}/labels"][:]).mean().item()
        write_json(draft.folder / "detector.json", {"accuracy": {split: right}})
        draft.finish(facts={"images_per_second": round(rate, 1)})


if __name__ == "__main__":
    run(main)
