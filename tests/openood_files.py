"""The benchmarks of OpenOOD's presets as small files, laid out as its download script does."""

from pathlib import Path

import numpy as np
import PIL.Image

from bood_tasks.config.root import Config

PLACES = {  # where OpenOOD's archives have the pictures of each data set; k: label, i: number
    "cifar10": "cifar10/{split}/{word}/{i:04d}.png",
    "cifar100": "cifar100/{split}/{word}/{i:04d}.png",
    "tin": "tin/val/n{k:08d}/images/val_{i}.JPEG",
    "tin_val": "tin/val/n{k:08d}/images/val_9{i}.JPEG",
    "mnist": "mnist/test/{k}_{i}.png",
    "svhn": "svhn/test/{k}/{i}.png",
    "texture": "texture/{word}/{word}_{i:04d}.jpg",
    "places365": "places365/{word}/{word}_{i:08d}.jpg",
    "imagenet200": "imagenet_1k/{split}/n{k:08d}/n{k:08d}_{i}.JPEG",
    "imagenet1k": "imagenet_1k/{split}/n{k:08d}/n{k:08d}_{i}.JPEG",
    "ssb_hard": "ssb_hard/n{k:08d}/n{k:08d}_{i}.JPEG",
    "ninco": "ninco/{word}/{i}_x.jpeg",
    "inaturalist": "inaturalist/images/{i:032x}.jpg",
    "openimage_o": "openimage_o/images/{i:016x}.jpg",
    "openimage_o_val": "openimage_o/images/9{i:015x}.jpg",
}


def lay_out(root: Path, config: Config, classes: int, each: int) -> None:
    """Write a benchmark's lists and pictures below a folder: `each` of a class in every list."""
    rng = np.random.default_rng(0)
    for name, item in config.datasets.items():
        if item.kind != "imglist":
            continue
        lists = {"test": item.lists.test}
        if name == config.id:
            lists |= {"train": item.lists.train, "validation": item.lists.validation}
        for split, file in lists.items():
            lines = []
            for k in range(classes):
                for i in range(each):
                    place = PLACES[name].format(
                        split=split, k=k, word=f"word{k}", i=1000 * k + i
                    )  # fmt: skip
                    path = root / item.pictures / place
                    path.parent.mkdir(parents=True, exist_ok=True)
                    size = (28, 28) if name == "mnist" else (40, 36)
                    pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) // 2
                    pixels[..., k % 3] += np.uint8(15 * (k % 8))
                    PIL.Image.fromarray(pixels).resize(size).save(path)
                    lines.append(f"{place} {k if name == config.id else -1}")
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text("\n".join(lines) + "\n")
