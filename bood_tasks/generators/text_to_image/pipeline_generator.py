"""What all families of generators share: a pipeline of diffusers' with a denoiser and a VAE."""

from pathlib import Path

import torch
from torch import nn

from bood_tasks.generators.text_to_image.attention import VaeRows, calls_a_step
from bood_tasks.networks.flops import evaluations, image_flops
from bood_tasks.networks.pipelines import COMPONENTS


def has_parts(folder: Path, family: str) -> bool:
    """Whether a folder has a family's parts."""
    return all((folder / part / file).is_file() for part, file in COMPONENTS[family].items())


class PipelineGenerator:
    """The part of a TextToImage generator (see interface) that no family has of its own."""

    def __init__(self, pipe, denoiser: nn.Module):
        self.pipe, self.denoiser = pipe, denoiser
        self.calls, self.vae_rows = calls_a_step(), VaeRows(pipe.vae)
        self.device: torch.device = pipe.device
        self.resolution = denoiser.config.sample_size * pipe.vae_scale_factor

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return self.denoiser, self.pipe.vae.decoder

    def flops(
        self, *, resolution: int | None, scheduler: str, steps: int, guidance: float
    ) -> float:
        return image_flops(
            self.denoiser.config,
            self.pipe.vae.config,
            resolution=resolution or self.resolution,
            evaluations=evaluations(scheduler, steps),
            guidance=guidance,
        )
