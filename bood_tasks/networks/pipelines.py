"""What a folder in diffusers' layout is, read from its JSON files alone: a family and its facts, or
a refusal that says what would be needed. Nothing here imports torch or opens weights.

What is refused here is refused before the first job; what weights hold is checked when they load.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = "pipeline"  # of a generator's artifact
INDEX = "model_index.json"
ADAPTED = "lora.json"  # in a folder that a LoRA was fused into
CONFIG = "config.json"
_ONE_ENCODER = {  # subfolder: a file that must be there
    "tokenizer": "tokenizer_config.json",
    "text_encoder": CONFIG,
    "unet": CONFIG,
    "vae": CONFIG,
    "scheduler": "scheduler_config.json",
}
_TWO_ENCODERS = _ONE_ENCODER | {"tokenizer_2": "tokenizer_config.json", "text_encoder_2": CONFIG}
SD, SDXL, SD3 = "Stable Diffusion", "Stable Diffusion XL", "Stable Diffusion 3"
COMPONENTS = {
    SD: _ONE_ENCODER,
    SDXL: _TWO_ENCODERS,
    SD3: {k: v for k, v in _TWO_ENCODERS.items() if k != "unet"} | {"transformer": CONFIG},
}
DENOISER = {SD: "unet", SDXL: "unet", SD3: "transformer"}
PIPELINES = {
    "StableDiffusionPipeline": SD,
    "LatentConsistencyModelPipeline": SD,
    "StableDiffusionXLPipeline": SDXL,
    "StableDiffusion3Pipeline": SD3,
}
MODELS = {  # component: the classes that are read
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection"),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "unet": ("UNet2DConditionModel",),
    "transformer": ("SD3Transformer2DModel",),
    "vae": ("AutoencoderKL",),
}
_T5 = "its prompts are states of a T5 encoder, into whose table no class anchor of CLIP's fits"
_PICTURES = "it denoises from a picture or a mask, not from a prompt alone"
WHY_NOT = {  # part of a pipeline's class: why it is no generator here
    "Flux": f"{_T5}; its CLIP encoder gives one pooled vector and no states",
    "PixArt": _T5, "AuraFlow": _T5, "IFPipeline": _T5, "Mochi": _T5, "Chroma": _T5, "DiT": _T5,
    "CogView": "its prompts are states of T5 or GLM, into whose tables no CLIP anchor fits",
    "Sana": "its prompts are states of Gemma, a language model",
    "Lumina": "its prompts are states of Gemma, a language model",
    "Kolors": "its prompts are states of ChatGLM, a language model",
    "QwenImage": "its prompts are states of Qwen, a language model",
    "Kandinsky": "its decoder takes picture embeddings of a prior, not the states of a prompt",
    "StableCascade": "its decoder takes picture embeddings of a prior, not the states of a prompt",
    "Wuerstchen": "its decoder takes picture embeddings of a prior, not the states of a prompt",
    "UnCLIP": "its decoder takes picture embeddings of a prior, not the states of a prompt",
    "Inpaint": _PICTURES, "Img2Img": _PICTURES, "ControlNet": _PICTURES, "Upscale": _PICTURES,
    "Depth2Img": _PICTURES, "InstructPix2Pix": _PICTURES,
}  # fmt: skip
READ = (
    "Stable Diffusion 1 and 2, SD-Turbo, LCM, SDXL, SDXL-Turbo and Stable Diffusion 3 are read "
    f"({', '.join(PIPELINES)})"
)
PREDICTIONS = ("epsilon", "v_prediction", "sample")
FLOW = "flow"  # what a flow-matching network predicts
SCHEDULERS = {  # images.scheduler: the predictions that it steps along
    "pndm": ("epsilon", "v_prediction"),
    "ddim": PREDICTIONS,
    "dpmsolver++": PREDICTIONS,
    "unipc": PREDICTIONS,
    "euler": PREDICTIONS,
    "euler_ancestral": ("epsilon", "v_prediction"),
    "lcm": PREDICTIONS,
    "flow_euler": (FLOW,),
}
STOCHASTIC = ("euler_ancestral", "lcm")  # they add noise between steps
LCM = "LCMScheduler"
LARGEST = 10**6  # of a number in a configuration; a width beyond it is damage
MOST_LAYERS = 1000


@dataclass(frozen=True)
class Pipeline:
    """What one folder is.

    `stored`: the class of the scheduler in it; `prediction`: what its network predicts, one of
    PREDICTIONS or FLOW. `anchor`: width of an outlier vector, the token-embedding tables' widths in
    a row. `guidance_embedded`: the network reads the guidance as an input (a distilled LCM) and no
    unconditional pass is made. `zero_snr`: its noise schedule ends at pure noise. `most_steps`:
    LCM's sampler has no more. `adapted`: a LoRA is fused into it. `denoiser`, `decoder`: the
    configurations of its network and its VAE.
    """

    family: str
    stored: str
    prediction: str
    anchor: int
    guidance_embedded: bool
    zero_snr: bool
    most_steps: int
    adapted: bool
    denoiser: Mapping
    decoder: Mapping

    @property
    def distilled(self) -> bool:
        """Whether the folder itself says that LCM's sampler may fit it."""
        return self.guidance_embedded or self.stored == LCM or self.adapted


def read_json(path: Path) -> dict:
    """Return a JSON file's object. Raises ValueError, naming the file, for anything else, and for
    numbers that are not finite."""

    def refuse(number: str) -> float:
        raise ValueError(f"{number} is no number")

    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} must be JSON, and is not ({error}); copy the file again"
        ) from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold an object, got {type(found).__name__}; copy it again")
    return found


def family_of(folder: Path, setting: str = "generator.path") -> str:
    """Return the family of a folder.

    Raises ValueError that names its pipeline's class if that is none that is read here.
    """
    index = folder / INDEX
    if not index.is_file():  # older folders have none: their parts tell
        return SDXL if (folder / "text_encoder_2").is_dir() else SD
    name = read_json(index).get("_class_name")
    if isinstance(name, list):  # one's own pipeline class: [module, class]
        name = name[-1] if name else None
    if name in PIPELINES:
        return PIPELINES[name]
    why = next((why for part, why in WHY_NOT.items() if part in str(name)), "its parts are others")
    raise ValueError(
        f"{setting} must be a text-to-image pipeline that an outlier vector can enter, got {folder}"
        f", a {name}: {why}; {READ}; another needs a module of its own (docs/generator.md)"
    )


def describe(folder: Path, setting: str = "generator.path") -> Pipeline:
    """Return what a folder is.

    Raises FileNotFoundError naming what it lacks, ValueError naming the file and the entry that do
    not fit, and the pipeline's class where that is none of PIPELINES.
    """
    family = family_of(folder, setting)
    for part, file in COMPONENTS[family].items():
        if not (folder / part / file).is_file():
            raise FileNotFoundError(
                f"{setting} must be a folder in {family}'s layout, got {folder}: "
                f"it lacks {part}/{file}; copy the whole folder again"
            )
    configs = {part: read_json(folder / part / file) for part, file in COMPONENTS[family].items()}
    for part, config in configs.items():
        if part in MODELS:
            _require_sane(folder / part / CONFIG, config)
            _require_class(folder / part / CONFIG, config, MODELS[part], family)
    encoders = [configs[part] for part in ("text_encoder", "text_encoder_2") if part in configs]
    widths = [_whole(folder / "text_encoder", each, "hidden_size") for each in encoders]
    denoiser, vae = configs[DENOISER[family]], configs["vae"]
    _require_latents(folder, DENOISER[family], denoiser, vae)
    CHECKS[family](folder, family, encoders, denoiser)
    scheduler = configs["scheduler"]
    path = folder / "scheduler" / "scheduler_config.json"
    return Pipeline(
        family=family,
        stored=str(scheduler.get("_class_name")),
        prediction=_prediction(path, scheduler, family),
        anchor=sum(widths),
        guidance_embedded=denoiser.get("time_cond_proj_dim") is not None,
        zero_snr=bool(scheduler.get("rescale_betas_zero_snr")),
        most_steps=scheduler.get("original_inference_steps") or 50,
        adapted=(folder / ADAPTED).is_file(),
        denoiser=denoiser,
        decoder=vae,
    )


def require_sampler(
    pipeline: Pipeline, scheduler: str, steps: int, where: str, *, adapted: bool = False
) -> None:
    """Raise ValueError if a sampler does not fit a folder's network.

    `where`: which generator, for the message. `adapted`: a LoRA will be fused into it.
    """
    fits = [name for name, known in SCHEDULERS.items() if pipeline.prediction in known]
    if not pipeline.distilled and not adapted:
        fits = [name for name in fits if name != "lcm"]
    if pipeline.guidance_embedded:
        fits = ["lcm"]
    if pipeline.zero_snr:  # PNDM's stored form cannot rescale its schedule
        fits = [name for name in fits if name != "pndm"]
    if scheduler not in fits:
        why = f"predicts {pipeline.prediction}"
        if pipeline.guidance_embedded:
            why = "reads the guidance as an input (time_cond_proj_dim): it was distilled for LCM"
        elif scheduler == "lcm" and pipeline.prediction in SCHEDULERS["lcm"]:
            why = "was not distilled for LCM; give an LCM-LoRA by generator.lora"
        elif pipeline.zero_snr and pipeline.prediction in SCHEDULERS[scheduler]:
            why += " on a schedule with rescale_betas_zero_snr"
        raise ValueError(
            f"images.scheduler must be {' or '.join(fits)} for {where}, whose network {why}; "
            f"got {scheduler}"
        )
    if scheduler == "lcm" and steps > pipeline.most_steps:
        raise ValueError(
            f"images.steps must be at most {pipeline.most_steps} for LCM's sampler, got {steps}; "
            "1 to 8 are usual"
        )


# --- checks of one file or two ---


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _require_sane(path: Path, config: Mapping) -> None:
    """Raise ValueError for numbers that no network has: they would hang or end the loader."""
    for key, value in config.items():
        most = MOST_LAYERS if "layers" in key else LARGEST
        for number in _numbers(value):
            if not math.isfinite(number) or abs(number) > most:
                raise ValueError(
                    f"{path}: {key} must be a number of a network's, got {value}; "
                    "copy the folder again"
                )


def _require_class(path: Path, config: Mapping, known: tuple[str, ...], family: str) -> None:
    named = config.get("_class_name") or next(iter(config.get("architectures") or ()), None)
    if named not in known and not (named is None and config.get("model_type")):
        raise ValueError(
            f"{path} must describe a {' or '.join(known)} to be part of a {family} pipeline, got "
            f"{named}; {READ}"
        )


def _whole(folder: Path, config: Mapping, key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"{folder / CONFIG}: {key} must be a number of at least 1, got {value!r}; "
            "copy the folder again"
        )
    return value


def _require_equal(folder: Path, left: str, a: object, right: str, b: object) -> None:
    if a != b:
        raise ValueError(
            f"{folder}: {left} must equal {right}, got {a} and {b}: they are of two pipelines; "
            "copy one whole folder again"
        )


def _require_latents(folder: Path, part: str, denoiser: Mapping, vae: Mapping) -> None:
    """Raise ValueError if a denoiser's latents are not those of the VAE."""
    _whole(folder / part, denoiser, "sample_size")
    inputs = _whole(folder / part, denoiser, "in_channels")
    latent = _whole(folder / "vae", vae, "latent_channels")
    named = f"{part}'s in_channels", f"{part}'s out_channels", "vae's latent_channels"
    _require_equal(folder, named[0], inputs, named[2], latent)
    _require_equal(folder, named[1], denoiser.get("out_channels") or latent, named[2], latent)
    scale = vae.get("scaling_factor", 0.18215)
    if not isinstance(scale, int | float) or scale <= 0:
        raise ValueError(
            f"{folder / 'vae' / CONFIG}: scaling_factor must be above 0, got {scale!r}; "
            "copy the folder again"
        )


def _require_unet(folder: Path, family: str, encoders: list[Mapping], unet: Mapping) -> None:
    """Raise ValueError if a UNet does not fit its text encoders, or reads more than they say."""
    width = sum(each["hidden_size"] for each in encoders)
    crossed = unet.get("cross_attention_dim")
    _require_equal(folder, "the text encoders' width", width, "unet's cross_attention_dim", crossed)
    wanted = dict.fromkeys(("class_embed_type", "encoder_hid_dim_type", "num_class_embeds"))
    wanted["addition_embed_type"] = "text_time" if family == SDXL else None
    for key, value in wanted.items():
        if unet.get(key) != value:
            raise ValueError(
                f"{folder / 'unet' / CONFIG}: {key} must be {value} in a {family} pipeline, got "
                f"{unet.get(key)!r}; {READ}"
            )
    if family == SDXL:
        pooled = _whole(folder / "text_encoder_2", encoders[1], "projection_dim")
        ids = 6 * _whole(folder / "unet", unet, "addition_time_embed_dim")
        _require_equal(
            folder, "text_encoder_2's projection and six time ids", pooled + ids,
            "unet's projection_class_embeddings_input_dim",
            unet.get("projection_class_embeddings_input_dim"),
        )  # fmt: skip


def _require_transformer(folder: Path, _family: str, encoders: list[Mapping], own: Mapping) -> None:
    """Raise ValueError if a flow model's transformer does not fit its text encoders."""
    pooled, wanted = sum(each.get("projection_dim") or 0 for each in encoders), "the transformer's"
    given = own.get("pooled_projection_dim")
    _require_equal(folder, "the text encoders' projections", pooled, wanted, given)
    width, most = sum(x["hidden_size"] for x in encoders), own.get("joint_attention_dim")
    if not isinstance(most, int) or width > most:  # narrower ones are padded with zeros
        _require_equal(folder, "the text encoders' widths", width, wanted, most)


CHECKS = {SD: _require_unet, SDXL: _require_unet, SD3: _require_transformer}


def _prediction(path: Path, scheduler: Mapping, family: str) -> str:
    """Return what the network predicts; ValueError for a noise schedule that cannot be."""
    steps = scheduler.get("num_train_timesteps", 1000)
    if not isinstance(steps, int) or not 1 <= steps <= LARGEST:
        raise ValueError(
            f"{path}: num_train_timesteps must be a number of steps, got {steps!r}; "
            "copy the folder again"
        )
    flows = "FlowMatch" in str(scheduler.get("_class_name"))
    if flows != (family == SD3):
        raise ValueError(
            f"{path} stores a {scheduler.get('_class_name')}, which is no scheduler of a {family} "
            "pipeline; copy the folder again"
        )
    if flows:
        shift = scheduler.get("shift", 1.0)
        if not isinstance(shift, int | float) or shift <= 0:
            raise ValueError(f"{path}: shift must be above 0, got {shift!r}; copy the folder again")
        return FLOW
    for key in ("beta_start", "beta_end"):
        beta = scheduler.get(key, 0.01)
        if not isinstance(beta, int | float) or not 0 < beta < 1:
            raise ValueError(
                f"{path}: {key} must be in (0, 1), got {beta!r}; copy the folder again"
            )
    prediction = scheduler.get("prediction_type") or "epsilon"
    if prediction not in PREDICTIONS:
        raise ValueError(
            f"{path}: prediction_type must be {', '.join(PREDICTIONS)}, got {prediction!r}"
        )
    return prediction
