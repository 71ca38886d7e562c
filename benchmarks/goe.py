"""GAN pictures and language-model words a second, with random weights, on the device at hand.

    PYTHONPATH=. python benchmarks/goe.py

Goals on an H200: 50,000 pictures of 32 pixels in under a minute (833 a second). Words are drawn
with and without the key-value cache, so its gain is a ratio of one run.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from bood_tasks.generators.biggan.biggan import Generator, Shape
from bood_tasks.generators.language_model.transformer import Shape as TextShape
from bood_tasks.generators.language_model.transformer import Transformer, sample
from bood_tasks.jobs.environment import pick_device
from bood_tasks.synthesis.shards import item_noise
from bood_tasks.synthesis.texts import uniforms

WORDS = 20  # a text


def seconds(work: Callable[[], object], device: str) -> float:
    """Return how long one call takes, after one that warms up."""
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


@torch.inference_mode()
def main() -> None:
    device = pick_device()
    on_gpu = device == "cuda"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--channels", type=int, default=64, help="of the BigGAN")
    parser.add_argument("--pictures", type=int, default=50_000 if on_gpu else 200)
    parser.add_argument("--batch", type=int, default=512 if on_gpu else 50, help="of pictures")
    parser.add_argument("--vocabulary", type=int, default=30_000, help="words of the transformer")
    parser.add_argument("--texts", type=int, default=4000 if on_gpu else 500)
    options = parser.parse_args()
    shape = Shape(resolution=32, channels=options.channels, latent=128, classes=10)
    generator = Generator(shape).to(device).eval()
    count, size = options.pictures, options.batch

    def draw() -> None:
        for start in range(0, count, size):
            items = np.arange(start, min(start + size, count))
            y = torch.from_numpy(items % shape.classes).to(device)
            z = item_noise([shape.latent], 0, "gan_images", items.tolist()).to(device)
            generator(z, y).mul(255).byte().cpu()

    taken = seconds(draw, device)
    name = f"BigGAN, {shape.channels} channels, 32 pixels"
    print(f"{device}: {name}: {count / taken:,.0f} pictures/s")
    print(f"  50,000 pictures: {50_000 * taken / count:,.0f} s (goal on an H200: under 60)")

    words = TextShape(
        words=options.vocabulary, layers=2, width=200, heads=2, hidden=200, dropout=0.2, tied=False
    )
    model = Transformer(words).to(device).eval()
    given = torch.from_numpy(uniforms(np.arange(options.texts), WORDS, 0))

    def texts(cached: bool) -> Callable[[], object]:
        return lambda: sample(
            model, given, temperature=2.0, start=2, never=(0, 2), cached=cached
        )  # fmt: skip

    with_cache, without = (seconds(texts(cached), device) for cached in (True, False))
    total = options.texts * WORDS
    print(f"{device}: transformer, {options.vocabulary:,} words: {total / with_cache:,.0f} words/s")
    print(f"  the cache: {without / with_cache:.2f} times as fast as without")


if __name__ == "__main__":
    main()
