"""What the stages ask of a text-to-image generator, and which family opens a folder.

A family is one module of this room, named in FAMILIES. It has `COMPONENTS` (subfolder: a file that
must be there), `holds(folder)`, and `load(folder, ...)`, which returns a TextToImage.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bood_tasks.artifacts.store import Artifact
from bood_tasks.generators.text_to_image import stable_diffusion

FAMILIES = (stable_diffusion,)  # the first that holds() a folder opens it: the choosier first
FOLDER = "pipeline"  # of a generator's artifact


@runtime_checkable
class TextToImage(Protocol):
    """A loaded generator: it decodes vectors that stand in a prompt as a word's embedding.

    Nothing in it draws random numbers: the caller brings each picture's noise.
    """

    device: torch.device
    resolution: int  # pixels a side of the pictures that it was made for

    def anchor_table(self, words: Mapping[str, str]) -> tuple[Float[np.ndarray, "v d"], list[int]]:
        """Return the input embedding and the token of each {name: word}.

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
    ) -> UInt8[Tensor, "b h w 3"]:
        """Return the pictures, on the device (equation 6); each depends on its own row alone."""

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that decoding evaluates: what compiling makes faster."""

    def flops(
        self, *, resolution: int | None, scheduler: str, steps: int, guidance: float
    ) -> float:
        """Return the floating-point operations of one picture."""


def components() -> dict[str, str]:
    """Return the subfolders of all families, and a file that must be in each."""
    return {name: file for family in FAMILIES for name, file in family.COMPONENTS.items()}


def family_of(folder: Path) -> Any:
    """Return the module of the family that a folder holds, the first family's if none does.

    That one's `load` then says what the folder lacks.
    """
    return next((family for family in FAMILIES if family.holds(folder)), FAMILIES[0])


def load(folder: Path, device: str = "cpu", **settings: Any) -> TextToImage:
    """Return the generator of a folder, in evaluation mode. Nothing is downloaded.

    Raises FileNotFoundError naming what the folder lacks, ValueError naming a damaged file.
    """
    return family_of(folder).load(folder, device=device, **settings)


def open_generator(
    artifact: Artifact, device: str, *, dtype: str = "float32", scheduler: str | None = None
) -> TextToImage:
    """Return the generator of an artifact; `scheduler` None keeps the stored one."""
    return load(artifact.folder / FOLDER, device, dtype=dtype, scheduler=scheduler)
