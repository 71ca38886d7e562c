"""The training loop that encoder and detector share; they differ in network and loss.

The caller's optimisers, clipped gradients (phi reads an unbounded energy and diverges at the
papers' learning rate without) and a cosine from each learning rate to 1e-6 at every step. Every
random choice is seeded by (seed, stage, step), so a killed run continues from its checkpoint and
ends with the weights of an unbroken one. On a GPU nothing in a step waits for the device: losses
are read once every STEPS_PER_POINT.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import zarr
from jaxtyping import Int64
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bood_tasks import seeds
from bood_tasks.augmentation import (
    Cropped,
    Pixels,
    centre_crop,
    mirror,
    resized_crop,
    shift,
    to_device,
)
from bood_tasks.environment import compiles
from bood_tasks.loading import Held, Streamed, to_pixels
from bood_tasks.method import Step
from bood_tasks.networks import to_input
from bood_tasks.progress import progress

LAST_LR = 1e-6
STEPS_PER_CHECKPOINT = 100  # at least; a multiple of STEPS_PER_POINT
CHECKPOINT_SHARE = 0.02  # of the time at most, beside that: large networks at many steps a second
STEPS_PER_POINT = 10
ROWS_READ_AHEAD = 2000

Loss = Callable[[nn.Module, Tensor, Tensor, Step], dict[str, Tensor]]


@dataclass(frozen=True)
class Recipe:
    """What the optimiser does; the same fields as config.Training."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    crop_padding: int
    flip: bool
    clip_norm: float
    precision: str = "fp32"
    augment: str = "shift"
    crop: int | None = None


def augment(images: Pixels, recipe: Recipe, rng: torch.Generator) -> Cropped:
    """Return images cropped at random and mirrored, as the recipe says."""
    if recipe.augment == "resized_crop":
        images = resized_crop(images, recipe.crop, rng)
    else:
        images = shift(images, recipe.crop, recipe.crop_padding, rng)
    return mirror(images, rng) if recipe.flip else images


def cosine_lr(step: int, steps: int, lr: float) -> float:
    """Return the learning rate of a step: cosine from `lr` down to LAST_LR."""
    return LAST_LR + (lr - LAST_LR) * (1 + math.cos(math.pi * step / steps)) / 2


def _stream(*stream: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(seeds.stream(*stream))


@lru_cache(maxsize=4)  # the steps of one pass ask again and again
def _pass(total: int, *stream: int | str) -> np.ndarray:
    return seeds.generator(*stream).permutation(total)


def outlier_rows(start: int, count: int, total: int, *stream: int | str) -> np.ndarray:
    """Return `count` rows of an endless sequence of reshuffled passes over `total` outliers."""
    number, place = np.divmod(np.arange(start, start + count), total)
    parts = [
        _pass(total, *stream, "outliers", int(index))[place[number == index]]
        for index in np.unique(number)
    ]
    return np.concatenate(parts)


def id_rows(first: int, steps: int, count: int, per_epoch: int, *stream) -> Iterator[np.ndarray]:
    """Yield the rows of steps first..steps: a new order each epoch, no row left out.

    Batches of one epoch differ in size by at most one row.
    """
    for epoch in range(first // per_epoch, math.ceil(steps / per_epoch)):
        parts = np.array_split(
            seeds.generator(*stream, "epoch", epoch).permutation(count), per_epoch
        )
        yield from parts[max(0, first - epoch * per_epoch) :]


def _states(optimisers: Sequence[torch.optim.Optimizer]) -> Iterator[tuple[str, dict, Tensor]]:
    """Yield a name for each optimised parameter, its optimiser's state of it, and itself."""
    for number, optimiser in enumerate(optimisers):
        parameters = [item for group in optimiser.param_groups for item in group["params"]]
        for index, parameter in enumerate(parameters):
            yield f"optimiser.{number}.{index}", optimiser.state[parameter], parameter


def _save(path: Path, model: nn.Module, optimisers, step: int, curve: list) -> None:
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


def _resume(path: Path, model: nn.Module, optimisers) -> tuple[int, list]:
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


def compiled(function: Callable, device: torch.device | str) -> Callable:
    """Return the function, compiled if run.compile says so (`auto`: on GPUs)."""
    if compiles(torch.device(device).type):
        return torch.compile(function, dynamic=False)  # an epoch has at most two batch sizes
    return function


class _Recorder:
    """Collects losses on the device and reads them once a point."""

    def __init__(self, stage: str, curve: list, lr: float):
        self.stage, self.curve, self.lr = stage, curve, lr
        self.recent: list[dict[str, Tensor]] = []

    def add(self, terms: dict[str, Tensor]) -> None:
        self.recent.append({name: value.detach() for name, value in terms.items()})

    def read(self, step: int, epoch: float, lr: float) -> str:
        """Append a point of means; raise ValueError if a loss is not finite."""
        names = list(self.recent[0])
        rows = [torch.stack([terms[name].float() for name in names]) for terms in self.recent]
        values = torch.stack(rows).double().cpu().numpy()
        bad = np.flatnonzero(~np.isfinite(values[:, names.index("loss")]))
        if len(bad):
            raise ValueError(
                f"{self.stage}: the loss is {values[bad[0], names.index('loss')]} at step "
                f"{step - len(values) + int(bad[0])}; lower {self.stage}.lr (now {self.lr:g})"
            )
        means = {name: float(np.mean(values[:, k])) for k, name in enumerate(names)}
        self.curve.append({"step": step, "epoch": epoch, **means, "lr": lr})
        self.recent = []
        return f"loss {means['loss']:.3f}"


def fit(
    model: nn.Module,
    loss: Loss,
    images: Held | Streamed,
    labels: Int64[Tensor, " n"],
    recipe: Recipe,
    *,
    stage: str,
    seed: int,
    checkpoint: Path,
    outliers: Held | Streamed | None = None,
    optimisers: Sequence[torch.optim.Optimizer],
) -> tuple[list[dict[str, float]], float]:
    """Train `model` in place; return its loss curve and how many pictures a second it saw.

    All optimisers step on the one loss. `loss(model, x, y, step)` gets x [b + o, 3, h, w] with the
    b ID rows first, o = b with outliers, else 0, and returns named terms of which "loss" is
    minimised; the curve has one mean every STEPS_PER_POINT steps. Raises ValueError for a loss
    that is not finite, and for a batch that the GPU cannot hold: its size is part of the recipe.
    """
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    torch.backends.cudnn.benchmark = on_gpu
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    first_lrs = [group["lr"] for group in groups]
    per_epoch = math.ceil(len(images) / recipe.batch_size)
    steps = per_epoch * recipe.epochs
    first, curve = _resume(checkpoint, model, optimisers)
    record = _Recorder(stage, curve, recipe.lr)
    step_loss, labels = compiled(loss, device), labels.to(device)

    def orders() -> Iterator[np.ndarray]:
        return id_rows(first, steps, len(images), per_epoch, seed, stage)

    batches = images.batches(orders(), device)
    if outliers is not None:
        also = outliers.batches(
            (
                outlier_rows(step * recipe.batch_size, len(rows), len(outliers), seed, stage)
                for step, rows in enumerate(orders(), first)
            ),
            device,
        )
    seen, began, saved, cost = 0, time.monotonic(), time.monotonic(), 0.0
    model.train()
    with progress(stage, steps, "steps", done=first) as advance:
        for step, rows in enumerate(orders(), first):
            x, y = next(batches), labels[to_device(torch.from_numpy(rows), device)]
            if outliers is not None:
                x = torch.cat([x, next(also)])
            rng = _stream(seed, stage, "step", step)
            for group, lr in zip(groups, first_lrs, strict=True):
                group["lr"] = cosine_lr(step, steps, lr)
            place = Step(step, steps, _stream(seed, stage, "method", step))
            try:
                x = to_input(augment(x, recipe, rng))
                with torch.autocast(
                    device.type, torch.bfloat16, enabled=recipe.precision == "bf16"
                ):
                    terms = step_loss(model, x, y, place)
                for optimiser in optimisers:
                    optimiser.zero_grad()
                terms["loss"].backward()
            except torch.cuda.OutOfMemoryError as error:
                raise ValueError(
                    f"{stage}.batch_size must fit into the GPU's memory, got {recipe.batch_size} "
                    f"({len(x)} pictures a step); lower it, or take a GPU with more memory"
                ) from error
            for optimiser in optimisers:
                own = [item for group in optimiser.param_groups for item in group["params"]]
                nn.utils.clip_grad_norm_(own, recipe.clip_norm)
                optimiser.step()
            record.add(terms)
            seen, note = seen + len(x), ""
            point = len(record.recent) == STEPS_PER_POINT or step == steps - 1
            if point:
                epoch = (step + 1) / per_epoch
                note = record.read(step + 1, epoch, cosine_lr(step, steps, recipe.lr))
            due = point and (step + 1) % STEPS_PER_CHECKPOINT == 0 and step + 1 < steps
            due = due and time.monotonic() - saved >= cost / CHECKPOINT_SHARE
            if due:
                saved = time.monotonic()
                _save(checkpoint, model, optimisers, step + 1, curve)
                cost = time.monotonic() - saved
            advance(1, note)
    model.eval()
    return curve, seen / max(time.monotonic() - began, 1e-9)


@torch.inference_mode()
def predict(
    function: Callable[[Tensor], Tensor],
    images: np.ndarray | zarr.Array,
    *,
    batch_size: int,
    device: str,
    crop: int | None = None,
) -> Tensor:
    """Return function(network input) for every image [n, h, w, 3], on the CPU, float32.

    The next pictures are read while the device works. A batch that the GPU cannot hold is halved.
    """
    starts = range(0, images.shape[0], ROWS_READ_AHEAD)
    parts = []
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(lambda: images[0:ROWS_READ_AHEAD])
        for start in starts:
            block = coming.result()
            following = slice(start + ROWS_READ_AHEAD, start + 2 * ROWS_READ_AHEAD)
            coming = reader.submit(images.__getitem__, following)
            row = 0
            while row < len(block):
                try:
                    pixels = to_pixels(block[row : row + batch_size], device)
                    parts.append(function(to_input(centre_crop(pixels, crop))).float())
                    row += batch_size
                except torch.cuda.OutOfMemoryError as error:
                    if batch_size == 1:
                        raise ValueError(
                            "the network must fit into the GPU's memory with one picture, and "
                            "does not; free the GPU or lower its width"
                        ) from error
                    batch_size //= 2
    return torch.cat(parts).cpu()
