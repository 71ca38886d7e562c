"""Stable Diffusion v1's family of generators, and the small one that ships (see interface)."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from diffusers import StableDiffusionPipeline
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bood_tasks.generators.text_to_image.diffusion import (
    COMPONENTS,
    decode,
    encode_prompt,
    latent_shape,
    load_pipeline,
)
from bood_tasks.generators.text_to_image.words import pick_tokens
from bood_tasks.jobs.environment import run_setting
from bood_tasks.networks.flops import evaluations, image_flops

__all__ = ["COMPONENTS", "StableDiffusion", "holds", "load"]
VAE_ROWS = {"cpu": None, "cuda": 8}  # its activations are the largest of all


def holds(folder: Path) -> bool:
    """Whether a folder has this family's parts."""
    return all((folder / part / file).is_file() for part, file in COMPONENTS.items())


def load(
    folder: Path, *, device: str, dtype: str = "float32", scheduler: str | None = None
) -> "StableDiffusion":
    """Return the generator of a folder, with the memory savers that `run` asks for."""
    return StableDiffusion(
        load_pipeline(
            folder,
            device=device,
            dtype=dtype,
            scheduler=scheduler,
            attention=run_setting("attention"),
            vae_slicing=run_setting("vae_slicing"),
        )
    )


class StableDiffusion:
    """A pipeline of Stable Diffusion v1's parts as a TextToImage generator."""

    def __init__(self, pipe: StableDiffusionPipeline):
        self.pipe = pipe
        self.device = pipe.device
        self.resolution = pipe.unet.config.sample_size * pipe.vae_scale_factor

    @cached_property
    def _unconditional(self) -> Float[Tensor, "1 l e"]:
        return encode_prompt(self.pipe, "", None)

    def anchor_table(self, words: Mapping[str, str]) -> tuple[Float[np.ndarray, "v d"], list[int]]:
        tokens = pick_tokens(self.pipe.tokenizer, words)
        table = self.pipe.text_encoder.get_input_embeddings().weight
        return table.detach().float().cpu().numpy()[tokens], tokens

    def encode(self, prompt: str, vectors: Float[Tensor, "b d"]) -> Float[Tensor, "b l e"]:
        return encode_prompt(self.pipe, prompt, vectors.to(self.device))

    def noise_shape(self, resolution: int | None) -> tuple[int, int, int]:
        return latent_shape(self.pipe, resolution)

    def decode(
        self, conditions: Float[Tensor, "b l e"], noise: Float[Tensor, "b c h8 w8"], **settings
    ) -> UInt8[Tensor, "b h w 3"]:
        rows = VAE_ROWS[self.device.type]
        unconditional = self._unconditional
        noise = noise.to(self.device)
        return decode(self.pipe, conditions, unconditional, noise, vae_rows=rows, **settings)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return self.pipe.unet, self.pipe.vae.decoder

    def flops(
        self, *, resolution: int | None, scheduler: str, steps: int, guidance: float
    ) -> float:
        return image_flops(
            self.pipe.unet.config,
            self.pipe.vae.config,
            resolution=resolution or self.resolution,
            evaluations=evaluations(scheduler, steps),
            guided=guidance != 1,
        )
