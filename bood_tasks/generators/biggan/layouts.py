"""Convert released BigGAN checkpoints to our weights: plain, without spectral norm.

Spectral norm is divided out once, by the estimate of the largest singular value that the published
code would use in evaluation mode.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bood_tasks.generators.biggan.biggan import WIDTHS, Generator, Shape
from bood_tasks.generators.biggan.biggan_deep import DeepGenerator, DeepShape
from bood_tasks.networks.weights import read_weights

WEIGHTS, FILE = "generator.safetensors", "generator.json"
ARCHITECTURES = {"biggan": (Shape, Generator), "biggan-deep": (DeepShape, DeepGenerator)}
Given = dict[str, Tensor]


def build(description: Mapping) -> Generator | DeepGenerator:
    """Return the untrained generator that generator.json describes."""
    shape, network = ARCHITECTURES[description["architecture"]]
    return network(shape(**description["shape"]))


def _take(state: Given, name: str, path: Path) -> Tensor:
    try:
        return state[name]
    except KeyError:
        raise ValueError(f"{path} must hold this layout's weights, and lacks {name}") from None


def _flat(weight: Tensor) -> Tensor:
    return weight.reshape(len(weight), -1).double()


def _divided_once(state: Given) -> Given:
    """Return BigGAN-PyTorch's weights in effect: one step of the power method from `u0`."""
    found = {name: value for name, value in state.items() if not re.search(r"\.(u|sv)\d+$", name)}
    for name, u in state.items():
        weight = name.removesuffix(".u0") + ".weight"
        if name.endswith(".u0") and weight in state:
            matrix = _flat(state[weight])
            v = torch.nn.functional.normalize(u.double() @ matrix, eps=1e-12)
            largest = (v @ matrix.T).norm()
            found[weight] = (state[weight].double() / largest).to(state[weight].dtype)
    return found


def _divided(state: Given) -> Given:
    """Return the weights in effect of torch's older spectral norm: W / (u W v)."""
    found = {}
    for name, value in state.items():
        if name.endswith("weight_orig"):
            stem = name.removesuffix("_orig")
            if f"{stem}_u" in state and f"{stem}_v" in state:
                u, v = (state[f"{stem}_{side}"].double() for side in "uv")
                value = (value.double() / (u @ _flat(value) @ v)).to(value.dtype)
            found[stem] = value
        elif not name.endswith(("weight_u", "weight_v")):
            found[name] = value
    return found


def _biggan(path: Path, attention: int) -> tuple[Given, dict]:
    """Read a generator of BigGAN-PyTorch, its shape told from its weights."""
    state = _divided_once(read_weights(path))
    first = _take(state, "linear.weight", path)
    gain = _take(state, "blocks.0.0.bn1.gain.weight", path)
    last = _take(state, "output_layer.0.gain", path)
    blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    sizes = {len(widths) - 1: size for size, widths in WIDTHS.items() if size != 32} | {3: 32}
    if blocks not in sizes:
        raise ValueError(f"{path} must have {', '.join(map(str, sizes))} blocks, got {blocks}")
    size, chunk = sizes[blocks], first.shape[1]
    shared = state["shared.weight"].shape[1] if "shared.weight" in state else 0
    hierarchical = shared > 0 and gain.shape[1] == shared + chunk
    classes = state["shared.weight"].shape[0] if shared else gain.shape[0]
    shape = {
        "resolution": size,
        "channels": len(last) // WIDTHS[size][-1],
        "latent": chunk * (blocks + 1) if hierarchical else chunk,
        "classes": classes,
        "shared": shared,
        "hierarchical": hierarchical,
        "attention": attention,
    }
    return state, {"architecture": "biggan", "shape": shape, "classes": None}


def _deep(folder: Path) -> tuple[Given, dict]:
    """Read a generator of pytorch-pretrained-biggan: pytorch_model.bin and config.json."""
    config = folder / "config.json"
    if not config.is_file():
        raise FileNotFoundError(f"gan_generator.path must hold config.json, and {folder} does not")
    facts = json.loads(config.read_text(encoding="utf-8"))
    found = {}
    for name, value in _divided(read_weights(folder / "pytorch_model.bin")).items():
        if name.endswith(("running_means", "running_vars")):  # a row for each truncation up to 1
            name, value = name.removesuffix("s"), value[-1]
        found[name] = value
    if facts["z_dim"] != facts.get("class_embed_dim", facts["z_dim"]):
        raise ValueError(f"{config}: class_embed_dim must equal z_dim, got {facts}")
    shape = {
        "resolution": facts["output_dim"],
        "channels": facts["channel_width"],
        "latent": facts["z_dim"],
        "classes": facts["num_classes"],
        "layers": facts["layers"],
        "attention": facts["attention_layer_position"],
        "eps": facts["eps"],
    }
    doubled = 4 * 2 ** sum(bool(up) for up, _, _ in facts["layers"])
    if doubled != facts["output_dim"] or not math.isfinite(facts["eps"]):
        raise ValueError(f"{config}: layers must lead to output_dim, got {doubled} pixels; {facts}")
    return found, {"architecture": "biggan-deep", "shape": shape, "classes": None}


def read_layout(path: Path, settings: Mapping) -> tuple[Given, dict]:
    """Return a generator's weights in effect and its description, from outside files.

    Raises ValueError or FileNotFoundError that names the file and what is wrong with it.
    """
    match settings["layout"]:
        case "biggan-pytorch":
            return _biggan(path, settings["attention"])
        case "pytorch-pretrained-biggan":
            return _deep(path)
    if not (path / FILE).is_file():
        raise FileNotFoundError(
            f"gan_generator.path must hold {FILE} and {WEIGHTS}, and {path} does not; or name "
            "another gan_generator.layout"
        )
    return read_weights(path / WEIGHTS), json.loads((path / FILE).read_text(encoding="utf-8"))
