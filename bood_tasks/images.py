"""Decode vectors into images (equation 6), one shard: an index range over every class.

Image i of class y uses vector i mod n_y and its own noise, seeded by (seed, class, i): batches,
shards, retries and devices cannot change it. A killed job goes on after its last whole block.
Leaves: `images` uint8 [n, h, w, 3], `labels`, `item` (i), `vector` (row of ood_features; for
plain words the word's number).
"""

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from bood_tasks import seeds
from bood_tasks.anchors import pick_tokens
from bood_tasks.diffusion import decode, encode_prompt, latent_shape, load_pipeline
from bood_tasks.environment import inference_batch, pick_device
from bood_tasks.progress import progress
from bood_tasks.stage import Job, read_job, run

VERSION = 1
ROWS_PER_BLOCK = 100  # one file, and what a killed job can lose


def assign_vectors(
    labels: Int64[np.ndarray, " m"], classes: list[str], *, start: int, stop: int
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return (class, item, vector row) of each image of the shard, item by item over classes.

    Raises ValueError for an empty range or a class without vectors.
    """
    if not 0 <= start < stop:
        raise ValueError(f"a shard must cover at least one image, got {start}..{stop}")
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


def item_noise(
    shape: tuple[int, int, int], seed: int, classes: list[str], items: Int64[np.ndarray, " b"]
) -> Float[Tensor, "b c h w"]:
    """Return standard-normal latents, each from its own stream, made on the CPU."""
    return torch.stack(
        [
            torch.randn(
                shape,
                generator=torch.Generator().manual_seed(seeds.stream(seed, "images", name, int(i))),
            )
            for name, i in zip(classes, items, strict=True)
        ]
    )


def decode_vectors(
    pipe,
    vectors: Float[Tensor, "b d"],
    noise: Float[Tensor, "b c h w"],
    *,
    prompt: str,
    uncond: Float[Tensor, "1 l e"],
    steps: int,
    guidance: float,
) -> UInt8[np.ndarray, "b h w 3"]:
    """Return the images of vectors put at the prompt's {class} (equation 6)."""
    cond = encode_prompt(pipe, prompt, vectors.to(pipe.device))
    noise = noise.to(pipe.device)
    return decode(pipe, cond, uncond, noise, steps=steps, guidance=guidance).cpu().numpy()


def _vectors(job: Job, pipe) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the vectors, the class of each, and the classes' names."""
    anchors = job.inputs["anchors"]
    classes = anchors.json("anchors.json")["classes"]
    kind = job.settings["decode"]
    if kind == "outliers":
        features = job.inputs["ood_features"]
        return features["vectors"][:], features["labels"][:], classes
    if kind == "words":
        classes = job.settings["words"]
        tokens = pick_tokens(pipe.tokenizer, {word: word for word in classes})
        table = pipe.text_encoder.get_input_embeddings().weight.detach().float().cpu().numpy()
        return table[tokens], np.arange(len(tokens)), classes
    return anchors["anchors"][:], np.arange(len(classes)), classes


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    settings = job.settings
    pipe = load_pipeline(
        job.inputs["generator"].folder / "pipeline",
        device=device,
        scheduler=settings["scheduler"],
    )
    vectors, labels, classes = _vectors(job, pipe)
    which, items, rows = assign_vectors(
        labels, classes, start=settings["start"], stop=settings["stop"]
    )
    names = [classes[label] for label in which]
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    count, batch = len(which), inference_batch()
    uncond = encode_prompt(pipe, "", None)
    done_path = job.out.parent / ".progress" / "rows"
    with job.draft() as draft:
        images = draft.array(
            "images", (count, side, side, 3), "uint8", chunk=1, shard=min(ROWS_PER_BLOCK, count)
        )
        done = int(done_path.read_text()) if done_path.is_file() else 0
        with progress("images", count, "images", done=done) as advance:
            for block in range(done, count, ROWS_PER_BLOCK):
                end = min(block + ROWS_PER_BLOCK, count)
                decoded = []
                for first in range(block, end, batch):
                    part = slice(first, min(first + batch, end))
                    noise = item_noise(
                        latent_shape(pipe), settings["seed"], names[part], items[part]
                    )
                    decoded.append(
                        decode_vectors(
                            pipe,
                            torch.from_numpy(vectors[rows[part]]),
                            noise,
                            prompt=settings["prompt"],
                            uncond=uncond,
                            steps=settings["steps"],
                            guidance=settings["guidance"],
                        )
                    )
                    advance(len(decoded[-1]))
                images[block:end] = np.concatenate(decoded)
                done_path.write_text(str(end))
        draft.save("labels", which)
        draft.save("item", items)
        draft.save("vector", rows)
        draft.finish(rows={"images": count})


if __name__ == "__main__":
    run(main)
