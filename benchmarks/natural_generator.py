"""Trains a generator of natural pictures from folders alone: no Snakemake, no artifacts.

    PYTHONPATH=. python benchmarks/natural_generator.py CIFAR10/train OUT --also TINY_IMAGENET/train
    PYTHONPATH=. python benchmarks/natural_generator.py CIFAR10/train OUT --tiny

The folders hold one folder of pictures a class. The recipe is that of `generator.train` in
workflow/presets/natural-generator.yaml; --set changes one setting of it. Needs PyTorch, diffusers,
transformers, zarr, Pillow and PyYAML. Writes OUT/pipeline, which generator.path takes, and
OUT/classes-GUIDANCE.png: a row of decodes for each class. Killed, it goes on from OUT/progress. The
last line is JSON: steps, seconds, the operations a second of the denoiser's training, and which
share of the device's peak (bood_tasks/plan/resources.py assumes one) they are.
"""

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import torch
import yaml
from machine import machine

from bood_tasks.catalogue.datasets import IMAGE_SUFFIXES
from bood_tasks.generators.text_to_image.generator import Labelled, train_generator
from bood_tasks.generators.text_to_image.interface import load
from bood_tasks.generators.text_to_image.tiny_sd import PROMPT
from bood_tasks.jobs.progress import progress
from bood_tasks.networks.flops import unet_flops
from bood_tasks.networks.small_diffusion import SIDE
from bood_tasks.networks.words import spelled
from bood_tasks.synthesis.shards import item_noise

PRESET = Path(__file__).parents[1] / "workflow/presets/natural-generator.yaml"
TINY = {"vae_steps": 2, "unet_steps": 3, "batch_size": 4, "minutes": None, "precision": "fp32"}
SHOWN, GUIDANCES = 10, (1.0, 3.0, 7.5)  # pictures of a class
PEAK = 600e12  # bfloat16 operations a second that large matrix products sustain on an H100


def read_folder(folder: Path, most: int | None) -> Labelled:
    """Return the pictures below a folder, its classes' first `most` ones, at the network's side."""
    classes = sorted(item.name for item in folder.iterdir() if item.is_dir())
    files, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(
            item for item in (folder / name).rglob("*") if item.suffix.lower() in IMAGE_SUFFIXES
        )[:most]
        files += found
        labels += [label] * len(found)
    if not files:
        raise SystemExit(f"error: {folder} must hold a folder of pictures for each class")

    def read(path: Path) -> np.ndarray:
        with PIL.Image.open(path) as picture:
            whole = picture.convert("RGB")
        if whole.size != (SIDE, SIDE):
            whole = whole.resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR)
        return np.array(whole)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = np.stack(list(pool.map(read, files)))
    print(f"{folder}: {len(pictures):,} pictures of {len(classes)} classes", flush=True)
    return pictures, np.array(labels), classes


@torch.inference_mode()
def draw_classes(pipeline: Path, words: list[str], out: Path, device: str, steps: int) -> None:
    """Write a sheet of decodes for each guidance, a row a class, from the same noise."""
    generator = load(pipeline, device)
    table, _ = generator.anchor_table({word: word for word in words})
    conditions = generator.encode(
        PROMPT.replace("{word}", "{class}"), torch.from_numpy(table).repeat_interleave(SHOWN, 0)
    )
    names = np.repeat(words, SHOWN).tolist()
    noise = item_noise(generator.noise_shape(None), 0, "sheet", names, [*range(SHOWN)] * len(words))
    for guidance in GUIDANCES:
        made = generator.decode(
            conditions, noise, steps=steps, guidance=guidance, latent_scale=1.0, stop_after=None,
            saved_size=None, kernel="bilinear",
        ).cpu().numpy()  # fmt: skip
        sheet = made.reshape(len(words), SHOWN, SIDE, SIDE, 3).swapaxes(1, 2)
        sheet = PIL.Image.fromarray(sheet.reshape(len(words) * SIDE, SHOWN * SIDE, 3))
        sheet = sheet.resize((2 * sheet.width, 2 * sheet.height), PIL.Image.Resampling.NEAREST)
        sheet.save(out / f"classes-{guidance:g}.png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="ID pictures, a folder a class")
    parser.add_argument("out", type=Path)
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="other words' pictures")
    parser.add_argument("--set", nargs="*", default=[], metavar="SETTING=VALUE")
    parser.add_argument("--per-class", type=int, help="the first pictures of a class; all")
    parser.add_argument("--steps", type=int, default=50, help="of PNDM, for the sheets")
    parser.add_argument("--tiny", action="store_true", help="a few steps: does it run?")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    recipe = yaml.safe_load(PRESET.read_text(encoding="utf-8"))["generator"]["train"]
    recipe |= TINY if options.tiny else {}
    recipe |= {key: yaml.safe_load(value) for key, value in (x.split("=") for x in options.set)}
    del recipe["also"]
    images, labels, classes = read_folder(options.folder, options.per_class)
    words, out = [spelled(name) for name in classes], options.out
    began = time.monotonic()
    steps = recipe["vae_steps"] + recipe["unet_steps"]
    with progress("generator", steps, "steps") as advance:
        facts = train_generator(
            images, labels, words,
            also=[read_folder(folder, options.per_class) for folder in options.also],
            folder=out / "pipeline", checkpoint_dir=out / "progress", device=options.device,
            report=advance, **recipe,
        )  # fmt: skip
    seconds = time.monotonic() - began
    draw_classes(out / "pipeline", words, out, options.device, options.steps)
    files = [path for path in (out / "pipeline").rglob("*") if path.is_file()]
    unet = json.loads((out / "pipeline/unet/config.json").read_text(encoding="utf-8"))
    each = 3 * unet_flops(unet, side=unet["sample_size"]) * recipe["batch_size"]
    rate = facts["denoiser_steps_per_second"] * each
    print(
        json.dumps(
            {
                "benchmark": "natural_generator",
                "machine": machine(options.device),
                "seconds": round(seconds, 1),
                "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 2),
                **facts,
                "denoiser_tflops": round(rate / 1e12, 3),
                "share_of_peak": round(rate / PEAK, 4),
            }
        )
    )


if __name__ == "__main__":
    main()
