"""A trained detector's network: built from its settings, read from its file."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

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
        found = importlib.util.spec_from_file_location(module, source)
        loaded = importlib.util.module_from_spec(found)
        folder = str(Path(source).absolute().parent)
        sys.path.insert(0, folder)  # what it imports beside it
        try:
            found.loader.exec_module(loaded)
        finally:
            sys.path.remove(folder)
            if folder not in sys.path:
                sys.path.append(folder)  # for what its functions import later
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


def network_description(settings: Mapping, facts: Mapping) -> dict:
    """Return what networks.network builds from, for the ID data set's classes and words."""
    found = {key: settings[key] for key in ("network", *sorted(SHAPING)) if key in settings}
    if "vocabulary_size" in facts:
        found["vocabulary"] = facts["vocabulary_size"]
    return found | {"classes": len(facts["classes"])}
