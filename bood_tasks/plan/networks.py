"""Classifiers of somebody else's, as specs know them, and what they lack for a row, before any job.

What a network is tells a process of its own (`python -m bood_tasks.networks.probe`), once: the
answer is kept by the network's description, its files' content and the libraries' versions.
"""

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from bood_tasks.artifacts.outside import READ_OF_FOLDERS, locate
from bood_tasks.artifacts.spec import ROOT, Spec, readable, to_json
from bood_tasks.catalogue.scores import entry_of, moves
from bood_tasks.config.datasets import is_text
from bood_tasks.config.detectors import GivenNetwork
from bood_tasks.config.root import Config
from bood_tasks.networks.shapes import OUTSIDE
from bood_tasks.plan.datasets import code, content

LIBRARIES = ("torch", "timm", "torchvision", "transformers", "onnxruntime")
KEPT = ROOT / ".networks.json"
CLASSES = 10  # of a network that is only looked at
_NUMBERS: dict[str, tuple[int | None, float | None]] = {}  # no part of what a network is


def given(config: Config) -> GivenNetwork | None:
    """Return a row's classifier if it is somebody else's; `config` holds the row's overrides."""
    network = config.detector.network
    return network if isinstance(network, GivenNetwork) else None


def _outside(network: GivenNetwork) -> tuple[Path, str, str]:
    """Return the file or folder of a network, its digest, and how its description names it."""
    kind = network.source
    if kind == "python":
        file, _, function = network.python.rpartition(":")
        path = locate(file, "detector.network.python")
        return path, code(path), f"{path.name}:{function}"
    path = locate(getattr(network, kind), f"detector.network.{kind}")
    if kind == "onnx":
        return path, content(path, None), path.name
    if not (path / "config.json").is_file():
        raise FileNotFoundError(
            f"detector.network.transformers must be a folder with config.json, got {path}; save "
            "the model by save_pretrained"
        )
    return path, content(path, READ_OF_FOLDERS["network"]), path.name


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _kept() -> dict:
    try:
        return json.loads(KEPT.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


@cache
def _asked(request: str, digest: str) -> dict:
    """Return what the probe says of a network, from the store if it was asked before."""
    key = hashlib.sha256(to_json([request, digest, _versions()]).encode()).hexdigest()[:16]
    if key in (kept := _kept()):
        return kept[key]
    done = subprocess.run(
        [sys.executable, "-m", "bood_tasks.networks.probe"], input=request, text=True,
        capture_output=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, check=False,
    )  # fmt: skip
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = {"error": f"it cannot be built ({done.stderr.strip()[-300:]})"}
    if "error" not in found:  # what is mended outside must be seen
        try:
            KEPT.parent.mkdir(parents=True, exist_ok=True)
            scratch = KEPT.with_name(f"{KEPT.name}.{os.getpid()}")
            scratch.write_text(json.dumps(_kept() | {key: found}), encoding="utf-8")
            os.replace(scratch, KEPT)
        except OSError:
            pass  # a store that is read-only works without
    return found


def facts(network: GivenNetwork, *, texts: bool, size: int | None) -> dict:
    """Return what a network is; `facts` of networks/probe.py has the keys. `size`: pixels a side,
    or words, of what it will read; None = its own.

    Raises ValueError, naming the setting, for a network that cannot be built, and OSError for a
    file that is not there.
    """
    kind, folder, digest = network.source, "", ""
    description = {kind: getattr(network, kind), "size": size}
    if network.settings:
        description["settings"] = network.settings
    for key in ("mean", "std", "features"):
        if getattr(network, key) is not None:
            description[key] = getattr(network, key)
    if kind in OUTSIDE:
        path, digest, description[kind] = _outside(network)
        folder = str((path if kind == "transformers" else path.parent).absolute())
    asked = {"description": description, "classes": CLASSES, "folder": folder, "texts": texts}
    found = _asked(json.dumps(asked), digest)
    if "error" in found:
        error = found["error"].removeprefix("detector.network: ")
        named = error.startswith("detector.network")
        raise ValueError(error if named else f"detector.network {{{network.named}}}: {error}")
    return found


def _size(config: Config) -> int | None:
    if is_text(config.datasets[config.id]):
        return config.tokens.words
    return config.image.crop or config.image.size


def _facts(config: Config) -> dict:
    return facts(given(config), texts=is_text(config.datasets[config.id]), size=_size(config))


def made_with(config: Config) -> tuple[int | None, str | None]:
    """Return the side of the pictures and the kernel that a classifier of somebody else's was made
    with; None: nothing says so, or it is none."""
    if given(config) is None:
        return None, None
    known = facts(given(config), texts=False, size=None)["defaults"]
    return known.get("size"), known.get("kernel")


def described(config: Config) -> dict:
    """Return what a row's network is built from: what the library would fill in stands here, so
    that another version of it cannot change a result in silence."""
    network, texts = given(config), is_text(config.datasets[config.id])
    known, kind = _facts(config), network.source
    found = {kind: _outside(network)[2] if kind in OUTSIDE else getattr(network, kind)}
    if kind in ("transformers", "onnx"):
        found[kind] = ""  # what it is called outside is no matter
    found |= {"size": _size(config), "head": known["head"]}
    if network.settings:
        found["settings"] = network.settings
    if network.features is not None:
        found["features"] = network.features
    if texts:
        if known["defaults"].get("pad") is not None:
            found["pad"] = known["defaults"]["pad"]
    else:
        for key in ("mean", "std"):
            value = getattr(network, key) or known["defaults"].get(key)
            if value is None:
                raise ValueError(
                    f"detector.network.{key} must be given for {network.named}, which says "
                    "nothing of how its pictures were scaled"
                )
            found[key] = value
    _NUMBERS[to_json(found)] = known["parameters"], known["flops"]
    return found


def class_names(config: Config) -> list[str] | None:
    """Return the names of the classes in the order of the weights' logits; None: nobody says."""
    return given(config).classes or _facts(config)["defaults"].get("classes")


def network(config: Config) -> Spec | None:
    """Spec of the files that a row's classifier is built from; None if it has none outside."""
    item = given(config)
    if item is None or item.source not in OUTSIDE:
        return None
    path, digest, name = _outside(item)
    settings = {"kind": item.source, "content": digest}
    if item.source == "python":
        settings["file"] = name.rpartition(":")[0]
    return Spec("network", readable(Path(name.rpartition(":")[0] or name).stem), settings,
                source=str(path))  # fmt: skip


def numbers(description: Mapping) -> tuple[int | None, float | None]:
    """Return the number of parameters of a network that `described` has told of in this process,
    and the operations of one sample; None: unknown, as of an ONNX file."""
    return _NUMBERS.get(to_json(description), (None, None))


def lacks(config: Config) -> Iterator[str]:
    """Yield what is wrong with the classifiers of somebody else's of all rows, before any job."""
    for name, row in config.rows.items():
        own = config.for_row(name)
        item = given(own)
        if item is None:
            continue
        known, texts = _facts(own), is_text(own.datasets[own.id])
        described(own)
        size, its = _size(own), known["defaults"].get("size")
        if known.get("refused") and not texts:
            section = "crop" if own.image.crop else "size"
            wanted = f"{its}" if its and its != size else "what the network takes"
            yield (
                f"image.{section} must be {wanted} for {item.named} of row {name}, got {size} "
                f"({known['refused']}); write it, or image.size: auto"
            )
        longest = known["defaults"].get("longest")
        if texts and longest and (size is None or size > longest):
            yield (
                f"tokens.words must be at most {longest}, the longest text that {item.named} "
                f"reads, got {size}; lower it"
            )
        method = config.method(name)
        if method.features and not known["linear"]:
            yield (
                f"rows.{name}.method must not read penultimate features, got {row.method}: "
                f"{item.named} has none, {known['why']}"
            )
        for score in row.scores:
            if why := _why_not(item, known, score, own.scoring.model_dump().get(score, {})):
                yield f"rows.{name}.scores must fit {item.named}, got {score!r}: {why}"


def _why_not(network: GivenNetwork, known: dict, score: str, settings: dict) -> str:
    """Return why a network cannot have a score; "" if it can."""
    entry = entry_of(score)
    if moves(score, settings) and network.source == "onnx":
        return "it moves pictures along a gradient, and an ONNX file has none"
    if (entry.features or entry.linear) and not known["features"]:
        return f"it reads penultimate features, and {known['why']}"
    if entry.linear and not known["linear"] and network.source != "onnx":
        return f"it reads the last linear layer, and {known['why']}"
    return ""


def check_networks(config: Config) -> None:
    """Raise ValueError with all that `lacks` says, a line each."""
    if lines := list(dict.fromkeys(lacks(config))):
        raise ValueError("\n".join(lines))
