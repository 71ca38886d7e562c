"""A trained detector's network: built from its settings, read from its file."""

import importlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.catalogue.methods import PACKAGED
from bood_tasks.detectors.method import Method
from bood_tasks.jobs.job import Job
from bood_tasks.networks.build import network
from bood_tasks.networks.own_code import load_code
from bood_tasks.networks.shapes import SHAPING
from bood_tasks.networks.weights import read_weights, require_fitting

DESCRIPTION = "method.json"
NETWORK = "network"  # the folder with the files of a network of somebody else's
HEADS = ("network.head", "network.fc")  # names of the last layer


def method_class(module: str, source: str = "") -> type[Method]:
    """Return the class that a training module names METHOD: the package's, or the file's.

    Raises ValueError if there is none.
    """
    if source:
        loaded = load_code(module, source)
    elif module not in PACKAGED:
        raise ValueError(f"method must be one of {', '.join(sorted(PACKAGED))}, got {module!r}")
    else:
        loaded = importlib.import_module(f"bood_tasks.detectors.methods.{module}")
    method = getattr(loaded, "METHOD", None)
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise ValueError(
            f"methods.{module}.module must name a subclass of bood_tasks.Method METHOD, "
            f"got {method!r} in {source or loaded.__name__}; end it with `METHOD = <class>`"
        )
    return method


def build(description: Mapping, source: str = "", folder: Path | None = None) -> Method:
    """Return the untrained network that `method.json` describes; `folder` holds the files of a
    network of somebody else's."""
    method = method_class(description["method"], source)
    settings = description["settings"]
    net = network(description, folder)
    return method(net, classes=description["classes"], **settings)


def load_model(artifact: Artifact, device: str, source: str = "") -> Method:
    """Return a trained network in evaluation mode; a method of one's own needs its `source`."""
    model = build(artifact.json(DESCRIPTION), source, artifact.folder / NETWORK)
    path = artifact.folder / "model.safetensors"
    model.load_state_dict(require_fitting(read_weights(path), model.state_dict(), path))
    return model.to(device, memory_format=torch.channels_last).eval()


def stored_layer(artifact: Artifact) -> nn.Linear | None:
    """Return the last linear layer of a trained detector's network, read from its weights alone;
    None if there is none. The method may use another one, see last_layer of scoring."""
    with safe_open(artifact.folder / "model.safetensors", "pt") as weights:
        names = set(weights.keys())
        name = next((name for name in HEADS if f"{name}.weight" in names), None)
        if name is None:
            return None
        weight = weights.get_tensor(f"{name}.weight")
        bias = weights.get_tensor(f"{name}.bias") if f"{name}.bias" in names else None
    return as_layer(weight, bias)


def as_layer(weight: Tensor, bias: Tensor | None) -> nn.Linear | None:
    """Return a linear layer of a weight [v, p] and a bias [v], 0 if there is none; None for a
    weight of another shape."""
    if weight.ndim != 2:
        return None
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    layer.bias = nn.Parameter(
        weight.new_zeros(len(weight)) if bias is None else bias, requires_grad=False
    )
    return layer


def network_description(settings: Mapping, facts: Mapping) -> dict:
    """Return what networks.network builds from, for the ID data set's classes and words."""
    found = {key: settings[key] for key in ("network", *sorted(SHAPING)) if key in settings}
    if "vocabulary_size" in facts:
        found["vocabulary"] = facts["vocabulary_size"]
    return found | {"classes": len(facts["classes"])}


def network_files(job: Job) -> Path | None:
    """Return the folder with the files of the job's network, None for one without."""
    return job.inputs["network"].folder / NETWORK if "network" in job.inputs else None


def keep_network(job: Job, draft: Draft) -> None:
    """Copy those files into an artifact, which is then whole by itself."""
    if (files := network_files(job)) is not None:
        shutil.copytree(files, draft.folder / NETWORK, dirs_exist_ok=True)
