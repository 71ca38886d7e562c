"""One pass of a trained detector over data sets: what every score but a few is computed from.

Leaves `<dataset>/<split>/<output>` float32, one row a picture: `logits`, `features`
(penultimate), `stage0` and so on, and whatever the method adds; with them `index` and, for the ID
data set, `labels`. For fits: the un-augmented training split alone.
"""

import numpy as np
import torch
import zarr
from torch import Tensor, nn

from bood_tasks.artifacts.store import Artifact
from bood_tasks.detectors.model import load_model
from bood_tasks.jobs.environment import inference_batch, pick_device
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.jobs.progress import progress
from bood_tasks.training.loading import samples_of
from bood_tasks.training.predict import predict

VERSION = 1


def run_outputs(
    model: nn.Module,
    images: np.ndarray | zarr.Array,
    *,
    batch_size: int,
    device: str,
    crop: int | None = None,
) -> dict[str, np.ndarray]:
    """Return a Method's named outputs of images [n, h, w, 3] or tokens [n, l], a row each.

    Raises ValueError if one is not finite.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def side_by_side(x: Tensor) -> Tensor:
        found = model.outputs(x)
        shapes.update({name: tuple(value.shape[1:]) for name, value in found.items()})
        return torch.cat([value.float().reshape(len(x), -1) for value in found.values()], 1)

    table = predict(side_by_side, images, batch_size=batch_size, device=device, crop=crop).numpy()
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = np.split(table, ends[:-1], axis=1)
    found = {
        name: part.reshape(-1, *shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
    for name, values in found.items():
        bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
        if bad.any():
            raise ValueError(
                f"the detector's {name} are not finite for {bad.sum()} pictures: it diverged; "
                "lower detector.lr"
            )
    return found


def splits(job: Job) -> list[tuple[str, str, Artifact]]:
    """Return (data set, split, artifact) of everything that a detector is run over."""
    named = zip(job.settings["datasets"], job.inputs["datasets"], strict=True)
    found = []
    for name, data in named:
        wanted = ("validation", "test") if name == job.settings["id"] else ("test",)
        wanted = ("train",) if job.settings.get("training") else wanted
        found += [(name, split, data) for split in wanted if split in data]
    return found


def _require_one_size(parts: list[tuple[str, str, Artifact]]) -> None:
    """Raise ValueError unless all pictures have the size of the first ones."""
    sizes = {
        f"{name}/{split}": data[f"{split}/images"].shape[1]
        for name, split, data in parts
        if f"{split}/images" in data
    }
    if len(set(sizes.values())) > 1:
        raise ValueError(f"pictures of all data sets must have one size, got {sizes} pixels a side")


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    model = load_model(job.inputs["detector"], device, job.source)
    parts, rows = splits(job), {}
    _require_one_size(parts)
    with job.draft() as draft, progress("outputs", len(parts), "data sets") as advance:
        for name, split, data in parts:
            found = run_outputs(
                model,
                samples_of(data, split),
                batch_size=inference_batch(),
                device=device,
                crop=job.settings["crop"],
            )
            for output, values in found.items():
                draft.save(f"{name}/{split}/{output}", values)
            draft.save(f"{name}/{split}/index", data[f"{split}/index"][:])
            if name == job.settings["id"]:
                draft.save(f"{name}/{split}/labels", data[f"{split}/labels"][:])
            rows[f"{name}/{split}"] = len(values)
            advance()
        draft.finish(rows=rows)
