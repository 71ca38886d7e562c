"""Stable Diffusion v1's family of generators, and the small one that ships (see interface)."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from diffusers import StableDiffusionPipeline
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bood_tasks.generators.text_to_image.attention import attend_by, vae_rows
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
from bood_tasks.training.loading import free_bytes

__all__ = ["COMPONENTS", "StableDiffusion", "holds", "load"]


def holds(folder: Path) -> bool:
    """Whether a folder has this family's parts."""
    return all((folder / part / file).is_file() for part, file in COMPONENTS.items())


def load(
    folder: Path, *, device: str, dtype: str = "float32", scheduler: str | None = None
) -> "StableDiffusion":
    """Return the generator of a folder, with the memory savers that `run` asks for."""
    pipe = load_pipeline(
        folder,
        device=device,
        dtype=dtype,
        scheduler=scheduler,
        attention=run_setting("attention"),
        vae_slicing=run_setting("vae_slicing"),
    )
    attend_by(pipe.unet, run_setting("attention"), fused=run_setting("fused_projections"))
    return StableDiffusion(pipe, calls=2 if run_setting("split_guidance") else 1)


class StableDiffusion:
    """A pipeline of Stable Diffusion v1's parts as a TextToImage generator."""

    def __init__(self, pipe: StableDiffusionPipeline, *, calls: int = 1):
        self.pipe, self.calls = pipe, calls
        self._vae_rows: dict[int, int] = {}  # asked once a size: a compiled decoder knows one shape
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
        rows = self._rows_at_once(noise.shape[-1])
        unconditional = self._unconditional
        noise = noise.to(self.device)
        more = {"vae_rows": rows, "calls": self.calls} | settings
        return decode(self.pipe, conditions, unconditional, noise, **more)

    def _rows_at_once(self, side: int) -> int | None:
        """Return how many latents the decoder takes at once, None: all."""
        if self.device.type == "cpu":
            return None
        if side not in self._vae_rows:
            vae, free = self.pipe.vae, free_bytes(self.device)
            self._vae_rows[side] = vae_rows(
                vae.config, side=side, itemsize=vae.dtype.itemsize, free=free
            )
        return self._vae_rows[side]

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
