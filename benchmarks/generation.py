"""Our decoding against the plain diffusers pipeline call, one image at a time, in one process.

    PYTHONPATH=. python benchmarks/generation.py                       # the shipped generator, CPU
    PYTHONPATH=. python benchmarks/generation.py --device cuda --sd14  # Stable Diffusion v1.4, fp16
    PYTHONPATH=. python benchmarks/generation.py --device cuda --sd14 --variants

Same pipeline, scheduler (PNDM), steps and guidance 7.5. --sd14 builds random weights of Stable
Diffusion v1.4's shapes: speed does not depend on them. Ours: auto batch, compiled, the images on
the host at the end; compiling is timed apart. Seconds are for --images images, ours measured on
at least 64 on a GPU, the peer on --peer-images, scaled and labelled so. The last line is JSON.

--variants times instead what could make a batch faster, one line of JSON each, as it comes:
attention's kernels, fused projections, guidance in two calls, the VAE's slices. A batch's time at
--steps is a straight line through those at two smaller numbers of steps; nothing is compiled.
"""

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from bood_tasks.generators.text_to_image.attention import Attend, attend_by
from bood_tasks.generators.text_to_image.diffusion import load_pipeline
from bood_tasks.generators.text_to_image.stable_diffusion import StableDiffusion
from bood_tasks.networks.compiled import run_as
from bood_tasks.networks.flops import SD14_UNET, SD14_VAE
from bood_tasks.synthesis.images import decode_vectors
from bood_tasks.synthesis.shards import Batches, fitting_batch, item_streams

SHIPPED = Path(__file__).parents[1] / "bood_tasks/embedded/generator"
PROMPT = "A high-quality image of the {class}"
VAE_BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4
}  # fmt: skip
FEW_STEPS = (2, 6)  # a batch's time is a straight line in its steps
SETTINGS = {
    "prompt": PROMPT, "guidance": 7.5, "latent_scale": 1.0, "stop_after": None, "resolution": None,
    "kernel": "bilinear",
}  # fmt: skip


def random_sd14(device: str):
    """Return a pipeline of Stable Diffusion v1.4's shapes with random half-precision weights.

    The tokenizer is the shipped one: its ids are below CLIP's 49,408.
    """
    from diffusers import (
        AutoencoderKL,
        PNDMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.set_default_dtype(torch.float16)
    try:
        with torch.device(device):
            unet = UNet2DConditionModel(**SD14_UNET)
            vae = AutoencoderKL(**SD14_VAE, **VAE_BLOCKS)
            text = CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=49408, hidden_size=768, intermediate_size=3072,
                    num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu",
                )
            )  # fmt: skip
    finally:
        torch.set_default_dtype(torch.float32)
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    tokenizer = CLIPTokenizer.from_pretrained(SHIPPED / "tokenizer")
    tokenizer.model_max_length = 77
    pipe = StableDiffusionPipeline(
        tokenizer=tokenizer, text_encoder=text, unet=unet, vae=vae, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    for model in (unet, vae, text):
        model.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def load(device: str, *, sd14: bool):
    """Return the pipeline that is timed, in the memory order that the stage uses."""
    if not sd14:
        return load_pipeline(SHIPPED, scheduler="pndm", device=device)
    pipe = random_sd14(device)
    if device == "cuda":
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    return pipe


class Bench:
    """A generator and the batches that are timed: of `size` rows, as the stage makes them."""

    def __init__(self, pipe, *, saved_size: int | None):
        self.pipe, self.generator = pipe, StableDiffusion(pipe)
        self.device = pipe.device.type
        self.settings = SETTINGS | {"saved_size": saved_size}
        self.table = pipe.text_encoder.get_input_embeddings().weight.float().cpu()
        self.shape = self.generator.noise_shape(None)

    def decode(self, rows: np.ndarray, steps: int):
        """Return the pictures of some rows."""
        streams = item_streams(0, "images", ["x"] * len(rows), rows.tolist())
        vectors = self.table[torch.from_numpy(rows % len(self.table))]
        return decode_vectors(self.generator, vectors, streams, self.settings | {"steps": steps})

    def seconds(self, size: int, steps: int) -> float:
        """Return how long a batch takes until its pictures are on the host."""
        start = time.perf_counter()
        self.decode(np.arange(size), steps).cpu()
        return time.perf_counter() - start

    def batch_seconds(self, size: int, steps: int, *, warm: bool = True) -> float:
        """Return how long a batch of so many steps takes, told from FEW_STEPS."""
        if warm:
            self.seconds(size, 1)
        few, more = (self.seconds(size, each) for each in FEW_STEPS)
        return few + (steps - FEW_STEPS[0]) * (more - few) / (FEW_STEPS[1] - FEW_STEPS[0])


def variants(bench: Bench, *, size: int, steps: int) -> Iterator[dict]:
    """Yield the images a second of each variant, as it is measured, the exact path first."""
    unet, generator, side = bench.pipe.unet, bench.generator, bench.shape[-1]

    def timed(name: str) -> dict:
        try:
            seconds = bench.batch_seconds(size, steps)
        except (torch.OutOfMemoryError, RuntimeError, ValueError) as error:
            return {"variant": name, "error": f"{type(error).__name__}: {error}"[:300]}
        return {"variant": name, "images_per_second": round(size / seconds, 3)}

    yield timed("exact")
    for kind in ("padded", "cudnn", "flash", "efficient"):
        unet.set_attn_processor(Attend(kind))
        yield timed(f"attention {kind}")
    unet.set_attn_processor(AttnProcessor2_0())
    generator.calls = 2
    yield timed("guidance in two calls")
    generator.calls = 1
    if bench.device == "cuda":
        for rows in (4, 8, 16, 31):
            generator.vae_rows.known[side] = rows
            yield timed(f"VAE, {rows} latents at once")
        del generator.vae_rows.known[side]
    attend_by(unet, "sdpa", fused=True)
    yield timed("fused projections")


def measure(
    *, device: str, sd14: bool, images: int, peer_images: int, steps: int, saved_size: int | None
) -> dict:
    """Return seconds, images a second and TFLOP/s of ours and of the peer."""
    pipe = load(device, sd14=sd14)
    bench = Bench(pipe, saved_size=saved_size)
    generator = bench.generator

    def decode_rows(rows: np.ndarray, steps: int = steps):
        return bench.decode(rows, steps)

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def call(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            pipe(
                PROMPT.replace("{class}", "x"), num_inference_steps=steps, guidance_scale=7.5,
                output_type="np",
            )  # fmt: skip
        wait()
        return time.perf_counter() - start

    call(1)
    peer = call(peer_images) / peer_images
    size = fitting_batch(lambda n: decode_rows(np.arange(n), steps=2), torch.device(device))
    size = min(size, images)
    began = time.perf_counter()
    if device == "cuda":
        run_as("whole", generator.networks)
    batches = Batches(decode_rows, size, pad=device == "cuda")
    list(batches(0, size))
    wait()
    compiling = time.perf_counter() - began
    start = time.perf_counter()
    made = [part.cpu() for part in batches(0, images)]
    ours = (time.perf_counter() - start) / images
    assert sum(len(part) for part in made) == images
    flops = generator.flops(resolution=None, scheduler="pndm", steps=steps, guidance=7.5)
    return {
        "benchmark": "generation",
        "seconds": round(ours * images, 3),
        "peer": "diffusers' pipeline call, one image at a time, scaled to as many images",
        "peer_seconds": round(peer * images, 3),
        "ratio": round(peer / ours, 2),
        "images": images,
        "peer_images": peer_images,
        "images_per_second": round(1 / ours, 3),
        "peer_images_per_second": round(1 / peer, 3),
        "tflops": round(flops / ours / 1e12, 3),
        "batch": batches.size,
        "first_batch_seconds": round(compiling, 2),
        "model": "Stable Diffusion v1.4's shapes, random fp16" if sd14 else "shipped generator",
        "steps": steps,
    }


def main() -> None:
    from machine import machine

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sd14", action="store_true", help="Stable Diffusion v1.4's shapes")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--peer-images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", action="store_true", help="time what could be faster")
    parser.add_argument("--batch", type=int, help="of --variants; default 64 on a GPU, else 2")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    if options.variants:
        pipe = load(options.device, sd14=options.sd14)
        size = options.batch or (64 if options.device == "cuda" else 2)
        bench = Bench(pipe, saved_size=256 if options.sd14 else None)
        found = []
        for line in variants(bench, size=size, steps=options.steps):
            print(json.dumps(line), flush=True)
            found.append(line)
        print(json.dumps({"benchmark": "variants", "batch": size, "variants": found,
                          "machine": machine(options.device)}))  # fmt: skip
        return
    record = measure(
        device=options.device, sd14=options.sd14, images=options.images,
        peer_images=options.peer_images, steps=options.steps,
        saved_size=256 if options.sd14 else None,
    )  # fmt: skip
    print(json.dumps(record | {"machine": machine(options.device)}))


if __name__ == "__main__":
    main()
