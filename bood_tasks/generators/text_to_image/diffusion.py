"""Text-conditioned decoding with a Stable Diffusion v1 pipeline (BOOD Eq. 6).

One path for the small shipped generator and for Stable Diffusion v1.4 in a local folder. Nothing
here draws random numbers: the caller gives each item its own noise, so batch size and order cannot
change an image beyond rounding.
"""

import json
import warnings
from pathlib import Path
from typing import Literal, get_args

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerBase

from bood_tasks.artifacts.outside import require_whole_weights
from bood_tasks.generators.pixels import to_uint8

SchedulerName = Literal["pndm", "ddim", "dpmsolver++", "unipc"]
PLACEHOLDER = "{class}"
COMPONENTS = {  # subfolder: a file that must be there
    "tokenizer": "tokenizer_config.json",
    "text_encoder": "config.json",
    "unet": "config.json",
    "vae": "config.json",
    "scheduler": "scheduler_config.json",
}


def load_pipeline(
    folder: Path | str,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    scheduler: str | None = None,
    attention: str = "sdpa",
    vae_slicing: bool = False,
) -> StableDiffusionPipeline:
    """A pipeline from a local folder in Stable Diffusion v1's layout, safetensors only.

    Nothing is downloaded; there is no safety checker. `scheduler` None keeps the stored one.
    `attention` "sliced" and `vae_slicing` need less memory and more time; on a GPU the networks
    use the memory order that its convolutions are fastest in.
    Raises FileNotFoundError naming what the folder lacks, ValueError naming a damaged file.
    """
    folder, kind = Path(folder), getattr(torch, dtype)
    for component, required in COMPONENTS.items():
        if not (folder / component / required).is_file():
            raise FileNotFoundError(
                f"generator.path must be a folder in Stable Diffusion v1's layout, got {folder}: "
                f"it lacks {component}/{required}; copy the whole folder again"
            )
    for component in ("text_encoder", "unet", "vae"):
        _check_weights(folder / component)
    try:
        pipe = StableDiffusionPipeline(
            tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
            text_encoder=_model(CLIPTextModel, folder / "text_encoder", {"dtype": kind}),
            unet=_model(UNet2DConditionModel, folder / "unet", {"torch_dtype": kind}),
            vae=_model(AutoencoderKL, folder / "vae", {"torch_dtype": kind}),
            scheduler=_scheduler(folder / "scheduler", scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except (OSError, json.JSONDecodeError, RuntimeError, KeyError) as error:
        raise ValueError(f"{folder} cannot be loaded: {error}; copy the folder again") from error
    for model in (pipe.text_encoder, pipe.unet, pipe.vae):
        model.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    if attention == "sliced":
        pipe.enable_attention_slicing()
    if vae_slicing:
        pipe.vae.enable_slicing()
    if torch.device(device).type == "cuda":
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    return pipe.to(device)


def _model(model_class: type, folder: Path, dtype: dict):
    """A model whose every weight came from the folder's safetensors.

    Checked here because the loaders fill what is missing with random numbers and go on.
    """
    model, found = model_class.from_pretrained(
        folder, **dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    absent = [*found["missing_keys"], *found["mismatched_keys"]]
    if absent:
        raise ValueError(
            f"{folder} holds weights that do not fit its config.json: {len(absent)} are missing "
            f"or of another shape, first {absent[0]}; copy the folder again"
        )
    return model


def _check_weights(folder: Path) -> None:
    """Refuse a model folder whose safetensors are missing, truncated or not safetensors."""
    if not any(folder.glob("*.safetensors")):
        raise FileNotFoundError(
            f"{folder} holds no .safetensors weights; other formats are not read: convert them "
            "with `from_pretrained(..., use_safetensors=False).save_pretrained(...)`"
        )
    require_whole_weights(folder, "generator.path")


def _scheduler(folder: Path, name: str | None):
    """The stored scheduler, or another one on the stored noise schedule; all deterministic."""
    if name is None:
        stored = json.loads((folder / "scheduler_config.json").read_text("utf-8"))
        name = {"DDIMScheduler": "ddim", "PNDMScheduler": "pndm"}.get(stored["_class_name"])
        if name is None:
            raise ValueError(
                f"{folder} stores a {stored['_class_name']}; "
                f"choose images.scheduler, one of {', '.join(get_args(SchedulerName))}"
            )
    if name == "pndm":  # without the Runge-Kutta warm-up, as Stable Diffusion v1.4
        return PNDMScheduler.from_pretrained(folder, skip_prk_steps=True)
    if name == "ddim":
        return DDIMScheduler.from_pretrained(folder, clip_sample=False, set_alpha_to_one=False)
    if name == "dpmsolver++":
        return DPMSolverMultistepScheduler.from_pretrained(folder, algorithm_type="dpmsolver++")
    if name == "unipc":
        return UniPCMultistepScheduler.from_pretrained(folder)
    raise ValueError(
        f"images.scheduler must be one of {', '.join(get_args(SchedulerName))}, got {name!r}"
    )


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
def encode_prompt(
    pipe: StableDiffusionPipeline, prompt: str, vectors: Float[Tensor, "b d"] | None
) -> Float[Tensor, "b l e"]:
    """Text-encoder states of `prompt` with {class}'s input embedding replaced by each vector.

    The vectors enter as input embeddings, before positions and the text transformer, by a forward
    hook: the embedding table is never written, and equals what it gives if its row were the
    vector. `vectors` None encodes a prompt without placeholder, [1, L, D]: the unconditional
    embedding is `encode_prompt(pipe, "", None)`.
    """
    device = pipe.text_encoder.device
    if vectors is None:
        return pipe.text_encoder(input_ids=prompt_ids(pipe.tokenizer, prompt).to(device))[0]
    embedding = pipe.text_encoder.get_input_embeddings()
    if vectors.ndim != 2 or vectors.shape[1] != embedding.embedding_dim:
        raise ValueError(
            f"vectors must be [b, {embedding.embedding_dim}] for this text encoder, "
            f"got {list(vectors.shape)}; make the anchors from the same generator"
        )
    ids, position = placeholder_position(pipe.tokenizer, prompt)

    def put_vectors(_module, _inputs, embedded: Float[Tensor, "b l d"]):
        embedded = embedded.clone()
        embedded[:, position] = vectors.to(embedded)
        return embedded

    hook = embedding.register_forward_hook(put_vectors)
    try:
        return pipe.text_encoder(input_ids=ids.expand(len(vectors), -1).to(device))[0]
    finally:
        hook.remove()


# --- sampling ---


def latent_shape(
    pipe: StableDiffusionPipeline, resolution: int | None = None
) -> tuple[int, int, int]:
    """Channels, height and width of one item's noise for images of `resolution` pixels a side.

    None: the pipeline's own. Raises ValueError for a resolution that the networks cannot make.
    """
    factor, blocks = pipe.vae_scale_factor, len(pipe.unet.config.block_out_channels)
    unit = factor * 2 ** (blocks - 1)
    if resolution is not None and resolution % unit:
        raise ValueError(
            f"images.resolution must be a multiple of {unit} for this pipeline, got {resolution}; "
            f"it was made for {pipe.unet.config.sample_size * factor}"
        )
    size = pipe.unet.config.sample_size if resolution is None else resolution // factor
    return pipe.unet.config.in_channels, size, size


@torch.no_grad()
def decode(
    pipe: StableDiffusionPipeline,
    cond: Float[Tensor, "b l e"],
    uncond: Float[Tensor, "1 l e"],
    noise: Float[Tensor, "b c h8 w8"],
    *,
    steps: int,
    guidance: float,
    latent_scale: float = 1.0,
    stop_after: int | None = None,
    saved_size: int | None = None,
    kernel: str = "bilinear",
    vae_rows: int | None = None,
    calls: int = 1,
) -> UInt8[Tensor, "b h w 3"]:
    """Images for conditions and standard-normal noise, by the pipeline's scheduler (Eq. 6).

    Classifier-free guidance: ε = ε_uncond + guidance · (ε_cond - ε_uncond); at guidance 1 the
    unconditional half is skipped. An image depends on its own row alone. The networks run in
    their own dtype, guidance and scheduler in float32. `vae_rows` latents are decoded at a time
    (None: all), a step's rows go to the UNet in so many `calls`; nothing here waits for the device.

    Outside the pipeline's range, as GOE runs a GAN: `latent_scale` times the noise it was made
    for; `stop_after` so many of the scheduler's steps the latents are decoded as they are.
    """
    scheduler, unet, vae = pipe.scheduler, pipe.unet, pipe.vae
    if not 1 <= steps <= scheduler.config.num_train_timesteps:
        limit = scheduler.config.num_train_timesteps
        raise ValueError(f"images.steps must be in [1, {limit}], got {steps}")
    if guidance < 1:
        raise ValueError(f"images.guidance must be at least 1, got {guidance}; 1 switches it off")
    with warnings.catch_warnings():  # DPM-Solver++ and UniPC under numpy 2, inside diffusers
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        scheduler.set_timesteps(steps)  # also forgets the last call's history
    guided = guidance != 1
    if guided:
        cond = torch.cat([uncond.expand_as(cond), cond])
    x = noise.to(cond.device, torch.float32) * (latent_scale * scheduler.init_noise_sigma)
    # On the host: indexing by a device's tensor would wait for it.
    for t in scheduler.timesteps[:stop_after]:
        both = torch.cat([x, x]) if guided else x
        both = scheduler.scale_model_input(both, t).to(unet.dtype)
        halves = zip(both.chunk(calls), cond.chunk(calls), strict=True)
        predicted = torch.cat([unet(part, t, own).sample for part, own in halves]).float()
        if guided:
            without, with_text = predicted.chunk(2)
            predicted = without + guidance * (with_text - without)
        x = scheduler.step(predicted, t, x).prev_sample
    latents = (x / vae.config.scaling_factor).to(vae.dtype)
    return torch.cat(
        [
            to_uint8(vae.decode(part).sample.float(), saved_size, kernel)
            for part in latents.split(vae_rows or len(latents))
        ]
    )
