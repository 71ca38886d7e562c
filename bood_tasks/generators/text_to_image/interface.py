"""What the stages ask of a text-to-image generator, and which family opens a folder.

A family is one module of this room, named in FAMILIES. It has `COMPONENTS` (subfolder: a file that
must be there), `holds(folder)`, and `load(folder, ...)`, which returns a TextToImage.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bood_tasks.artifacts.store import Artifact
from bood_tasks.generators.text_to_image import (
    stable_diffusion,
    stable_diffusion_3,
    stable_diffusion_xl,
)
from bood_tasks.networks.pipelines import FOLDER, describe, require_sampler

FAMILIES = (stable_diffusion, stable_diffusion_xl, stable_diffusion_3)  # one holds() a folder


@runtime_checkable
class TextToImage(Protocol):
    """A loaded generator: it decodes vectors that stand in a prompt as a word's embedding.

    Nothing in it draws from a global stream: the caller brings each picture's noise, and a
    generator of its own for a sampler that adds more between steps.
    """

    device: torch.device
    resolution: int  # pixels a side of the pictures that it was made for

    def anchor_table(self, words: Mapping[str, str]) -> tuple[Float[np.ndarray, "v d"], list[int]]:
        """Return the input embedding and the token of each {name: word}; of two text encoders
        their embeddings in a row, and the first one's tokens.

        Raises ValueError for a word without a token of its own.
        """

    def encode(self, prompt: str, vectors: Float[Tensor, "b d"]) -> Any:
        """Return the conditions of `prompt` with each vector as the word at {class}.

        What a condition is, only `decode` knows.
        """

    def noise_shape(self, resolution: int | None) -> tuple[int, ...]:
        """Return the shape of one picture's noise for `resolution` pixels a side, None: its own.

        Raises ValueError for a resolution that the networks cannot make.
        """

    def decode(
        self,
        conditions: Any,
        noise: Float[Tensor, "b ..."],
        *,
        steps: int,
        guidance: float,
        latent_scale: float,
        stop_after: int | None,
        saved_size: int | None,
        kernel: str,
        streams: Sequence[torch.Generator] | None,
    ) -> UInt8[Tensor, "b h w 3"]:
        """Return the pictures, on the device (equation 6); each depends on its own row alone.

        Raises ValueError if one is not finite.
        """

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that decoding evaluates: what compiling makes faster."""

    def flops(
        self, *, resolution: int | None, scheduler: str, steps: int, guidance: float
    ) -> float:
        """Return the floating-point operations of one picture."""


def family_of(folder: Path) -> Any:
    """Return the module of the family that a folder holds, the first family's if none does.

    That one's `load` then says what the folder lacks.
    """
    return next((family for family in FAMILIES if family.holds(folder)), FAMILIES[0])


def load(folder: Path, device: str = "cpu", **settings: Any) -> TextToImage:
    """Return the generator of a folder, in evaluation mode. Nothing is downloaded.

    Raises FileNotFoundError naming what the folder lacks, ValueError naming a damaged file or a
    pipeline of another kind.
    """
    return family_of(folder).load(folder, device=device, **settings)


def open_generator(
    artifact: Artifact, device: str, *, dtype: str = "float32", scheduler: str | None = None
) -> TextToImage:
    """Return the generator of an artifact; `scheduler` None keeps the stored one.

    Raises ValueError for a scheduler that does not fit its network: of a folder that the plan
    could read this was said before the first job.
    """
    folder = artifact.folder / FOLDER
    if scheduler is not None:
        require_sampler(describe(folder), scheduler, 1, "this generator")
    return load(folder, device, dtype=dtype, scheduler=scheduler)
