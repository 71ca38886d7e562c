"""Stable Diffusion 1 and 2, SD-Turbo, LCM, and the small one that ships (see interface)."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from diffusers import StableDiffusionPipeline
from jaxtyping import Float, UInt8
from torch import Tensor

from bood_tasks.generators.text_to_image.attention import attend_by
from bood_tasks.generators.text_to_image.diffusion import (
    decode,
    encode_prompt,
    latent_shape,
    load_pipeline,
)
from bood_tasks.generators.text_to_image.pipeline_generator import (
    PipelineGenerator,
    has_parts,
)
from bood_tasks.generators.text_to_image.words import pick_tokens
from bood_tasks.jobs.environment import run_setting
from bood_tasks.networks.pipelines import COMPONENTS as OF_FAMILIES
from bood_tasks.networks.pipelines import SD

COMPONENTS = OF_FAMILIES[SD]


def holds(folder: Path) -> bool:
    """Whether a folder has this family's parts, and not those of one with two encoders."""
    return has_parts(folder, SD) and not (folder / "text_encoder_2").is_dir()


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
    return StableDiffusion(pipe)


class StableDiffusion(PipelineGenerator):
    """A pipeline of Stable Diffusion's parts as a TextToImage generator."""

    def __init__(self, pipe: StableDiffusionPipeline):
        super().__init__(pipe, pipe.unet)

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
        rows = self.vae_rows(noise.shape[-1])
        unconditional = self._unconditional
        noise = noise.to(self.device)
        more = {"vae_rows": rows, "calls": self.calls} | settings
        return decode(self.pipe, conditions, unconditional, noise, **more)
