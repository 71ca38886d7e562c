"""Pictures of a class-conditional generator run outside its training range (GOE), one shard.

Item i has class i mod v and its own z, from a stream of (seed, i): batches, shards and retries
cannot change it. A killed job goes on after its last whole block. Leaves: `images` uint8
[n, h, w, 3], `labels`, `item`, and outliers.json: what all its items have in common.
"""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from bood_tasks.generators.biggan.biggan import Generator, stand
from bood_tasks.generators.biggan.biggan_deep import DeepGenerator
from bood_tasks.generators.biggan.gan_generator import load_generator
from bood_tasks.generators.biggan.layouts import FILE
from bood_tasks.generators.pixels import to_uint8
from bood_tasks.jobs.environment import halved, pick_device, run_setting
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.synthesis.shards import (
    Batches,
    Speed,
    describe_outliers,
    each_shard,
    fitting_batch,
    item_noise,
    rows_after,
    write_pictures,
)

VERSION = 1
ROWS_PER_BLOCK = 500
LARGEST_BATCH = 512  # of pictures of 32 pixels; a quarter for each doubling
STANDING_BATCHES, STANDING_BATCH = 16, 256  # for statistics, as BigGAN's sampling script


def deviation(scale: float, meaning: str) -> float:
    """Return the standard deviation of the latents; ValueError for one that cannot be."""
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"gan_images.scale must be finite and at least 0, got {scale}")
    return scale if meaning == "std" else math.sqrt(scale)


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device, dtype = pick_device(), getattr(torch, job.settings["dtype"])
    scale = deviation(job.settings["scale"], job.settings["meaning"])
    generator = load_generator(job.inputs["gan_generator"], device)
    if job.settings["statistics"] == "standing":
        stand(generator, standing_batches(generator, scale, job.settings["seed"], device))
    generator = generator.to(dtype)
    speed = Speed("gan_images", [generator], each=1, of="")
    each_shard(job, partial(write_shard, generator=generator, device=device, speed=speed))
    speed.pace.close()


def standing_batches(
    generator: Generator | DeepGenerator, scale: float, seed: int, device: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (z, y), of all classes alike, by which the statistics are told: no picture's own z.

    Raises ValueError for a generator that never had batch statistics.
    """
    if not isinstance(generator, Generator):
        raise ValueError(
            "gan_images.statistics must be stored for a BigGAN-deep, whose weights hold those of "
            "its training alone, got standing"
        )
    shape = generator.shape
    for start in range(0, STANDING_BATCHES * STANDING_BATCH, STANDING_BATCH):
        items = np.arange(start, start + STANDING_BATCH)
        z = item_noise(
            [shape.latent], seed, "gan_images", ["standing"] * len(items), items.tolist()
        )
        yield (scale * z).to(device), torch.from_numpy(items % shape.classes).to(device)


def write_shard(job: Job, generator: Generator | DeepGenerator, device: str, speed: Speed) -> None:
    """Draw one shard into its artifact."""
    settings, shape = job.settings, generator.shape
    scale, dtype = (
        deviation(settings["scale"], settings["meaning"]),
        getattr(torch, settings["dtype"]),
    )
    items = np.arange(settings["start"], settings["stop"])
    labels, count = items % shape.classes, len(items)
    cure = (
        f"set gan_images.dtype: float32 (now {settings['dtype']}) or lower gan_images.scale "
        f"(now {settings['scale']:g})"
    )

    @torch.inference_mode()
    def draw(rows: np.ndarray) -> UInt8[Tensor, "b h w 3"]:
        z = item_noise([shape.latent], settings["seed"], "gan_images", items[rows].tolist())
        z = (scale * z).to(device, dtype)
        made = generator(z, torch.from_numpy(labels[rows]).to(device))
        return to_uint8(made.float(), settings["saved_size"], settings["kernel"], cure)

    size = run_setting("image_batch")
    if size == "auto":
        size = fitting_batch(
            lambda n: draw(np.arange(n) % count),
            torch.device(device),
            largest=max(1, LARGEST_BATCH * 32**2 // shape.resolution**2),
        )
    # Padded: on some processors a convolution's rounding depends on its batch.
    batches = Batches(draw, halved(size), pad=True, speed=speed)
    speed.later = rows_after(job)
    speed.begin(rows=count, size=batches.size)
    side = settings["saved_size"] or shape.resolution
    with job.draft() as draft:
        facts = write_pictures(
            draft, batches, count=count, side=side, block=ROWS_PER_BLOCK, stage="gan_images"
        )
        draft.save("labels", labels)
        draft.save("item", items)
        classes = job.inputs["gan_generator"].json(FILE)["classes"]
        describe_outliers(draft, "gan", settings, ("scale", "meaning", "statistics"), classes)
        draft.finish(rows={"images": count}, facts=facts)
