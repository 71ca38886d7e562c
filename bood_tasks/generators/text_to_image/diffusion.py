"""Text-conditioned decoding with a pipeline of Stable Diffusion's parts (BOOD Eq. 6).

One path for the small shipped generator and for Stable Diffusion 1, 2, SD-Turbo and LCM in a local
folder. Nothing here draws random numbers: the caller gives each item its own noise, so batch size
and order cannot change an image beyond rounding.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from transformers import CLIPTextModel, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from bood_tasks.generators.text_to_image.loading import (
    load_model,
    load_scheduler,
    load_text,
    named,
)
from bood_tasks.generators.text_to_image.sampling import draw
from bood_tasks.networks.pipelines import SD, describe

PLACEHOLDER = "{class}"
UNetPipeline = StableDiffusionPipeline | StableDiffusionXLPipeline


def load_pipeline(
    folder: Path | str,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    scheduler: str | None = None,
    attention: str = "sdpa",
    vae_slicing: bool = False,
) -> StableDiffusionPipeline:
    """A pipeline from a local folder in Stable Diffusion's layout, safetensors only.

    Nothing is downloaded; there is no safety checker. `scheduler` None keeps the stored one.
    `attention` "sliced" and `vae_slicing` need less memory and more time; on a GPU the networks
    use the memory order that its convolutions are fastest in.
    Raises FileNotFoundError naming what the folder lacks, ValueError naming a damaged file.
    """
    folder, kind = Path(folder), getattr(torch, dtype)
    require_family(folder, SD)
    with named(folder):
        pipe = StableDiffusionPipeline(
            **load_text(folder, CLIPTextModel, kind),
            unet=load_model(UNet2DConditionModel, folder / "unet", kind),
            vae=load_model(AutoencoderKL, folder / "vae", kind),
            scheduler=load_scheduler(folder / "scheduler", scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    return placed(pipe, pipe.unet, device, attention=attention, vae_slicing=vae_slicing)


def require_family(folder: Path, family: str) -> None:
    """Raise ValueError, or FileNotFoundError, unless a folder is whole and of a family."""
    found = describe(folder).family
    if found != family:
        raise ValueError(f"generator.path must be of {family}'s family here, got {folder}: {found}")


def placed(pipe, denoiser, device: str, *, attention: str = "sdpa", vae_slicing: bool = False):
    """A pipeline on its device, with the memory savers that are asked for."""
    pipe.set_progress_bar_config(disable=True)
    if attention == "sliced":
        pipe.enable_attention_slicing()
    if vae_slicing:
        pipe.vae.enable_slicing()
    if torch.device(device).type == "cuda":
        denoiser.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    return pipe.to(device)


# --- conditioning ---


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> Int[Tensor, "1 l"]:
    """Token ids padded to the model's length; raises ValueError if the text does not fit."""
    ids = tokenizer(text).input_ids
    if len(ids) > tokenizer.model_max_length:
        raise ValueError(
            f"images.prompt must fit in {tokenizer.model_max_length} tokens, "
            f"got {len(ids)}: {text!r}; shorten it"
        )
    return tokenizer(
        text, padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt"
    ).input_ids


def placeholder_position(
    tokenizer: PreTrainedTokenizerBase, prompt: str
) -> tuple[Int[Tensor, "1 l"], int]:
    """Token ids of `prompt` with {class} as one token, and that token's position.

    The token put there is a stand-in whose embedding is always replaced. Raises ValueError unless
    {class} is in the prompt exactly once and becomes exactly one token.
    """
    found = prompt.count(PLACEHOLDER)
    if found != 1:
        raise ValueError(
            f"images.prompt must contain {PLACEHOLDER} exactly once, got {prompt!r} "
            f"({found} times); the outlier vector goes there"
        )
    stand_in = "x"  # a letter is one token in every CLIP vocabulary
    ids = prompt_ids(tokenizer, prompt.replace(PLACEHOLDER, stand_in))
    token = prompt_ids(tokenizer, stand_in)[0, 1]
    positions = (ids[0] == token).nonzero().flatten().tolist()
    if len(positions) != 1:
        raise ValueError(
            f"images.prompt must hold {PLACEHOLDER} as a word of its own beside no single "
            f"{stand_in!r}, got {prompt!r}; put blanks around it"
        )
    return ids, positions[0]


@torch.no_grad()
def encode_text(
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    vectors: Float[Tensor, "b d"] | None,
    **more: bool,
) -> ModelOutput:
    """A text encoder's output for `prompt` with {class}'s input embedding replaced by each vector.

    The vectors enter as input embeddings, before positions and the text transformer, by a forward
    hook: the embedding table is never written, and equals what it gives if its row were the
    vector. `vectors` None encodes a prompt without placeholder, one row. `more`: of the encoder's
    forward.
    """
    device = encoder.device
    if vectors is None:
        return encoder(input_ids=prompt_ids(tokenizer, prompt).to(device), **more)
    embedding = encoder.get_input_embeddings()
    if vectors.ndim != 2 or vectors.shape[1] != embedding.embedding_dim:
        raise ValueError(
            f"vectors must be [b, {embedding.embedding_dim}] for this text encoder, "
            f"got {list(vectors.shape)}; make the anchors from the same generator"
        )
    ids, position = placeholder_position(tokenizer, prompt)

    def put_vectors(_module, _inputs, embedded: Float[Tensor, "b l d"]):
        embedded = embedded.clone()
        embedded[:, position] = vectors.to(embedded)
        return embedded

    hook = embedding.register_forward_hook(put_vectors)
    try:
        return encoder(input_ids=ids.expand(len(vectors), -1).to(device), **more)
    finally:
        hook.remove()


def encode_prompt(
    pipe: StableDiffusionPipeline, prompt: str, vectors: Float[Tensor, "b d"] | None
) -> Float[Tensor, "b l e"]:
    """Text-encoder states of `prompt` with {class}'s input embedding replaced by each vector.

    `vectors` None encodes a prompt without placeholder, [1, L, D]: the unconditional
    embedding is `encode_prompt(pipe, "", None)`.
    """
    return encode_text(pipe.text_encoder, pipe.tokenizer, prompt, vectors)[0]


# --- sampling ---


def latent_shape(pipe: UNetPipeline, resolution: int | None = None) -> tuple[int, int, int]:
    """Channels, height and width of one item's noise for images of `resolution` pixels a side.

    None: the pipeline's own. Raises ValueError for a resolution that the networks cannot make.
    """
    return shape_of_noise(
        pipe.unet.config,
        pipe.vae_scale_factor,
        resolution,
        halvings=len(pipe.unet.config.block_out_channels) - 1,
    )


def shape_of_noise(
    config: Mapping[str, int], factor: int, resolution: int | None, *, halvings: int
) -> tuple[int, int, int]:
    """Channels, height and width of one item's noise, `factor` pixels to a latent's side, for a
    network of `config` that halves latents so often. Raises ValueError as `latent_shape`."""
    unit = factor * 2**halvings
    if resolution is not None and resolution % unit:
        raise ValueError(
            f"images.resolution must be a multiple of {unit} for this pipeline, got {resolution}; "
            f"it was made for {config['sample_size'] * factor}"
        )
    size = config["sample_size"] if resolution is None else resolution // factor
    return config["in_channels"], size, size


def guidance_embedding(
    pipe: UNetPipeline, guidance: float, rows: int
) -> Float[Tensor, "b e"] | None:
    """The guidance as a distilled LCM's UNet reads it; None for every other UNet.

    Sines and cosines of 1000 (guidance - 1), as the diffusers pipelines have them.
    """
    width = pipe.unet.config.time_cond_proj_dim
    if width is None:
        return None
    w = pipe.get_guidance_scale_embedding(torch.tensor([guidance - 1.0]), embedding_dim=width)
    return w.to(pipe.unet.device, pipe.unet.dtype).expand(rows, -1)


def decode(
    pipe: StableDiffusionPipeline,
    cond: Float[Tensor, "b l e"],
    uncond: Float[Tensor, "1 l e"],
    noise: Float[Tensor, "b c h8 w8"],
    *,
    guidance: float,
    **how,
) -> UInt8[Tensor, "b h w 3"]:
    """Images for conditions and standard-normal noise; `how`: see `draw`.

    A UNet that reads the guidance makes no unconditional pass.
    """
    unet, scale = pipe.unet, pipe.vae.config.scaling_factor
    embedded = guidance_embedding(pipe, guidance, len(cond))

    def network(x: Tensor, t: Tensor, conditions: tuple[Tensor, ...]) -> Tensor:
        return unet(x.to(unet.dtype), t, conditions[0], timestep_cond=embedded).sample

    without = (uncond,) if embedded is None else None
    return draw(
        pipe, unet, network, (cond,), without, noise, lambda x: x / scale, guidance=guidance, **how
    )
