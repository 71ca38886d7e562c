"""Decode vectors into images (equation 6), one shard: an index range over every class.

Image i of class y uses vector i mod n_y and its own noise, seeded by (seed, class, i): batches,
shards, retries and devices cannot change it. A killed job goes on after its last whole block.
Leaves: `images` uint8 [n, h, w, 3], `labels`, `item` (i), `vector` (row of ood_features; for
plain words the word's number), and outliers.json: what all its items have in common.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from bood_tasks.generators.text_to_image.interface import TextToImage, open_generator
from bood_tasks.jobs.environment import halved, pick_device, run_setting
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.networks.flops import evaluations
from bood_tasks.synthesis.shards import (
    Batches,
    Speed,
    describe_outliers,
    each_shard,
    fitting_batch,
    item_streams,
    noise_of,
    rows_after,
    write_pictures,
)

VERSION = 3
PARAMETERS = ("decode", "prompt", "scheduler", "steps", "guidance", "latent_scale", "stop_after")
ROWS_PER_BLOCK = 100  # one file, and what a killed job can lose


def assign_vectors(
    labels: Int64[np.ndarray, " m"], classes: list[str], *, start: int, stop: int
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return (class, item, vector row) of each image of the shard, item by item over classes.

    Raises ValueError for a class without vectors, and for vectors of no class.
    """
    if len(labels) and labels.max() >= len(classes):
        raise ValueError(
            f"labels of vectors must be below {len(classes)}, one a class, got {labels.max()}; "
            "make the outlier vectors anew, from these anchors"
        )
    rows = [np.flatnonzero(labels == label) for label in range(len(classes))]
    empty = [name for name, found in zip(classes, rows, strict=True) if not len(found)]
    if empty:
        raise ValueError(
            f"every class needs an outlier vector, none for {', '.join(empty)}; raise "
            "ood_features.rate or train the encoder longer"
        )
    items, which = np.divmod(np.arange(start * len(classes), stop * len(classes)), len(classes))
    vectors = [
        rows[label][item % len(rows[label])] for label, item in zip(which, items, strict=True)
    ]
    return which, items, np.array(vectors, np.int64)


def decode_vectors(
    generator: TextToImage,
    vectors: Float[Tensor, "b d"],
    streams: Sequence[torch.Generator],
    settings: Mapping,
    *,
    steps: int | None = None,
) -> UInt8[Tensor, "b h w 3"]:
    """Return the images, on the device, of vectors put at the prompt's {class} (equation 6).

    The first numbers of each item's stream are its noise; a sampler that adds more goes on there.
    """
    return generator.decode(
        generator.encode(settings["prompt"], vectors),
        noise_of(streams, generator.noise_shape(settings["resolution"])),
        steps=steps or settings["steps"],
        guidance=settings["guidance"],
        latent_scale=settings["latent_scale"],
        stop_after=settings["stop_after"],
        saved_size=settings["saved_size"],
        kernel=settings["kernel"],
        streams=streams,
    )


def _vectors(job: Job, generator: TextToImage) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the vectors, the class of each, and the classes' names."""
    anchors = job.inputs["anchors"]
    classes = anchors.json("anchors.json")["classes"]
    kind = job.settings["decode"]
    if kind == "outliers":
        features = job.inputs["ood_features"]
        return features["vectors"][:], features["labels"][:], classes
    if kind == "words":
        classes = job.settings["words"]
        table, _ = generator.anchor_table({word: word for word in classes})
        return table, np.arange(len(table)), classes
    return anchors["anchors"][:], np.arange(len(classes)), classes


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device, settings = pick_device(), job.settings
    generator = open_generator(
        job.inputs["generator"], device, dtype=settings["dtype"], scheduler=settings["scheduler"]
    )
    vectors, labels, classes = _vectors(job, generator)
    if not np.isfinite(vectors).all():
        raise ValueError(
            f"every vector to decode must be finite, and {(~np.isfinite(vectors)).any(1).sum()} "
            "are not; run `bood verify --repair`, or make the outlier vectors anew"
        )
    speed = Speed(
        "images",
        generator.networks,
        each=evaluations(settings["scheduler"], settings["steps"]),
        of=[settings[key] for key in ("resolution", "guidance")],
    )
    each_shard(
        job,
        partial(
            write_shard,
            generator=generator,
            vectors=vectors,
            labels=labels,
            classes=classes,
            speed=speed,
        ),
    )
    speed.pace.close()


def write_shard(
    job: Job,
    *,
    generator: TextToImage,
    vectors: Float[np.ndarray, "m d"],
    labels: Int64[np.ndarray, " m"],
    classes: list[str],
    speed: Speed,
) -> None:
    """Decode one shard of the vectors, each of the class `labels` says, into its artifact."""
    settings, device = job.settings, generator.device.type
    which, items, rows = assign_vectors(
        labels, classes, start=settings["start"], stop=settings["stop"]
    )
    names, count = np.array(classes)[which], len(which)
    side = settings["saved_size"] or settings["resolution"] or generator.resolution

    def decode_rows(chosen: np.ndarray, **more) -> UInt8[Tensor, "b h w 3"]:
        streams = item_streams(
            settings["seed"], "images", names[chosen].tolist(), items[chosen].tolist()
        )
        chosen_vectors = torch.from_numpy(vectors[rows[chosen]])
        return decode_vectors(generator, chosen_vectors, streams, settings, **more)

    size = run_setting("image_batch")
    if size == "auto":
        size = fitting_batch(
            lambda n: decode_rows(np.arange(n) % count, steps=2), torch.device(device)
        )
    batches = Batches(decode_rows, halved(size), pad=False, speed=speed)
    speed.later = rows_after(job) * len(classes)
    speed.begin(rows=count, size=batches.size)
    with job.draft() as draft:
        facts = write_pictures(
            draft, batches, count=count, side=side, block=ROWS_PER_BLOCK, stage="images"
        )
        draft.save("labels", which)
        draft.save("item", items)
        draft.save("vector", rows)
        describe_outliers(draft, "images", settings, PARAMETERS, classes)
        each = generator.flops(
            **{key: settings[key] for key in ("resolution", "scheduler", "steps", "guidance")}
        )
        tflops = round(facts["images_per_second"] * each / 1e12, 3)
        draft.finish(rows={"images": count}, facts=facts | {"tflops": tflops})
