"""A trained detector's network: built from its settings, read from its file."""

import importlib
from collections.abc import Mapping

import torch
from safetensors.torch import load_file
from torch import nn

from bood_tasks.artifacts.code import load_code
from bood_tasks.artifacts.store import Artifact
from bood_tasks.detectors.method import Method
from bood_tasks.networks.build import network
from bood_tasks.networks.shapes import SHAPING

DESCRIPTION = "method.json"


def method_class(module: str, source: str = "") -> type[Method]:
    """Return the class that a training module names METHOD: the package's, or the file's.

    Raises ValueError if there is none.
    """
    if source:
        loaded = load_code(module, source)
    else:
        loaded = importlib.import_module(f"bood_tasks.detectors.methods.{module}")
    method = getattr(loaded, "METHOD", None)
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise ValueError(
            f"methods.{module}.module must name a subclass of bood_tasks.Method METHOD, "
            f"got {method!r} in {source or loaded.__name__}; end it with `METHOD = <class>`"
        )
    return method


def build(description: Mapping, source: str = "") -> Method:
    """Return the untrained network that `method.json` describes."""
    method = method_class(description["method"], source)
    settings = description["settings"]
    return method(network(description), classes=description["classes"], **settings)


def load_model(artifact: Artifact, device: str, source: str = "") -> Method:
    """Return a trained network in evaluation mode; a method of one's own needs its `source`."""
    model = build(artifact.json(DESCRIPTION), source)
    model.load_state_dict(load_file(artifact.folder / "model.safetensors"))
    return model.to(device, memory_format=torch.channels_last).eval()


def last_layer(artifact: Artifact, device: str) -> nn.Linear:
    """Return the last layer of a trained network whose logits are linear; any method's, without
    its file."""
    classifier, prefix = network(artifact.json(DESCRIPTION)), "network."
    weights = load_file(artifact.folder / "model.safetensors")
    own = {name.removeprefix(prefix): x for name, x in weights.items() if name.startswith(prefix)}
    classifier.load_state_dict(own)
    return classifier.head.to(device)


def network_description(settings: Mapping, facts: Mapping) -> dict:
    """Return what networks.network builds from, for the ID data set's classes and words."""
    found = {key: settings[key] for key in ("network", *sorted(SHAPING)) if key in settings}
    if "vocabulary_size" in facts:
        found["vocabulary"] = facts["vocabulary_size"]
    return found | {"classes": len(facts["classes"])}
