"""Train the classifier that detects: cross-entropy plus beta times the OOD term (equation 7).

Enters: the ID data set and, unless it is the CE baseline, outliers: generated image shards or a
data set. Leaves: model.safetensors, model.json, curve.csv and the validation accuracy.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import torch
import torch.nn.functional as F
import zarr
from jaxtyping import Float, Int64, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

from bood_tasks import seeds
from bood_tasks.environment import inference_batch, pick_device, run_setting
from bood_tasks.loading import place
from bood_tasks.networks import ResNet, initialised, save_weights
from bood_tasks.pictures import fit_picture
from bood_tasks.stage import Job, read_job, run
from bood_tasks.store import Artifact, write_json
from bood_tasks.training import Recipe, fit, predict

VERSION = 2
PHI_HIDDEN = 512
ROWS_AT_ONCE = 100  # an image shard's file block


class Increasing(nn.Module):
    """phi(E) = (0, softplus(a) E + b): logistic regression that cannot turn the energy round."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, energies: Float[Tensor, "b 1"]) -> Float[Tensor, "b 2"]:
        logit = F.softplus(self.slope) * energies + self.offset
        return torch.cat([torch.zeros_like(logit), logit], dim=1)


class Detector(nn.Module):
    """A classifier and phi, which reads the energy.

    `mlp`: 1 -> 512 -> ReLU -> 2, the papers'. Nothing in equation 7 makes it increasing: it may
    learn "low energy is ID", and the energy score is then the wrong way round, with an AUROC far
    below one half. `linear` may do the same. `increasing` cannot.
    """

    def __init__(self, *, depth: int, width: int, stem: str, outputs: int, phi: str | None):
        super().__init__()
        self.classifier = ResNet(depth=depth, width=width, stem=stem, outputs=outputs)
        self.phi: nn.Module | None = None
        if phi == "mlp":
            self.phi = nn.Sequential(nn.Linear(1, PHI_HIDDEN), nn.ReLU(), nn.Linear(PHI_HIDDEN, 2))
        elif phi == "linear":
            self.phi = nn.Linear(1, 2)
        elif phi == "increasing":
            self.phi = Increasing()

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b v"]:
        return self.classifier(x)


def energy(logits: Float[Tensor, "b v"]) -> Float[Tensor, " b"]:
    """Return logsumexp of the logits; larger = more ID (the negative of the physical sign)."""
    return logits.logsumexp(1)


def ood_loss(
    phi_logits: Float[Tensor, "b 2"], is_id: Int64[Tensor, " b"], *, reduction: str
) -> Float[Tensor, ""]:
    """Return equation 7's OOD term: cross-entropy of phi(E) with label 1 for ID, 0 for OOD.

    `mean` averages over all rows (the reference code's, in which beta was tuned); `sum` adds the
    ID rows' mean and the OOD rows' mean as the paper writes it: twice `mean` for equal batches.
    """
    each = F.cross_entropy(phi_logits, is_id, reduction="none")
    if reduction == "mean":
        return each.mean()
    return each[is_id == 1].mean() + each[is_id == 0].mean()


def train_detector(
    images: np.ndarray | zarr.Array,
    labels: np.ndarray,
    outliers: np.ndarray | zarr.Array | None,
    recipe: Recipe,
    *,
    depth: int,
    width: int,
    stem: str,
    classes: int,
    seed: int,
    checkpoint: Path,
    device: str,
    ood_weight: float = 0.0,
    reduction: str = "mean",
    phi: str | None = None,
    start: Detector | None = None,
) -> tuple[Detector, list, float]:
    """Return the trained detector, its loss curve (terms loss, ce and, with outliers, ood) and
    the pictures a second.

    ID and OOD rows share one forward pass, hence one set of batch-norm statistics. The start
    depends on the seed alone, so rows of one table differ by their outliers only; with `start`,
    the classifier goes on from a trained one and phi is new.
    """
    model = initialised(
        lambda: Detector(depth=depth, width=width, stem=stem, outputs=classes, phi=phi),
        seeds.stream(seed, "detector", "weights"),
    ).to(device)

    if start is not None:
        model.classifier.load_state_dict(start.classifier.state_dict())

    def loss(net: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        logits = net(x)
        ce = F.cross_entropy(logits[: len(y)], y)
        if outliers is None:
            return {"loss": ce}
        is_id = (torch.arange(len(x), device=x.device) < len(y)).long()
        ood = ood_loss(net.phi(energy(logits)[:, None]), is_id, reduction=reduction)
        return {"loss": ce + ood_weight * ood, "ce": ce, "ood": ood}

    curve, rate = fit(
        model,
        loss,
        place(images, device),
        torch.from_numpy(labels),
        recipe,
        stage="detector",
        seed=seed,
        checkpoint=checkpoint,
        outliers=None if outliers is None else place(outliers, device),
    )
    return model, curve, rate


def load_detector(artifact: Artifact, device: str) -> Detector:
    """Return a trained detector in evaluation mode."""
    model = Detector(**artifact.json("model.json"))
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


def _start(job: Job, network: dict, device: str) -> Detector | None:
    """Return the detector to start from; raises ValueError if it is another network."""
    if "start" not in job.inputs:
        return None
    given = job.inputs["start"].json("model.json")
    different = {key: given[key] for key in network if key != "phi" and given[key] != network[key]}
    if different:
        raise ValueError(
            f"detector.start must name a row with the same network, got one with {different}; "
            "give that row the same detector settings"
        )
    return load_detector(job.inputs["start"], device)


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    settings, data = job.settings, job.inputs["dataset"]
    facts = data.json("dataset.json")
    recipe = Recipe(**{name: settings[name] for name in Recipe.__dataclass_fields__})
    shape = {name: settings[name] for name in ("depth", "width", "stem")}
    ood = {name: settings[name] for name in ("ood_weight", "reduction", "phi") if name in settings}
    network = shape | {"outputs": len(facts["classes"]), "phi": settings.get("phi")}
    with job.draft() as draft:
        model, curve, rate = train_detector(
            data["train/images"],
            data["train/labels"][:],
            _outliers(job, facts),
            recipe,
            **shape,
            **ood,
            classes=len(facts["classes"]),
            seed=settings["seed"],
            checkpoint=draft.progress / "checkpoint.safetensors",
            device=device,
            start=_start(job, network, device),
        )
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / "model.json", network)
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
