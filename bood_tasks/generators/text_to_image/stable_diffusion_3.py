"""Stable Diffusion 3 (see interface): a flow model with two CLIP encoders.

Its third encoder, T5, is not read: no outlier vector has a place in its table, and a prompt that
named the class there would say what the vector left. Its states are zeros, as diffusers has it
without one; the model was trained to do without it.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, SD3Transformer2DModel, StableDiffusion3Pipeline
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import CLIPTextModelWithProjection

from bood_tasks.generators.text_to_image.diffusion import placed, require_family, shape_of_noise
from bood_tasks.generators.text_to_image.loading import (
    load_model,
    load_scheduler,
    load_text,
    named,
)
from bood_tasks.generators.text_to_image.pipeline_generator import (
    PipelineGenerator,
    has_parts,
)
from bood_tasks.generators.text_to_image.sampling import draw
from bood_tasks.generators.text_to_image.two_encoders import anchor_table, encode_both
from bood_tasks.jobs.environment import run_setting
from bood_tasks.networks.flops import T5_TOKENS
from bood_tasks.networks.pipelines import COMPONENTS as OF_FAMILIES
from bood_tasks.networks.pipelines import SD3

COMPONENTS = OF_FAMILIES[SD3]
Conditions = tuple[Float[Tensor, "b l e"], Float[Tensor, "b p"]]  # states, pooled


def holds(folder: Path) -> bool:
    """Whether a folder has this family's parts."""
    return has_parts(folder, SD3)


def load(
    folder: Path, *, device: str, dtype: str = "float32", scheduler: str | None = None
) -> "StableDiffusion3":
    """Return the generator of a folder, with the memory savers that `run` asks for."""
    folder, kind = Path(folder), getattr(torch, dtype)
    require_family(folder, SD3)
    with named(folder):
        pipe = StableDiffusion3Pipeline(
            **load_text(folder, CLIPTextModelWithProjection, kind),
            **load_text(folder, CLIPTextModelWithProjection, kind, "_2"),
            text_encoder_3=None,
            tokenizer_3=None,
            transformer=load_model(SD3Transformer2DModel, folder / "transformer", kind),
            vae=load_model(AutoencoderKL, folder / "vae", kind),
            scheduler=load_scheduler(folder / "scheduler", scheduler),
        )
    # Sliced attention is the UNets' alone.
    pipe = placed(pipe, pipe.transformer, device, vae_slicing=run_setting("vae_slicing"))
    return StableDiffusion3(pipe)


class StableDiffusion3(PipelineGenerator):
    """A pipeline of Stable Diffusion 3's parts as a TextToImage generator."""

    def __init__(self, pipe: StableDiffusion3Pipeline):
        super().__init__(pipe, pipe.transformer)

    @cached_property
    def _unconditional(self) -> Conditions:
        return self._conditions("", None)

    def _conditions(self, prompt: str, vectors: Float[Tensor, "b d"] | None) -> Conditions:
        """CLIP's states, as wide as T5's, in front of T5's zeros; both pooled vectors."""
        states, pooled = encode_both(self.pipe, prompt, vectors)
        width = self.pipe.transformer.config.joint_attention_dim
        states = F.pad(states, (0, width - states.shape[-1], 0, T5_TOKENS))
        return states, pooled

    def anchor_table(self, words: Mapping[str, str]) -> tuple[Float[np.ndarray, "v d"], list[int]]:
        return anchor_table(self.pipe, words)

    def encode(self, prompt: str, vectors: Float[Tensor, "b d"]) -> Conditions:
        return self._conditions(prompt, vectors.to(self.device))

    def noise_shape(self, resolution: int | None) -> tuple[int, int, int]:
        config = self.pipe.transformer.config
        halvings = config.patch_size.bit_length() - 1
        return shape_of_noise(config, self.pipe.vae_scale_factor, resolution, halvings=halvings)

    def decode(
        self,
        conditions: Conditions,
        noise: Float[Tensor, "b c h8 w8"],
        **how,
    ) -> UInt8[Tensor, "b h w 3"]:
        transformer, config = self.denoiser, self.pipe.vae.config

        def network(x: Tensor, t: Tensor, given: tuple[Tensor, ...]) -> Tensor:
            return transformer(
                hidden_states=x.to(transformer.dtype),
                timestep=t.to(x.device).expand(len(x)),
                encoder_hidden_states=given[0],
                pooled_projections=given[1],
            ).sample

        return draw(
            self.pipe,
            transformer,
            network,
            conditions,
            self._unconditional,
            noise,
            lambda x: x / config.scaling_factor + (config.shift_factor or 0.0),
            calls=self.calls,
            vae_rows=self.vae_rows(noise.shape[-1]),
            **self._shift(noise.shape[-1]),
            **how,
        )

    def _shift(self, side: int) -> dict[str, float]:
        """How far the timesteps are shifted for pictures of this size, where they depend on it."""
        config = self.pipe.scheduler.config
        if not config.get("use_dynamic_shifting"):
            return {}
        patches = (side // self.pipe.transformer.config.patch_size) ** 2
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        return {"mu": calculate_shift(patches, *(config[name] for name in names))}
