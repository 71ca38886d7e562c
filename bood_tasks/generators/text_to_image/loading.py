"""Parts of a diffusers folder as modules: every weight from its safetensors, fitting and finite.

A folder from somebody else runs nothing: classes are named here, never by the folder, and pickles
are not read.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from transformers import CLIPTokenizer

from bood_tasks.artifacts.outside import require_whole_weights
from bood_tasks.networks.pipelines import SCHEDULERS

STORED = {  # a folder's scheduler: its name in images.scheduler
    "DDIMScheduler": "ddim",
    "PNDMScheduler": "pndm",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_ancestral",
    "LCMScheduler": "lcm",
    "DPMSolverMultistepScheduler": "dpmsolver++",
    "UniPCMultistepScheduler": "unipc",
    "FlowMatchEulerDiscreteScheduler": "flow_euler",
}

# Of CLIP's files, and of no use here: the picture half, the projection, what is counted anew.
UNREAD = ("vision_model", "visual_projection", "text_projection", "logit_scale", "position_ids")


@contextmanager
def named(folder: Path) -> Iterator[None]:
    """Turn whatever a loader raises into a ValueError that names the folder and the cure.

    The libraries raise errors of some twenty kinds for damaged files; memory that ran out, a file
    that lacks and what is refused by name here stay as they are.
    """
    try:
        yield
    except (FileNotFoundError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if type(error) is ValueError and str(folder) in str(error):
            raise
        raise ValueError(
            f"{folder} cannot be loaded ({type(error).__name__}: {error}); copy the folder again"
        ) from error


def load_model(model_class: type, folder: Path, kind: torch.dtype) -> torch.nn.Module:
    """A model in evaluation mode whose every weight came from the folder's safetensors, and is a
    finite number.

    Checked here because the loaders fill what is missing with random numbers and go on. Raises
    ValueError that names the folder and the first weight which is missing or not finite.
    """
    _check_weights(folder)
    dtype = "torch_dtype" if model_class.__module__.startswith("diffusers") else "dtype"
    model, found = model_class.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
        **{dtype: kind},
    )
    absent = [*found["missing_keys"], *found["mismatched_keys"]]
    beyond = [x for x in found["unexpected_keys"] if not any(part in x for part in UNREAD)]
    for names, why in ((absent, "missing or of another shape"), (beyond, "of no layer of it")):
        if names:
            raise ValueError(
                f"{folder} holds weights that do not fit its config.json: {len(names)} are {why}, "
                f"first {sorted(map(str, names))[0]}; copy the folder again"
            )
    for name, weight in model.state_dict().items():
        if not torch.isfinite(weight).all():
            raise ValueError(
                f"{folder} must hold finite weights, and {name} is not in {kind}; take "
                "images.dtype: float32 or bfloat16, or copy the folder again"
            )
    return model.eval().requires_grad_(False)


def load_text(
    folder: Path, model_class: type, kind: torch.dtype, number: str = ""
) -> dict[str, CLIPTokenizer | torch.nn.Module]:
    """The tokenizer, with its own padding token, and the text encoder of a pipeline's folder, by
    their names there; `number`: "" or "_2".

    Raises ValueError if the one has words or a length that the other does not know.
    """
    tokenizer = CLIPTokenizer.from_pretrained(folder / f"tokenizer{number}", local_files_only=True)
    encoder = load_model(model_class, folder / f"text_encoder{number}", kind)
    rows, length = encoder.config.vocab_size, encoder.config.max_position_embeddings
    if len(tokenizer) != rows or tokenizer.model_max_length > length:
        raise ValueError(
            f"{folder / f'tokenizer{number}'} must fit its text encoder, of {rows} words and "
            f"{length} places, got {len(tokenizer)} and {tokenizer.model_max_length}; copy the "
            "folder again"
        )
    return {f"tokenizer{number}": tokenizer, f"text_encoder{number}": encoder}


def _check_weights(folder: Path) -> None:
    """Refuse a model folder whose safetensors are missing, truncated or not safetensors."""
    if not any(folder.glob("*.safetensors")):
        raise FileNotFoundError(
            f"{folder} holds no .safetensors weights; other formats are not read: convert them "
            "with `from_pretrained(..., use_safetensors=False).save_pretrained(...)`"
        )
    require_whole_weights(folder, "generator.path")


def load_scheduler(folder: Path, name: str | None):
    """The stored scheduler, or another one on the stored noise schedule.

    What the folder stores of prediction type, spacing and offset of timesteps, and terminal SNR
    holds for each. Two of them add noise between steps (pipelines.STOCHASTIC).
    """
    if name is None:
        stored = json.loads((folder / "scheduler_config.json").read_text("utf-8"))
        name = STORED.get(stored["_class_name"])
        if name is None:
            raise ValueError(
                f"{folder} stores a {stored['_class_name']}; "
                f"choose images.scheduler, one of {', '.join(SCHEDULERS)}"
            )
    match name:
        case "pndm":  # without the Runge-Kutta warm-up, as Stable Diffusion v1.4
            return PNDMScheduler.from_pretrained(folder, skip_prk_steps=True)
        case "ddim":
            return DDIMScheduler.from_pretrained(folder, clip_sample=False, set_alpha_to_one=False)
        case "dpmsolver++":
            return DPMSolverMultistepScheduler.from_pretrained(folder, algorithm_type="dpmsolver++")
        case "unipc":
            return UniPCMultistepScheduler.from_pretrained(folder)
        case "euler":
            return EulerDiscreteScheduler.from_pretrained(folder)
        case "euler_ancestral":
            return EulerAncestralDiscreteScheduler.from_pretrained(folder)
        case "lcm":
            return LCMScheduler.from_pretrained(folder)
        case "flow_euler":
            return FlowMatchEulerDiscreteScheduler.from_pretrained(folder)
    raise ValueError(f"images.scheduler must be one of {', '.join(SCHEDULERS)}, got {name!r}")
