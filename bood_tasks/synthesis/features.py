"""One pass of the encoder over the un-augmented training split, in index order.

Leaves: `features` float32 [n, d] with their raw norms, `labels`, `predictions`, `index`.
"""

import numpy as np
import torch
import zarr
from jaxtyping import Float, Int64

from bood_tasks.jobs.environment import inference_batch, pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.networks.resnet import ResNet
from bood_tasks.synthesis.cosine import cosine_logits
from bood_tasks.synthesis.encoder import load_encoder
from bood_tasks.training.predict import predict

VERSION = 1


def extract_features(
    model: ResNet,
    images: np.ndarray | zarr.Array,
    anchors: Float[np.ndarray, "v d"],
    *,
    batch_size: int,
    device: str,
    crop: int | None = None,
) -> tuple[Float[np.ndarray, "n d"], Int64[np.ndarray, " n"]]:
    """Return the raw features of images [n, h, w, 3] and the nearest anchor of each."""
    features = predict(model, images, batch_size=batch_size, device=device, crop=crop)
    cosines = cosine_logits(features, torch.from_numpy(anchors), temperature=1.0)
    return features.numpy(), cosines.argmax(1).numpy()


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    data = job.inputs["dataset"]
    features, predictions = extract_features(
        load_encoder(job.inputs["encoder"], device),
        data["train/images"],
        job.inputs["anchors"]["anchors"][:],
        batch_size=inference_batch(),
        device=device,
        crop=job.settings["crop"],
    )
    with job.draft() as draft:
        draft.save("features", features)
        draft.save("labels", data["train/labels"][:])
        draft.save("predictions", predictions)
        draft.save("index", data["train/index"][:])
        draft.finish(rows={"features": len(features)})
