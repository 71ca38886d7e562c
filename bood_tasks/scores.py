"""Score every sample of every data set with one trained detector.

Leaves: `<dataset>/<split>/<score>` float32 [n], larger = more ID, and for the ID data set
`<id>/<split>/correct`. Every metric is computed from these.
"""

from collections.abc import Callable

import numpy as np
import torch
import zarr
from jaxtyping import Float
from torch import Tensor

from bood_tasks.detector import energy, load_detector
from bood_tasks.environment import inference_batch, pick_device
from bood_tasks.progress import progress
from bood_tasks.stage import read_job, run
from bood_tasks.training import predict

VERSION = 1


def msp(logits: Float[Tensor, "b v"]) -> Float[Tensor, " b"]:
    """Return the maximum softmax probability (Hendrycks & Gimpel 2017)."""
    return logits.softmax(1).amax(1)


SCORES: dict[str, Callable[[Tensor], Tensor]] = {"msp": msp, "energy": energy}


def score_images(
    model: torch.nn.Module,
    images: np.ndarray | zarr.Array,
    names: list[str],
    *,
    batch_size: int,
    device: str,
    crop: int | None = None,
) -> tuple[dict[str, Float[np.ndarray, " n"]], Float[np.ndarray, "n v"]]:
    """Return each named score of images [n, h, w, 3], and the logits.

    Raises ValueError if a score is not finite.
    """
    logits = predict(model, images, batch_size=batch_size, device=device, crop=crop)
    found = {name: SCORES[name](logits).numpy() for name in names}
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise ValueError(f"score {name} is not finite for {(~np.isfinite(values)).sum()} rows")
    return found, logits.numpy()


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    model = load_detector(job.inputs["detector"], device)
    datasets = dict(zip(job.settings["datasets"], job.inputs["datasets"], strict=True))
    parts = [
        (name, split, data)
        for name, data in datasets.items()
        for split in (("validation", "test") if name == job.settings["id"] else ("test",))
        if f"{split}/images" in data
    ]
    rows = {}
    with job.draft() as draft, progress("scores", len(parts), "data sets") as advance:
        for name, split, data in parts:
            found, logits = score_images(
                model,
                data[f"{split}/images"],
                job.settings["scores"],
                batch_size=inference_batch(),
                device=device,
                crop=job.settings["crop"],
            )
            for score, values in found.items():
                draft.save(f"{name}/{split}/{score}", values)
            draft.save(f"{name}/{split}/index", data[f"{split}/index"][:])
            if name == job.settings["id"]:
                right = logits.argmax(1) == data[f"{split}/labels"][:]
                draft.save(f"{name}/{split}/correct", right)
            rows[f"{name}/{split}"] = len(logits)
            advance()
        draft.finish(rows=rows)


if __name__ == "__main__":
    run(main)
