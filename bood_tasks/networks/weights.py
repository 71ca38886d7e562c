"""Weights of generators in files: others' are read without unpickling and checked before use."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SHOWN = 3
PICKLED = (b"PK", b"\x80")  # what a file of torch.save begins with, a zip's or a pickle's
ANSI = re.compile(r"\x1b\[[0-9;]*m")  # torch's messages are coloured
COUNTER = "num_batches_tracked"  # of BatchNorm, since PyTorch 0.4.1; nothing here reads it


def initialised(build, seed: int) -> nn.Module:
    """Return build()'s module with weights from one seed, leaving torch's global stream alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = build()
    return module.to(memory_format=torch.channels_last)


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's weights; safetensors takes plain memory order only."""
    save_file(
        {name: w.detach().cpu().contiguous() for name, w in module.state_dict().items()}, path
    )


def weights_in(path: Path) -> Path:
    """Return the file of weights that a path is, or that a folder holds as transformers saves it.

    Raises ValueError for a folder with none, or with several that are one model's parts.
    """
    if not path.is_dir():
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise ValueError(
        f"{path} must hold model.safetensors or pytorch_model.bin; save the model in one file "
        "(max_shard_size) or name the file itself"
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return a state dict from a .safetensors file, or from PyTorch's own by `weights_only`.

    Raises ValueError that names the file if it holds none.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        with path.open("rb") as handle:
            pickled = handle.read(2).startswith(PICKLED)
        if not pickled:
            raise ValueError(
                f"{path} must hold whole weights, and cannot be read: it is no file of PyTorch's; "
                "copy the file again"
            ) from error
        raise ValueError(
            f"{path} must hold a state dict (name: tensor), and holds Python objects, a whole "
            "model perhaps, which are not unpickled: they could run anything; load it where you "
            "trust it and save `model.state_dict()`"
        ) from None
    except Exception as error:  # zip and header errors of many kinds
        shown = ANSI.sub("", str(error)).split("\n")[0]
        raise ValueError(
            f"{path} must hold whole weights, and cannot be read ({shown}); copy the file again"
        ) from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(x, Tensor) for x in found.values()):
        raise ValueError(f"{path} must hold a state dict (name: tensor), got {type(found)}")
    return {name.removeprefix("module."): value for name, value in found.items()}


def write_weights(state: Mapping[str, Tensor], path: Path, stored: str | None = None) -> None:
    """Write a state dict as .safetensors, in half precision if `stored` is float16."""
    dtype = torch.float16 if stored == "float16" else None
    save_file({name: value.to("cpu", dtype).contiguous() for name, value in state.items()}, path)


def _named(names: set[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more


def require_fitting(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Return `given` with the dtypes of `wanted`, and BatchNorm's counters 0 where it has none.

    Raises ValueError that names parameters which are missing, too many, of another shape or not
    finite.
    """
    counters = {name: x for name, x in wanted.items() if name.endswith(COUNTER)}
    given = {name: torch.zeros_like(x) for name, x in counters.items()} | dict(given)
    missing, extra = set(wanted) - set(given), set(given) - set(wanted)
    if missing or extra:
        parts = [
            f"{word} {_named(names)}" for word, names in (("lacks", missing), ("has also", extra))
            if names
        ]  # fmt: skip
        raise ValueError(f"{path} must hold this network's weights, and {'; '.join(parts)}")
    for name, value in given.items():
        if value.shape != wanted[name].shape:
            raise ValueError(
                f"{path}: {name} must have the shape {list(wanted[name].shape)}, got "
                f"{list(value.shape)}; these are another network's weights"
            )
        if not torch.isfinite(value).all():
            raise ValueError(f"{path}: {name} must be finite, and is not; make the weights anew")
    return {name: value.to(wanted[name].dtype) for name, value in given.items()}
