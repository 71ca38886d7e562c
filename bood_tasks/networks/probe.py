"""What a network of somebody else is, found by building it without weights: run as a program.

`python -m bood_tasks.networks.probe` reads {description, classes, folder, texts} as JSON and
prints the facts: a process of its own, so that planning imports no torch and no code of others.
"""

import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bood_tasks.networks.given import LOGITS_ALONE, split
from bood_tasks.networks.libraries import defaults, example, original
from bood_tasks.networks.onnx_network import opened, outputs_of
from bood_tasks.networks.shapes import source_of

UNIT = {"mean": [0.0] * 3, "std": [1.0] * 3}


def _on(device: str, description: Mapping, classes: int, folder: Path | None) -> dict[str, Any]:
    """Return what a pass of the network on a device tells."""
    with torch.device(device) if device == "meta" else nullcontext():
        net = original(description, classes, folder)
        x = example(description, device)
        how = {key: description.get(key) for key in ("mean", "std", "pad")}
        apart = split(net, x, **how)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            logits = apart(x)
    return {
        "head": apart.name,
        "features": apart.head.in_features if apart.head is not None else 0,
        "linear": apart.head is not None,
        "why": "" if apart.head is not None else LOGITS_ALONE,
        "outputs": logits.shape[1],
        "parameters": sum(weight.numel() for weight in net.parameters()),
        "flops": counter.get_total_flops() / len(x),
    }


def _of_onnx(description: Mapping, folder: Path) -> dict[str, Any]:
    session = opened(folder / description["onnx"])
    _, outputs, width = outputs_of(session, description.get("features"))
    sides = {side for side in session.get_inputs()[0].shape[2:] if isinstance(side, int)}
    if len(sides) > 1:
        raise ValueError(f"detector.network.onnx must take square pictures, got sides {sides}")
    return {
        "head": "", "features": width or 0, "linear": False, "outputs": outputs,
        "why": "" if width else "detector.network.features names no output of the ONNX file",
        "parameters": None, "flops": None, "side": sides.pop() if sides else None,
    }  # fmt: skip


def facts(
    description: Mapping, classes: int, folder: Path | None, *, texts: bool
) -> dict[str, Any]:
    """Return what planning asks of a network: its `defaults`; `head`, the name of its last linear
    layer, `features`, their width, `linear`, `why` it lacks what it lacks; `outputs`, its logits;
    `parameters` and the `flops` of one sample.

    `description["size"]`: pixels a side, or words, of what it will read; None = its own. Where it
    cannot take that, `refused` says why, and the facts are those of its own size.
    """
    known = defaults(description, folder)
    if source_of(description) == "onnx":
        found = _of_onnx(description, folder)
        known["size"] = found.pop("side")
        size = description.get("size")
        if known["size"] and size and size != known["size"]:
            found["refused"] = f"its input has {known['size']} pixels a side"
        return {"defaults": known} | found
    tried = {**({} if texts else UNIT), **description}
    if texts:
        tried |= {"mean": None, "pad": known.get("pad")}
    elif tried.get("size") is None:
        tried["size"] = known.get("size") or 32
    refused = ""
    sides = [tried.get("size")]
    if not texts and known.get("size") not in (None, *sides):
        sides.append(known["size"])
    for size in sides:
        errors: list[Exception] = []
        for device in ("meta", "cpu"):  # some networks read their numbers while they are built
            try:
                found = _on(device, tried | {"size": size}, classes, folder)
                return {"defaults": known, "refused": refused} | found
            except Exception as error:  # of others' code: anything
                errors.append(error)
        refused = refused or f"{type(errors[-1]).__name__}: {str(errors[-1])[:200]}"
    raise errors[-1] if isinstance(errors[-1], ValueError) else ValueError(refused)


def main() -> None:
    given = json.loads(sys.stdin.read())
    folder = Path(given["folder"]) if given["folder"] else None
    with redirect_stdout(sys.stderr):
        try:
            found = facts(given["description"], given["classes"], folder, texts=given["texts"])
        except Exception as error:
            found = {"error": str(error) if isinstance(error, ValueError) else repr(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
