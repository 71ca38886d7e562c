"""Classifiers of timm, torchvision, transformers, OpenOOD, a Python file or an ONNX file: how each
is built, and how its pictures are scaled. Libraries are imported where they are asked for.

A network is described by a mapping of one source in SOURCES and what goes with it:
`{timm: resnet18, mean: [...], std: [...], size: 224, head: fc}`. Files lie in a folder beside:
Python code under its name, `config.json` of transformers, `network.onnx`.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bood_tasks.networks import openood
from bood_tasks.networks.given import GivenNetwork, split
from bood_tasks.networks.own_code import load_code
from bood_tasks.networks.shapes import source_of

ONNX = "network.onnx"
RESAMPLES = {1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}  # Pillow's numbers
WORDS = 8  # of the text by which a network is tried
_SETTING = "detector.network"


def _unknown(kind: str, name: str, known: Sequence[str]) -> ValueError:
    near = difflib.get_close_matches(name, known, 3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return ValueError(f"{_SETTING}.{kind} must name a classifier of {kind}, got {name!r}{hint}")


def _timm_defaults(name: str) -> dict[str, Any]:
    import timm

    if not timm.is_model(name.split(".")[0]):
        raise _unknown("timm", name, timm.list_models())
    given = timm.get_pretrained_cfg(name)
    if given is None:
        return {}
    return {
        "mean": given.mean, "std": given.std, "size": given.input_size[-1],
        "kernel": given.interpolation,
    }  # fmt: skip


def _torchvision_defaults(name: str) -> dict[str, Any]:
    from torchvision import models

    if name not in (known := models.list_models(module=models)):
        raise _unknown("torchvision", name, known)
    shown = models.get_model_weights(name).DEFAULT.transforms()
    return {
        "mean": shown.mean, "std": shown.std, "size": shown.crop_size[0],
        "kernel": shown.interpolation.value,
    }  # fmt: skip


def _transformers_defaults(folder: Path) -> dict[str, Any]:
    """Return what a folder's own files say, of pictures or of texts."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = {int(key): name for key, name in (config.get("id2label") or {}).items()}
    found: dict[str, Any] = {"pad": None}
    if names and not all(name == f"LABEL_{key}" for key, name in names.items()):
        found["classes"] = [names[key] for key in sorted(names)]
    if "vocab_size" in config:
        pad = config.get("pad_token_id")
        longest = config.get("max_position_embeddings")
        # RoBERTa counts positions from behind its padding token's number
        past = (pad or 0) + 1 if "roberta" in config.get("model_type", "") else 0
        return found | {"pad": pad or 0, "longest": longest and longest - past}
    shown = folder / "preprocessor_config.json"
    given = json.loads(shown.read_text(encoding="utf-8")) if shown.is_file() else {}
    size = given.get("size", config.get("image_size"))
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("shortest_edge")
    return found | {
        "mean": given.get("image_mean"), "std": given.get("image_std"), "size": size,
        "kernel": RESAMPLES.get(given.get("resample")),
    }  # fmt: skip


def defaults(description: Mapping, folder: Path | None = None) -> dict[str, Any]:
    """Return what is known of a network before it is built: `mean`, `std` and `size` of its
    pictures, the `kernel` that resized them, or `pad` and `longest` of its texts; `classes`, the
    names of its logits. What nothing tells is not there or None.

    Raises ValueError for a name that the library does not have.
    """
    kind = source_of(description)
    name = description[kind]
    match kind:
        case "timm":
            found = _timm_defaults(name)
        case "torchvision":
            found = _torchvision_defaults(name)
        case "transformers":
            found = _transformers_defaults(folder)
        case "openood":
            if name not in openood.SIDES:
                raise _unknown("openood", name, list(openood.SIDES))
            found = {
                "mean": openood.MEANS[name], "std": openood.STDS[name],
                "size": openood.SIDES[name], "kernel": "bilinear",
            }  # fmt: skip
        case _:
            found = {}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def _transformers(folder: Path, classes: int, settings: Mapping) -> nn.Module:
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, num_labels=classes, **settings)
    of_texts = hasattr(config, "vocab_size") and type(config) in (
        transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    )
    kind = (
        transformers.AutoModelForSequenceClassification if of_texts
        else transformers.AutoModelForImageClassification
    )  # fmt: skip
    # of `eager` alone every operation has a counterpart in ONNX
    return kind.from_config(config, attn_implementation="eager")


def _own(description: Mapping, folder: Path, classes: int, settings: Mapping) -> nn.Module:
    file, _, function = description["python"].rpartition(":")
    module = load_code(Path(file).stem, str(folder / file))
    made = getattr(module, function, None)
    if not callable(made):
        raise ValueError(
            f"{_SETTING}.python must name a function of the file, got {function!r}, which {file} "
            f"does not define; write `def {function}(classes): return <torch.nn.Module>`"
        )
    net = made(classes, **settings)
    if not isinstance(net, nn.Module):
        raise ValueError(
            f"{_SETTING}.python must name a function that returns a torch.nn.Module, got "
            f"{type(net).__name__} from {function} of {file}"
        )
    return net


def original(description: Mapping, classes: int, folder: Path | None = None) -> nn.Module:
    """Return the untrained network as its library or its file builds it, for so many classes.

    Raises ValueError, naming the setting, for one that cannot be built.
    """
    kind, settings = source_of(description), description.get("settings", {})
    name = description[kind]
    try:
        match kind:
            case "timm":
                import timm

                return timm.create_model(name, num_classes=classes, **settings)
            case "torchvision":
                from torchvision import models

                extra = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
                return models.get_model(
                    name, weights=None, num_classes=classes, **(extra | dict(settings))
                )
            case "transformers":
                return _transformers(folder, classes, settings)
            case "openood":
                if name == "resnet18_32x32":
                    return openood.SmallResNet18(classes)
                from torchvision import models

                return models.resnet18(weights=None, num_classes=classes)
            case _:
                return _own(description, folder, classes, settings)
    except (TypeError, AttributeError, RuntimeError, ImportError, AssertionError) as error:
        raise ValueError(
            f"{_SETTING}: {kind} cannot build {name} with the settings {dict(settings)} "
            f"({type(error).__name__}: {error})"
        ) from error


def example(description: Mapping, device: str = "cpu") -> Tensor:
    """Return two inputs of ours by which a network is tried: pictures, or texts of its length."""
    if description.get("mean") is None:
        words = min(description.get("size") or WORDS, WORDS)
        return torch.ones(2, words, dtype=torch.long, device=device)  # the unknown word
    side = description["size"]
    wave = torch.linspace(-2, 2, 2 * 3 * side * side, device=device)
    return torch.sin(40 * wave).view(2, 3, side, side)


def given_network(description: Mapping, classes: int, folder: Path | None = None) -> nn.Module:
    """Return the untrained classifier that a mapping describes, split into body and head."""
    if source_of(description) == "onnx":
        from bood_tasks.networks.onnx_network import OnnxNetwork

        return OnnxNetwork(
            folder / ONNX, mean=description["mean"], std=description["std"],
            features=description.get("features"), order=description.get("order"),
        )  # fmt: skip
    net = original(description, classes, folder)
    how = {key: description.get(key) for key in ("mean", "std", "pad", "order")}
    if "head" in description:  # found and tried before: not again each time it is loaded
        return GivenNetwork(net, description["head"], **how)
    apart = split(net, example(description), **how)
    return apart.train()
