"""Train the classifier that detects, by the row's method (method.py).

Enters: the ID data set, pictures or tokens, and, for methods that take them, outliers: shards that
were generated, or data sets, each source with its share. Leaves: model.safetensors, method.json,
curve.csv, the validation accuracy and, with `snapshots`, the weights after every epoch in epochs/.
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
from bood_tasks.method import Method, Recipe
from bood_tasks.networks import initialised, network, save_weights
from bood_tasks.pictures import fit_picture
from bood_tasks.stage import Job, read_job, run
from bood_tasks.store import Artifact, write_json
from bood_tasks.training import fit, is_text, predict

VERSION = 4
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
    method = method_class(description["method"], source)
    settings = description["settings"]
    return method(network(description), classes=description["classes"], **settings)


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
    start: Mapping[str, Tensor] | None = None,
    snapshots: Path | None = None,
    source: str = "",
) -> tuple[Method, list, float]:
    """Return the trained detector, its loss curve (the terms of its method's loss) and the
    pictures or texts a second. `outliers`: sources and their shares of what is shown.

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
        outliers=[(place(rows, device), share) for rows, share in outliers],
        snapshots=snapshots,
        optimisers=model.optimisers(recipe),
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


def rows_of(artifact: Artifact, part: str = "") -> zarr.Array:
    """Return a split's pictures or tokens, or those of an artifact that has no splits."""
    place = f"{part}/" if part else ""
    return artifact[f"{place}images" if f"{place}images" in artifact else f"{place}tokens"]


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


def _outliers(job: Job, facts: Mapping) -> list[tuple[np.ndarray | zarr.Array, float]]:
    """Return each source's outliers, at the training resolution or length, and its share."""
    found, left = [], list(job.inputs.get("outliers", ()))
    for source in job.settings.get("sources", ()):
        own, left = left[: source["artifacts"]], left[source["artifacts"] :]
        arrays = first_rows(
            [rows_of(item, "test" if "test" in item else "") for item in own], source["count"]
        )
        if is_text(arrays[0]):
            rows = np.concatenate([array[:] for array in arrays])
            for item in own:
                _require_same_words(item, facts, rows)
        elif len(arrays) == 1 and arrays[0].shape[1] == facts["size"]:
            rows = arrays[0]
        else:
            rows = resized_outliers(arrays, size=facts["size"], kernel=facts["kernel"])
        found.append((rows, source["weight"]))
    return found


def _start(job: Job, description: Mapping) -> dict[str, Tensor] | None:
    """Return the weights to start from; raises ValueError if they are another network's."""
    if "start" not in job.inputs:
        return None
    given = job.inputs["start"].json(FILE)
    shape = set(description) - {"method", "settings"}
    different = {key: given.get(key) for key in shape if given.get(key) != description[key]}
    if different:
        raise ValueError(
            f"detector.start must name a row with the same network, got one with {different}; "
            "give that row the same detector settings"
        )
    return load_file(job.inputs["start"].folder / "model.safetensors")


def network_description(settings: Mapping, facts: Mapping) -> dict:
    """Return what networks.network builds from, for the ID data set's classes and words."""
    keys = ("network", "depth", "width", "stem", "dropout", "embedding", "hidden", "layers")
    found = {key: settings[key] for key in keys if key in settings}
    if "vocabulary_size" in facts:
        found["vocabulary"] = facts["vocabulary_size"]
    return found | {"classes": len(facts["classes"])}


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
    with job.draft() as draft:
        snapshots = draft.folder / "epochs" if settings["snapshots"] else None
        if snapshots:
            snapshots.mkdir(exist_ok=True)
        model, curve, rate = train_detector(
            rows_of(data, "train"),
            data["train/labels"][:],
            _outliers(job, facts),
            recipe,
            description,
            seed=settings["seed"],
            checkpoint=draft.progress / "checkpoint.safetensors",
            device=device,
            start=_start(job, description),
            snapshots=snapshots,
            source=job.source,
        )
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / FILE, description)
        pd.DataFrame(curve).to_csv(draft.folder / "curve.csv", index=False)
        split = "validation" if "validation" in data else "test"
        logits = predict(
            model,
            rows_of(data, split),
            batch_size=inference_batch(),
            device=device,
            crop=recipe.crop,
        )
        right = (logits.argmax(1).numpy() == data[f"{split}/labels"][:]).mean().item()
        write_json(draft.folder / "detector.json", {"accuracy": {split: right}})
        draft.finish(facts={"images_per_second": round(rate, 1)})


if __name__ == "__main__":
    run(main)
