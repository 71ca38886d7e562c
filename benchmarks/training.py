"""Our training step against a plain PyTorch loop with PIL pictures, in one process.

    PYTHONPATH=. python benchmarks/training.py                  # CPU, small
    PYTHONPATH=. python benchmarks/training.py --device cuda    # ResNet-34, 50,000 x 32 pixels

The peer: a Dataset of PIL pictures with torchvision's RandomCrop, flip, ToTensor and Normalize, a
DataLoader with workers, float32, SGD, `.item()` at every step. Same network, rows and batch. On a
GPU ours is bf16 (so precision is part of the ratio, which is said) and compiled where run.compile
says so (auto: where it pays). --outliers adds equally many OOD rows to every batch of ours and
times Eq. 7's loss. Epochs are measured (at least three of ours on a GPU) and extrapolated to
--total-epochs. The last line is JSON.
"""

import argparse
import json
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from bood_tasks.detectors.model import build
from bood_tasks.networks.flops import resnet_flops
from bood_tasks.networks.pixels import MEAN, STD
from bood_tasks.networks.resnet import ResNet
from bood_tasks.networks.weights import initialised
from bood_tasks.training.fit import fit
from bood_tasks.training.loading import load_where_it_fits
from bood_tasks.training.recipe import Recipe

BACKWARD = 3  # operations of a step, in forward passes
CLASSES = 100
EQUATION_7 = {"ood_weight": 2.5, "reduction": "mean", "phi": "mlp"}


def pictures(rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random pictures and labels: speed does not depend on them."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)
    return images, random.integers(0, classes, rows)


class PilPictures(torch.utils.data.Dataset):
    """What a plain training script has: PIL pictures and torchvision's transforms."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        from torchvision import transforms

        self.pictures = [PIL.Image.fromarray(image) for image in images]
        self.labels = labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([MEAN] * 3, [STD] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, row: int):
        return self.transform(self.pictures[row]), int(self.labels[row])


def peer_epoch_seconds(
    images: np.ndarray, labels: np.ndarray, shape: dict, batch: int, device: str, workers: int
) -> float:
    """Return the seconds of one epoch of the plain loop, its first steps left out."""
    model = ResNet(**shape, outputs=CLASSES).to(device)
    optimiser = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    loader = torch.utils.data.DataLoader(
        PilPictures(images, labels), batch, shuffle=True, num_workers=workers,
        pin_memory=device == "cuda",
    )  # fmt: skip
    warm, steps, start = 3, 0, time.perf_counter()
    for step, (x, y) in enumerate(loader):
        if step == warm:
            start = time.perf_counter()
        loss = F.cross_entropy(model(x.to(device)), y.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
        steps += step >= warm
    return (time.perf_counter() - start) / max(steps, 1) * len(loader)


class Ours:
    """A network of ours, and its trainings as the stages do them."""

    def __init__(self, shape: dict, recipe: Recipe, device: str, *, ood: bool):
        description = {
            "network": "resnet", **shape, "classes": CLASSES,
            "method": "energy_regulariser" if ood else "cross_entropy",
            "settings": EQUATION_7 if ood else {},
        }  # fmt: skip
        self.model = initialised(lambda: build(description), 0).to(device)
        self.recipe, self.device, self.ood = recipe, device, ood

    def seconds(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Return how long the recipe's epochs take; with as many outliers for `ood`."""
        held, outliers = load_where_it_fits(images, self.device), []
        if self.ood:
            outliers = [(load_where_it_fits(images[::-1].copy(), self.device), 1.0)]

        def loss(net, x, y, step):
            return net.loss(x, y, step)

        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            fit(
                self.model, loss, held, torch.from_numpy(labels), self.recipe,
                stage="detector", seed=0, checkpoint=Path(folder) / "c", outliers=outliers,
                optimisers=self.model.optimisers(self.recipe),
            )  # fmt: skip
            if self.device == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - start


def our_epoch_seconds(
    images: np.ndarray, labels: np.ndarray, shape: dict, recipe: Recipe, device: str, ood: bool
) -> tuple[float, float]:
    """Return the seconds of one epoch of ours, the first steps left out, and those of these."""
    few, ours = 4 * recipe.batch_size, Ours(shape, recipe, device, ood=ood)
    ours.recipe = replace(recipe, epochs=1)
    first = ours.seconds(images[:few], labels[:few])
    ours.recipe = recipe
    return ours.seconds(images, labels) / recipe.epochs, first


def measure(
    *, device: str, rows: int, depth: int, width: int, batch: int, epochs: int, total_epochs: int,
    ood: bool, workers: int,
) -> dict:  # fmt: skip
    """Return seconds of a whole training of ours and of the peer, extrapolated."""
    images, labels = pictures(rows, CLASSES)
    shape = {"depth": depth, "width": width, "stem": "cifar"}
    recipe = Recipe(
        epochs=epochs, batch_size=batch, lr=0.1, weight_decay=5e-4, crop_padding=4, flip=True,
        clip_norm=1.0, precision="bf16" if device == "cuda" else "fp32",
    )  # fmt: skip
    ours, first = our_epoch_seconds(images, labels, shape, recipe, device, ood)
    peer = peer_epoch_seconds(images, labels, shape, batch, device, workers)
    passes = rows * (2 if ood else 1)
    flops = BACKWARD * passes * resnet_flops(**shape, outputs=CLASSES, size=32)
    return {
        "benchmark": "detector training" if ood else "encoder training",
        "seconds": round(ours * total_epochs, 2),
        "peer": "plain loop with PIL loader on the ID rows alone, float32",
        "peer_seconds": round(peer * total_epochs, 2),
        "ratio": round(peer * (2 if ood else 1) / ours, 2),
        "ratio_counts": "the peer's time doubled for the OOD rows" if ood else "equal rows",
        "extrapolated": f"from {epochs} epochs to {total_epochs}",
        "epoch_seconds": round(ours, 3),
        "first_run_seconds": round(first, 2),
        "images_per_second": round(passes / ours, 1),
        "tflops": round(flops / ours / 1e12, 4),
        "precision": recipe.precision,
        "settings": {"rows": rows, "depth": depth, "width": width, "batch": batch},
    }


def main() -> None:
    from machine import machine

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rows", type=int, help="default 50,000 on a GPU, 1,024 on the CPU")
    parser.add_argument("--width", type=int, help="default 64 on a GPU, 8 on the CPU")
    parser.add_argument("--depth", type=int, help="default 34 on a GPU, 18 on the CPU")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--total-epochs", type=int, default=200)
    parser.add_argument("--outliers", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="of the peer's loader")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    on_gpu = options.device == "cuda"
    record = measure(
        device=options.device,
        rows=options.rows or (50_000 if on_gpu else 1024),
        depth=options.depth or (34 if on_gpu else 18),
        width=options.width or (64 if on_gpu else 8),
        batch=options.batch,
        epochs=options.epochs,
        total_epochs=options.total_epochs,
        ood=options.outliers,
        workers=options.workers,
    )
    print(json.dumps(record | {"machine": machine(options.device)}))


if __name__ == "__main__":
    main()
