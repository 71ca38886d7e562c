"""Train the image encoder h: its features align with the class anchors (equation 2).

Enters: the ID data set and the anchors. Leaves: model.safetensors, model.json, curve.csv and
the accuracy of the cosine classifier on the validation split.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from bood_tasks import seeds
from bood_tasks.cosine import cosine_logits
from bood_tasks.environment import inference_batch, pick_device
from bood_tasks.networks import ResNet, initialised, save_weights
from bood_tasks.stage import read_job, run
from bood_tasks.store import Artifact, write_json
from bood_tasks.training import Recipe, fit, predict, to_pixels

VERSION = 1


def train_encoder(
    images: np.ndarray,
    labels: np.ndarray,
    anchors: Float[np.ndarray, "v d"],
    recipe: Recipe,
    *,
    depth: int,
    width: int,
    stem: str,
    temperature: float,
    seed: int,
    checkpoint: Path,
    device: str,
) -> tuple[ResNet, list]:
    """Return the trained encoder and its loss curve.

    Loss: cross-entropy over cos(h(x), Gamma_j) / temperature (equation 2).
    """
    model = initialised(
        lambda: ResNet(depth=depth, width=width, stem=stem, outputs=anchors.shape[1]),
        seeds.stream(seed, "encoder", "weights"),
    ).to(device)
    table = torch.from_numpy(anchors).to(device)

    def loss(net: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(cosine_logits(net(x), table, temperature=temperature), y)}

    curve = fit(
        model,
        loss,
        to_pixels(images, device),
        torch.from_numpy(labels),
        recipe,
        stage="encoder",
        seed=seed,
        checkpoint=checkpoint,
    )
    return model, curve


def load_encoder(artifact: Artifact, device: str) -> ResNet:
    """Return the trained encoder in evaluation mode."""
    model = ResNet(**artifact.json("model.json"))
    model.load_state_dict(load_file(artifact.folder / "model.safetensors"))
    return model.to(device, memory_format=torch.channels_last).eval()


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    settings, data = job.settings, job.inputs["dataset"]
    anchors = job.inputs["anchors"]["anchors"][:]
    recipe = Recipe(**{name: settings[name] for name in Recipe.__dataclass_fields__})
    shape = {name: settings[name] for name in ("depth", "width", "stem")}
    with job.draft() as draft:
        model, curve = train_encoder(
            data["train/images"][:],
            data["train/labels"][:],
            anchors,
            recipe,
            **shape,
            temperature=settings["temperature"],
            seed=settings["seed"],
            checkpoint=draft.progress / "checkpoint.safetensors",
            device=device,
        )
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / "model.json", shape | {"outputs": anchors.shape[1]})
        pd.DataFrame(curve).to_csv(draft.folder / "curve.csv", index=False)
        features = predict(
            model, data["validation/images"][:], batch_size=inference_batch(), device=device
        )
        cosines = cosine_logits(features, torch.from_numpy(anchors), temperature=1.0)
        right = cosines.argmax(1).numpy() == data["validation/labels"][:]
        write_json(draft.folder / "encoder.json", {"accuracy": {"validation": right.mean().item()}})
        draft.finish()


if __name__ == "__main__":
    run(main)
