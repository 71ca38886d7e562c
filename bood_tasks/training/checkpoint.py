"""Checkpoints of a training run that can be resumed."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def _states(optimisers: Sequence[torch.optim.Optimizer]) -> Iterator[tuple[str, dict, Tensor]]:
    """Yield a name for each optimised parameter, its optimiser's state of it, and itself."""
    for number, optimiser in enumerate(optimisers):
        parameters = [item for group in optimiser.param_groups for item in group["params"]]
        for index, parameter in enumerate(parameters):
            yield f"optimiser.{number}.{index}", optimiser.state[parameter], parameter


def save_checkpoint(path: Path, model: nn.Module, optimisers, step: int, curve: list) -> None:
    """Replace the checkpoint in one step; step and loss curve travel in its header."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, state, _ in _states(optimisers):
        for key, value in state.items():
            if value is not None:  # momentum before the first step
                tensors[f"{name}.{key}"] = value
    scratch = path.with_suffix(".tmp")
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(plain, scratch, metadata={"step": str(step), "curve": json.dumps(curve)})
    os.replace(scratch, path)


def load_checkpoint(path: Path, model: nn.Module, optimisers) -> tuple[int, list]:
    """Load the checkpoint if there is one; return the next step and the curve so far."""
    if not path.is_file():
        return 0, []
    with safe_open(path, "pt") as file:
        names = list(file.keys())
        state = {n.removeprefix("model."): file.get_tensor(n) for n in names if n[:6] == "model."}
        model.load_state_dict(state)
        for prefix, state, parameter in _states(optimisers):
            for name in names:
                stem, _, key = name.rpartition(".")
                if stem == prefix:
                    value = file.get_tensor(name)
                    if value.shape == parameter.shape:  # in its memory order and on its device
                        value = torch.empty_like(parameter).copy_(value).detach()
                    state[key] = value
        header = file.metadata()
    return int(header["step"]), json.loads(header["curve"])
