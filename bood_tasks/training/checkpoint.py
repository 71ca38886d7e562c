"""Checkpoints of a training run that can be resumed.

A checkpoint is one file with its own SHA-256, over all tensors and all that travels with them. One
that a power cut or a worn disk has changed is not believed: the run begins anew, and says so.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bood_tasks.artifacts import disk

DIGEST = "sha256"  # in the header, beside what it covers
Optimisers = Sequence[torch.optim.Optimizer]


def _states(optimisers: Optimisers) -> Iterator[tuple[str, dict, Tensor, dict]]:
    """Yield a name for each optimised parameter, its optimiser's state of it, itself, its group."""
    for number, optimiser in enumerate(optimisers):
        owned = [(item, group) for group in optimiser.param_groups for item in group["params"]]
        for index, (parameter, group) in enumerate(owned):
            yield f"optimiser.{number}.{index}", optimiser.state[parameter], parameter, group


def _digest(names: Sequence[str], tensor: Callable[[str], Tensor], header: Mapping) -> str:
    """Return the SHA-256 over tensors, in the order of their names, and over a header."""
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(names):
        value = tensor(name)
        total.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def save_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], optimisers: Optimisers, step: int, curve: Any
) -> None:
    """Replace the checkpoint in one step; it is on the disk on return.

    `tensors` are all weights and buffers that the run goes on from; the next step and the curve,
    anything that JSON can hold, travel in the file's header.
    """
    found = {f"model.{name}": value for name, value in tensors.items()}
    for name, state, *_ in _states(optimisers):
        for key, value in state.items():
            if value is not None:  # momentum before the first step
                found[f"{name}.{key}"] = value
    scratch = path.with_suffix(".tmp")
    plain = {name: value.detach().cpu().contiguous() for name, value in found.items()}
    header = {"step": str(step), "curve": json.dumps(curve)}
    save_file(plain, scratch, {**header, DIGEST: _digest([*plain], plain.__getitem__, header)})
    disk.replace(scratch, path)


@torch.no_grad()
def load_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    optimisers: Optimisers,
    *,
    lacks: Callable[[int], str] = lambda step: "",
) -> tuple[int, Any]:
    """Copy the checkpoint, if there is a whole one, into `tensors` and the optimisers' states.

    `lacks` tells what else the run would need to go on at a step, "" for nothing. Returns the next
    step and the curve so far; 0 and an empty list, and nothing is copied, without a checkpoint, for
    a damaged one, and where something lacks: the last two are said.
    """
    if not path.is_file():
        return 0, []
    try:
        with safe_open(path, "pt") as file:
            names, header = list(file.keys()), dict(file.metadata() or {})
            expected = header.pop(DIGEST, "")
            if _digest(names, file.get_tensor, header) != expected:
                raise ValueError("its content is not what was written")
            if reason := lacks(int(header["step"])):
                raise ValueError(reason)
            _copy(file, names, tensors, optimisers)
    except (SafetensorError, OSError, ValueError) as error:
        print(f"{path} cannot be used ({error}): training begins anew", file=sys.stderr)
        return 0, []
    return int(header["step"]), json.loads(header["curve"])


def _copy(
    file: Any, names: Sequence[str], tensors: Mapping[str, Tensor], optimisers: Optimisers
) -> None:
    """Copy an open checkpoint's tensors to where they belong."""
    for name, value in tensors.items():
        value.copy_(file.get_tensor(f"model.{name}"))
    for prefix, state, parameter, group in _states(optimisers):
        for name in names:
            stem, _, key = name.rpartition(".")
            if stem == prefix:
                value = file.get_tensor(name).clone()  # no view of the file
                if key == "step":  # Adam's kinds that count on the device refuse another place
                    counted = group.get("fused") or group.get("capturable")
                    value = value.to(parameter.device if counted else "cpu")
                elif value.shape == parameter.shape:  # in its memory order and on its device
                    value = torch.empty_like(parameter).copy_(value).detach()
                state[key] = value
