"""Stable Diffusion XL and SDXL-Turbo (see interface): two text encoders, a pooled vector, sizes."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from bood_tasks.generators.text_to_image.attention import attend_by
from bood_tasks.generators.text_to_image.diffusion import (
    guidance_embedding,
    latent_shape,
    placed,
    require_family,
)
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
from bood_tasks.networks.pipelines import COMPONENTS as OF_FAMILIES
from bood_tasks.networks.pipelines import INDEX, SDXL, read_json

COMPONENTS = OF_FAMILIES[SDXL]
Conditions = tuple[Float[Tensor, "b l e"], Float[Tensor, "b p"]]  # states, pooled


def holds(folder: Path) -> bool:
    """Whether a folder has this family's parts."""
    return has_parts(folder, SDXL)


def load(
    folder: Path, *, device: str, dtype: str = "float32", scheduler: str | None = None
) -> "StableDiffusionXL":
    """Return the generator of a folder, with the memory savers that `run` asks for.

    In float16 the VAE stays in float32 where its configuration asks for it (`force_upcast`), as the
    diffusers pipeline has it: its activations overflow.
    """
    folder, kind = Path(folder), getattr(torch, dtype)
    require_family(folder, SDXL)
    upcast = kind == torch.float16 and read_json(folder / "vae" / "config.json").get(
        "force_upcast", True
    )
    index = read_json(folder / INDEX) if (folder / INDEX).is_file() else {}
    with named(folder):
        pipe = StableDiffusionXLPipeline(
            **load_text(folder, CLIPTextModel, kind),
            **load_text(folder, CLIPTextModelWithProjection, kind, "_2"),
            unet=load_model(UNet2DConditionModel, folder / "unet", kind),
            vae=load_model(AutoencoderKL, folder / "vae", torch.float32 if upcast else kind),
            scheduler=load_scheduler(folder / "scheduler", scheduler),
            force_zeros_for_empty_prompt=index.get("force_zeros_for_empty_prompt", True),
            add_watermarker=False,
        )
    savers = {"attention": run_setting("attention"), "vae_slicing": run_setting("vae_slicing")}
    pipe = placed(pipe, pipe.unet, device, **savers)
    attend_by(pipe.unet, run_setting("attention"), fused=run_setting("fused_projections"))
    return StableDiffusionXL(pipe)


class StableDiffusionXL(PipelineGenerator):
    """A pipeline of Stable Diffusion XL's parts as a TextToImage generator."""

    def __init__(self, pipe: StableDiffusionXLPipeline):
        super().__init__(pipe, pipe.unet)

    @cached_property
    def _unconditional(self) -> Conditions:
        states, pooled = encode_both(self.pipe, "", None)
        if self.pipe.config.force_zeros_for_empty_prompt:
            return torch.zeros_like(states), torch.zeros_like(pooled)
        return states, pooled

    def anchor_table(self, words: Mapping[str, str]) -> tuple[Float[np.ndarray, "v d"], list[int]]:
        return anchor_table(self.pipe, words)

    def encode(self, prompt: str, vectors: Float[Tensor, "b d"]) -> Conditions:
        return encode_both(self.pipe, prompt, vectors.to(self.device))

    def noise_shape(self, resolution: int | None) -> tuple[int, int, int]:
        return latent_shape(self.pipe, resolution)

    def decode(
        self,
        conditions: Conditions,
        noise: Float[Tensor, "b c h8 w8"],
        *,
        guidance: float,
        **how,
    ) -> UInt8[Tensor, "b h w 3"]:
        unet = self.denoiser
        side = noise.shape[-1] * self.pipe.vae_scale_factor
        # The picture is as it was taken (original size, no crop) and as large as it is asked for.
        sizes = torch.tensor([[side, side, 0, 0, side, side]], device=self.device, dtype=unet.dtype)
        embedded = guidance_embedding(self.pipe, guidance, len(noise))

        def network(x: Tensor, t: Tensor, given: tuple[Tensor, ...]) -> Tensor:
            added = {"text_embeds": given[1], "time_ids": sizes.expand(len(x), -1)}
            return unet(
                x.to(unet.dtype), t, given[0], timestep_cond=embedded, added_cond_kwargs=added
            ).sample

        return draw(
            self.pipe,
            unet,
            network,
            conditions,
            self._unconditional if embedded is None else None,
            noise,
            self._for_decoder,
            guidance=guidance,
            calls=self.calls,
            vae_rows=self.vae_rows(noise.shape[-1]),
            **how,
        )

    def _for_decoder(self, latents: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        config = self.pipe.vae.config
        if config.get("latents_mean") is None or config.get("latents_std") is None:
            return latents / config.scaling_factor
        mean, std = (
            torch.tensor(config[key], device=latents.device).view(1, -1, 1, 1)
            for key in ("latents_mean", "latents_std")
        )
        return latents * std / config.scaling_factor + mean
