"""Checkpoints of a training run that can be resumed."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Optimisers = Sequence[torch.optim.Optimizer]


def _states(optimisers: Optimisers) -> Iterator[tuple[str, dict, Tensor, dict]]:
    """Yield a name for each optimised parameter, its optimiser's state of it, itself, its group."""
    for number, optimiser in enumerate(optimisers):
        owned = [(item, group) for group in optimiser.param_groups for item in group["params"]]
        for index, (parameter, group) in enumerate(owned):
            yield f"optimiser.{number}.{index}", optimiser.state[parameter], parameter, group


def save_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], optimisers: Optimisers, step: int, curve: Any
) -> None:
    """Replace the checkpoint in one step.

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
    save_file(plain, scratch, metadata={"step": str(step), "curve": json.dumps(curve)})
    os.replace(scratch, path)


@torch.no_grad()
def load_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], optimisers: Optimisers
) -> tuple[int, Any]:
    """Copy the checkpoint, if there is one, into `tensors` and the optimisers' states.

    Returns the next step and the curve so far; 0 and an empty list without a checkpoint.
    """
    if not path.is_file():
        return 0, []
    with safe_open(path, "pt") as file:
        for name, value in tensors.items():
            value.copy_(file.get_tensor(f"model.{name}"))
        names = list(file.keys())
        for prefix, state, parameter, group in _states(optimisers):
            for name in names:
                stem, _, key = name.rpartition(".")
                if stem == prefix:
                    value = file.get_tensor(name)
                    if key == "step":  # Adam's kinds that count on the device refuse another place
                        counted = group.get("fused") or group.get("capturable")
                        value = value.to(parameter.device if counted else "cpu")
                    elif value.shape == parameter.shape:  # in its memory order, on its device
                        value = torch.empty_like(parameter).copy_(value).detach()
                    state[key] = value
        header = file.metadata()
    return int(header["step"]), json.loads(header["curve"])
