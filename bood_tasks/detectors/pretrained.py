"""A classifier's weights as a detector's artifact: a row of its own, or where rows start.

Enters: a .safetensors, .pt or .pth file, released or of one's own, or a transformers folder, and
the ID data set, whose classes the last layer must have unless it is new. An ONNX file brings its
weights itself. Leaves model.safetensors, method.json and network/, as detector.py.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.datasets.released_weights import require_released
from bood_tasks.detectors.method import Method
from bood_tasks.detectors.model import (
    DESCRIPTION,
    build,
    keep_network,
    network_description,
    network_files,
)
from bood_tasks.jobs import seeds
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.networks.given import GivenNetwork, split
from bood_tasks.networks.label_order import order_of
from bood_tasks.networks.openood import as_openood
from bood_tasks.networks.vit_layouts import as_timm
from bood_tasks.networks.weights import (
    initialised,
    read_weights,
    require_fitting,
    save_weights,
    weights_in,
)

VERSION = 1
HEADS = ("head", "fc")  # names of the last layer
NAMES = "detector.network.classes"


def _renamed(given: Mapping[str, Tensor], settings: Mapping, net: nn.Module) -> dict[str, Tensor]:
    """Return weights of others under the names that our network has."""
    given = {name.removeprefix("network."): value for name, value in given.items()}
    network = settings["network"]
    if network == "vit_b16":
        return as_timm(given)
    if not isinstance(net, GivenNetwork):
        if network == "resnet" and {"conv1.weight", "layer1.0.conv1.weight"} <= set(given):
            raise ValueError(
                "the weights have torchvision's or OpenOOD's names, and network: resnet is another "
                "network; write network: {torchvision: resnet18}, {timm: resnet18}, {openood: "
                "resnet18_32x32}, or {python: file.py:build} for one of your own"
            )
        return given
    return net.under_own_names(as_openood(given) if "openood" in network else given)


def _width(given: Mapping[str, Tensor]) -> int | None:
    """Return the number of logits that weights were made for, if they tell."""
    for head in HEADS:
        if f"{head}.weight" in given:
            return len(given[f"{head}.weight"])
    return None


def _ordered(
    given: dict[str, Tensor], names: Sequence[str] | None, classes: Sequence[str]
) -> dict[str, Tensor]:
    """Return weights whose last layer has our classes' order; what order was taken is said."""
    if names is None:
        shown = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        print(
            f"the weights' logits are taken to be, in this order: {shown} ({NAMES} says otherwise)",
            file=sys.stderr,
        )
        return given
    order = order_of(names, classes, NAMES)
    if order != list(range(len(order))):
        print("the weights' logits were brought into the data set's order by name", file=sys.stderr)
    parts = {f"head.{part}" for part in ("weight", "bias")} & set(given)
    return given | {name: given[name][torch.tensor(order)] for name in parts}


def _loaded(job: Job, model: Method, classes: Sequence[str]) -> None:
    """Load the job's file into a network; raises ValueError for weights of another one."""
    settings, path = job.settings, Path(job.source)
    require_released(path, settings, "detector.pretrained")
    net, names = model.network, settings.get("names")
    wanted = net.state_dict()
    try:
        path = weights_in(path)
        given = _renamed(read_weights(path), settings, net)
        if settings["new_head"]:
            head = {name for name in wanted if name.split(".")[0] in HEADS}
            given = {name: x for name, x in given.items() if name.split(".")[0] not in HEADS}
            given |= {name: wanted[name] for name in head}
        elif (width := _width(given)) not in (None, len(classes)):
            raise ValueError(
                f"{path} has a last layer of {width} logits, and the data set has {len(classes)} "
                "classes; write new_head: true and train it (epochs: 1 or more), or give the data "
                "set the network's classes"
            )
        fitting = require_fitting(given, wanted, path)
    except ValueError as error:
        raise ValueError(f"detector.pretrained: {error}") from None
    if isinstance(net, GivenNetwork) and not settings["new_head"]:
        fitting = _ordered(fitting, names, classes)
    net.load_state_dict(fitting)


def _require_same(model: Method, description: Mapping, files: Path | None) -> None:
    """Raise ValueError unless head(body(x)) is what the network as it was says of x.

    The plan has found the last layer without weights; these are the real ones.
    """
    from bood_tasks.networks.libraries import example, original

    net, given = model.network, description["network"]
    if net.head is None:
        return
    whole = original(given, description["classes"], files)
    start = f"{net.name}."
    whole.load_state_dict(
        {
            f"{start}{name.removeprefix('head.')}" if name.startswith("head.")
            else name.removeprefix("body."): value
            for name, value in net.state_dict().items()
        }
    )  # fmt: skip
    how = {key: given.get(key) for key in ("mean", "std", "pad")}
    if split(whole, example(given), name=net.name, **how).head is None:
        raise ValueError(
            f"detector.network: {net.name} is not the last layer of the network with these weights,"
            " though it is without any; report it, with the network"
        )


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, files = job.settings, network_files(job)
    facts = job.inputs["dataset"].json("dataset.json")
    classes = facts["classes"]
    description = network_description(settings, facts) | {"method": "cross_entropy", "settings": {}}
    onnx = isinstance(settings["network"], Mapping) and "onnx" in settings["network"]
    if onnx and settings.get("names"):
        order = order_of(settings["names"], classes, NAMES)
        description["network"] = {**settings["network"], "order": order}
    model = initialised(
        lambda: build(description, folder=files),
        seeds.stream(settings.get("seed", 0), "pretrained", "head"),
    )
    if onnx and model.network.classes != len(classes):
        raise ValueError(
            f"detector.network.onnx must have a logit for each of the data set's {len(classes)} "
            f"classes, got {model.network.classes}; give the data set the network's classes"
        )
    if not onnx:
        _loaded(job, model, classes)
    if isinstance(model.network, GivenNetwork):
        _require_same(model, description, files)
    with job.draft() as draft:
        keep_network(job, draft)
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / DESCRIPTION, description)
        draft.finish()
