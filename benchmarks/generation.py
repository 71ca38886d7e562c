"""Our decoding against the plain diffusers pipeline call, one image at a time, in one process.

    PYTHONPATH=. python benchmarks/generation.py                       # the shipped generator, CPU
    PYTHONPATH=. python benchmarks/generation.py --device cuda --sd14  # Stable Diffusion v1.4, fp16

Same pipeline, scheduler (PNDM), steps and guidance 7.5. --sd14 builds random weights of Stable
Diffusion v1.4's shapes: speed does not depend on them. Ours: auto batch, compiled, the images on
the host at the end; compiling is timed apart. Seconds are for --images images, ours measured on
at least 64 on a GPU, the peer on --peer-images, scaled and labelled so. The last line is JSON.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from bood_tasks.generators.text_to_image.diffusion import load_pipeline
from bood_tasks.generators.text_to_image.stable_diffusion import StableDiffusion
from bood_tasks.networks.flops import SD14_UNET, SD14_VAE
from bood_tasks.synthesis.images import decode_vectors
from bood_tasks.synthesis.shards import Batches, fitting_batch, item_streams

SHIPPED = Path(__file__).parents[1] / "bood_tasks/embedded/generator"
PROMPT = "A high-quality image of the {class}"


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
            vae = AutoencoderKL(**SD14_VAE)
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


def measure(
    *, device: str, sd14: bool, images: int, peer_images: int, steps: int, saved_size: int | None
) -> dict:
    """Return seconds, images a second and TFLOP/s of ours and of the peer."""
    pipe = random_sd14(device) if sd14 else load_pipeline(SHIPPED, scheduler="pndm", device=device)
    settings = {
        "prompt": PROMPT, "steps": steps, "guidance": 7.5, "latent_scale": 1.0, "stop_after": None,
        "resolution": None, "saved_size": saved_size,
        "kernel": "bilinear",
    }  # fmt: skip
    table = pipe.text_encoder.get_input_embeddings().weight.float().cpu()
    generator = StableDiffusion(pipe)

    def decode_rows(rows: np.ndarray, **more):
        streams = item_streams(0, "images", ["x"] * len(rows), rows.tolist())
        vectors = table[torch.from_numpy(rows % len(table))]
        return decode_vectors(generator, vectors, streams, settings, **more)

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
    if device == "cuda":
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    size = fitting_batch(lambda n: decode_rows(np.arange(n), steps=2), torch.device(device))
    size = min(size, images)
    began = time.perf_counter()
    if device == "cuda":
        generator.compile()
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
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    record = measure(
        device=options.device, sd14=options.sd14, images=options.images,
        peer_images=options.peer_images, steps=options.steps,
        saved_size=256 if options.sd14 else None,
    )  # fmt: skip
    print(json.dumps(record | {"machine": machine(options.device)}))


if __name__ == "__main__":
    main()
