"""A LoRA file as an artifact, and fused into a generator's weights: W + scale · (alpha / r) · B A.

Enters: a .safetensors file of one's own (`generator.lora.path`), or one of a pinned commit of the
hub. Leaves lora.safetensors. Two ways of naming are read: kohya's (`lora_unet_…lora_down.weight`,
which LCM-LoRA has) and that of diffusers and PEFT (`unet.….lora_A.weight`).

Hu et al. 2021, equation 3.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.generators.text_to_image.hub import fetch_files
from bood_tasks.jobs.job import read_job
from bood_tasks.networks.pipelines import ADAPTED
from bood_tasks.networks.weights import read_weights

VERSION = 1
FILE = "lora.safetensors"
PARTS = {  # how a file's names begin: the generator's component
    "lora_unet_": "unet",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te_": "text_encoder",
    "lora_transformer_": "transformer",
    "unet.": "unet",
    "text_encoder_2.": "text_encoder_2",
    "text_encoder.": "text_encoder",
    "transformer.": "transformer",
}
ENDS = {  # how they end: which of the three numbers it is
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".alpha": "alpha",
}
OLDER = re.compile(r"\.processor\.(to_\w+?)_lora\.(down|up)\.weight$")  # diffusers before 0.20
ADAPTER = "lora_adapter_metadata"  # PEFT's, which has the alpha where no tensor does


@dataclass(frozen=True)
class Change:
    """One weight's change. `down` [r, in ...], `up` [out, r ...]; its size is alpha / r."""

    down: Tensor
    up: Tensor
    alpha: float

    def of(self, weight: Tensor) -> Float[Tensor, "..."]:
        """The change of a weight, in float32 and its shape."""
        down, up = self.down.float().flatten(1), self.up.float().flatten(1)
        return (self.alpha / len(down)) * (up @ down).reshape(weight.shape)


def read_lora(path: Path) -> dict[tuple[str, str], Change]:
    """Return the changes of a file by component and module, whose dots kohya writes as `_`.

    Raises ValueError, naming the file and the entry, for what is no plain LoRA.
    """
    found: dict[tuple[str, str], dict[str, Tensor]] = {}
    for name, tensor in read_weights(path).items():
        place = OLDER.sub(_newer, name)
        start = next((start for start in PARTS if place.startswith(start)), None)
        end = next((end for end in ENDS if place.endswith(end)), None)
        if start is None or end is None:
            raise ValueError(
                f"{path} must be a plain LoRA (pairs of down and up), and has {name}; LyCORIS and "
                "DoRA files are not read: fuse it elsewhere and give the folder"
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name} must be finite, and is not; copy the file again")
        module = place[len(start) : -len(end)]
        key = (PARTS[start], _flat(module.removesuffix(".base_layer")))
        found.setdefault(key, {})[ENDS[end]] = tensor
    alphas = _adapter(path)
    changes = {}
    for key, parts in found.items():
        if not {"down", "up"} <= set(parts):
            raise ValueError(
                f"{path} must have a down and an up for every module, and lacks one for "
                f"{key[1]} of {key[0]}; copy the file again"
            )
        rank = len(parts["down"])
        alpha = float(parts["alpha"]) if "alpha" in parts else alphas.get(key[0], 1.0) * rank
        changes[key] = Change(parts["down"], parts["up"], alpha)
    return changes


def _newer(found: re.Match) -> str:
    return f".{'to_out.0' if found[1] == 'to_out' else found[1]}.lora.{found[2]}.weight"


def _flat(module: str) -> str:
    """A module's name as both namings have it: `_` for dots, without CLIP's former prefix."""
    return module.replace(".", "_").removeprefix("text_model_")


def _adapter(path: Path) -> dict[str, float]:
    """Return alpha / r by component, as PEFT writes it beside the tensors; {} without it.

    Raises ValueError for adapters that are no plain LoRA.
    """
    with safe_open(path, "pt") as handle:
        text = (handle.metadata() or {}).get(ADAPTER)
    if text is None:
        return {}
    try:
        settings = json.loads(text)
        ratios = {
            part: settings[f"{part}.lora_alpha"] / settings[f"{part}.r"]
            for part in set(PARTS.values())
            if f"{part}.r" in settings
        }
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"{path}: {ADAPTER} must be PEFT's settings ({error})") from None
    odd = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern")
    for name, value in settings.items():
        if name.rpartition(".")[2] in odd and value:
            raise ValueError(f"{path}: {name} is not read, got {value}; fuse it elsewhere")
    return ratios


def fuse(
    weights: Mapping[str, Tensor], changes: Mapping[str, Change], scale: float
) -> tuple[dict[str, Tensor], set[str]]:
    """Return weights with the changes in them, in the weights' dtypes, and the modules changed.

    Raises ValueError for a change of another shape.
    """
    fused, used = dict(weights), set()
    for name, weight in weights.items():
        module = _flat(name.removesuffix(".weight"))
        if not name.endswith(".weight") or module not in changes:
            continue
        change = changes[module]
        made = len(change.up) * change.down[0].numel()
        if made != weight.numel() or len(change.up) != len(weight):
            raise ValueError(
                f"generator.lora must fit this generator: {module} is {list(weight.shape)}, its "
                f"change {len(change.up)} x {change.down[0].numel()}; take the LoRA of this model"
            )
        fused[name] = (weight.float() + scale * change.of(weight)).to(weight.dtype)
        used.add(module)
    return fused, used


def fuse_folder(folder: Path, path: Path, scale: float) -> None:
    """Fuse a LoRA file into a generator's folder, whose weights are written anew.

    Raises ValueError for a change of a module that the generator does not have.
    """
    changes = read_lora(path)
    for part in sorted({part for part, _ in changes}):
        own = {module: change for (of, module), change in changes.items() if of == part}
        absent = set(own)
        for file in sorted((folder / part).glob("*.safetensors")):
            fused, used = fuse(load_file(file), own, scale)
            save_file(fused, file, metadata={"format": "pt"})
            file.chmod(0o644)
            absent -= used
        if absent:
            raise ValueError(
                f"generator.lora must be made for this generator, and {len(absent)} of its "
                f"{len(own)} changes are of modules that {part} does not have, first "
                f"{min(absent)}; take the LoRA of this model, in diffusers' names"
            )
    write_json(folder / ADAPTED, {"modules": len(changes), "scale": scale})


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    with job.draft() as draft:
        draft.folder.mkdir(parents=True, exist_ok=True)
        kept = draft.folder / FILE
        if settings["source"] == "hub":
            fetched = draft.progress / "hub"
            fetch_files(
                settings["repo"], settings["revision"], fetched, [settings["file"]],
                setting="generator.lora", keep=draft.keep, keeps=draft.keeps,
            )  # fmt: skip
            shutil.copyfile(fetched / settings["file"], kept)
        else:
            shutil.copyfile(job.source, kept)
        draft.finish(rows={"modules": len(read_lora(kept))})
