"""Train the image encoder h: its features align with the class anchors (equation 2).

Enters: the ID data set and the anchors. Leaves: model.safetensors, model.json, curve.csv and
the accuracy of the cosine classifier on the validation split.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import zarr
from jaxtyping import Float
from torch import Tensor, nn

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.jobs import seeds
from bood_tasks.jobs.environment import inference_batch, pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.networks.resnet import ResNet
from bood_tasks.networks.weights import (
    initialised,
    read_weights,
    require_fitting,
    save_weights,
)
from bood_tasks.synthesis.cosine import cosine_logits, require_directions
from bood_tasks.training.augmentation import Aspects
from bood_tasks.training.curve import write_curve
from bood_tasks.training.fit import fit
from bood_tasks.training.loading import load_where_it_fits, require_labels, training_rows
from bood_tasks.training.predict import predict
from bood_tasks.training.recipe import Recipe, Step, optimiser

VERSION = 2


def train_encoder(
    images: np.ndarray | zarr.Array,
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
    aspects: Aspects | None = None,
) -> tuple[ResNet, list, float]:
    """Return the trained encoder and its loss curve.

    Loss: cross-entropy over cos(h(x), Gamma_j) / temperature (equation 2). `aspects`: of whole
    pictures, squashed.
    """
    model = initialised(
        lambda: ResNet(depth=depth, width=width, stem=stem, outputs=anchors.shape[1]),
        seeds.stream(seed, "encoder", "weights"),
    ).to(device)
    table = torch.from_numpy(anchors).to(device)

    def loss(net: nn.Module, x: Tensor, y: Tensor, _step: Step) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(cosine_logits(net(x), table, temperature=temperature), y)}

    curve, rate = fit(
        model,
        loss,
        load_where_it_fits(images, device),
        torch.from_numpy(labels),
        recipe,
        stage="encoder",
        seed=seed,
        checkpoint=checkpoint,
        aspects=aspects,
        optimisers=[optimiser(model.parameters(), recipe)],
    )
    return model, curve, rate


def load_encoder(artifact: Artifact, device: str) -> ResNet:
    """Return the trained encoder in evaluation mode."""
    model = ResNet(**artifact.json("model.json"))
    path = artifact.folder / "model.safetensors"
    model.load_state_dict(require_fitting(read_weights(path), model.state_dict(), path))
    return model.to(device, memory_format=torch.channels_last).eval()


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    settings, data = job.settings, job.inputs["dataset"]
    anchors, labels = job.inputs["anchors"]["anchors"][:], data["train/labels"][:]
    require_directions("anchors", torch.from_numpy(anchors), cure="make the anchors again")
    require_labels(labels, len(anchors), str(data.folder))
    fields = set(Recipe.__dataclass_fields__) & set(settings)
    recipe = Recipe(**{name: settings[name] for name in fields})
    shape = {name: settings[name] for name in ("depth", "width", "stem")}
    images, aspects = training_rows(data, recipe.augment)
    with job.draft() as draft:
        model, curve, rate = train_encoder(
            images,
            labels,
            anchors,
            recipe,
            **shape,
            temperature=settings["temperature"],
            seed=settings["seed"],
            checkpoint=draft.progress / "checkpoint.safetensors",
            device=device,
            aspects=aspects,
        )
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / "model.json", shape | {"outputs": anchors.shape[1]})
        write_curve(curve, draft.folder / "curve.csv")
        # a published data set may keep all its training pictures for training
        split = "validation" if "validation/images" in data else "test"
        features = predict(
            model,
            data[f"{split}/images"],
            batch_size=inference_batch(),
            device=device,
            crop=recipe.crop,
        )
        cosines = cosine_logits(features, torch.from_numpy(anchors), temperature=1.0)
        right = cosines.argmax(1).numpy() == data[f"{split}/labels"][:]
        write_json(draft.folder / "encoder.json", {"accuracy": {split: right.mean().item()}})
        draft.finish(facts={"images_per_second": round(rate, 1)})
