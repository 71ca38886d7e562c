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
from bood_tasks.loading import Held, Streamed, on_device
from bood_tasks.method import Recipe, Step
from bood_tasks.mixing import Mixture
from bood_tasks.networks import save_weights, to_input
from bood_tasks.progress import progress

LAST_LR = 1e-6
STEPS_PER_CHECKPOINT = 100  # at least; a multiple of STEPS_PER_POINT
CHECKPOINT_SHARE = 0.02  # of the time at most, beside that: large networks at many steps a second
STEPS_PER_POINT = 10
ROWS_READ_AHEAD = 2000

Loss = Callable[[nn.Module, Tensor, Tensor, Step], dict[str, Tensor]]


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


def scheduled_lr(step: int, steps: int, lr: float, schedule: str) -> float:
    """Return the learning rate of a step by the recipe's schedule."""
    return cosine_lr(step, steps, lr) if schedule == "cosine" else lr


def is_text(x: np.ndarray | zarr.Array | Tensor) -> bool:
    """Whether rows are tokens [n, l], not pictures of four dimensions."""
    return x.ndim == 2


def as_input(x: Tensor) -> Tensor:
    """Return network input from pixels [b, 3, h, w], or token numbers from tokens [b, l]."""
    return x.long() if is_text(x) else to_input(x)


def _stream(*stream: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(seeds.stream(*stream))


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


def compiled(function: Callable, device: torch.device | str, *, dynamic: bool = False) -> Callable:
    """Return the function, compiled if run.compile says so (`auto`: on GPUs).

    Not `dynamic`: an epoch has at most two batch sizes.
    """
    if compiles(torch.device(device).type):
        return torch.compile(function, dynamic=dynamic)
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
    outliers: Sequence[tuple[Held | Streamed, float]] = (),
    snapshots: Path | None = None,
    optimisers: Sequence[torch.optim.Optimizer],
) -> tuple[list[dict[str, float]], float]:
    """Train `model` in place; return its loss curve and how many pictures a second it saw.

    All optimisers step on the one loss. `loss(model, x, y, step)` gets x [b + o, 3, h, w], or
    tokens [b + o, l], with the b ID rows first, then o outliers, and returns named terms of which
    "loss" is minimised; the curve has one mean every STEPS_PER_POINT steps. `outliers`: sources,
    each with its share of the outliers shown (mixing.py has the order). In the folder `snapshots`
    the weights after every epoch are kept, `01.safetensors` and so on. Raises ValueError for a
    loss that is not finite, and for a batch that the GPU cannot hold: its size is part of the
    recipe.
    """
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    torch.backends.cudnn.benchmark = on_gpu
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    first_lrs = [group["lr"] for group in groups]
    order = Mixture(
        len(images), [len(rows) for rows, _ in outliers], [share for _, share in outliers],
        recipe, seed=seed, stage=stage,
    )  # fmt: skip
    per_epoch, steps = order.per_epoch, order.per_epoch * recipe.epochs
    steps = min(steps, recipe.steps or steps)
    first, curve = load_checkpoint(checkpoint, model, optimisers)
    record = _Recorder(stage, curve, recipe.lr)
    step_loss = compiled(loss, device, dynamic=recipe.mixing == "shuffled")
    labels = labels.to(device)
    sources = [images, *(rows for rows, _ in outliers)]

    def rows_of(source: int) -> Iterator[np.ndarray]:
        return (step[source] for step in order.steps(first, steps))

    batches = [item.batches(rows_of(number), device) for number, item in enumerate(sources)]
    seen, began, saved, cost = 0, time.monotonic(), time.monotonic(), 0.0
    model.train()
    with progress(stage, steps, "steps", done=first) as advance:
        for step, (rows, *_) in enumerate(order.steps(first, steps), first):
            x = torch.cat([next(batch) for batch in batches])
            y = labels[to_device(torch.from_numpy(rows), device)]
            rng = _stream(seed, stage, "step", step)
            for group, lr in zip(groups, first_lrs, strict=True):
                group["lr"] = scheduled_lr(step, steps, lr, recipe.schedule)
            place = Step(step, steps, _stream(seed, stage, "method", step))
            try:
                x = as_input(x if is_text(x) else augment(x, recipe, rng))
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
                lr = scheduled_lr(step, steps, recipe.lr, recipe.schedule)
                note = record.read(step + 1, epoch, lr)
            due = point and (step + 1) % STEPS_PER_CHECKPOINT == 0 and step + 1 < steps
            due = due and time.monotonic() - saved >= cost / CHECKPOINT_SHARE
            if due:
                saved = time.monotonic()
                save_checkpoint(checkpoint, model, optimisers, step + 1, curve)
                cost = time.monotonic() - saved
            if snapshots and (step + 1) % per_epoch == 0:
                path = snapshots / f"{(step + 1) // per_epoch:02d}.safetensors"
                save_weights(model, path.with_suffix(".tmp"))
                os.replace(path.with_suffix(".tmp"), path)
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
    """Return function(network input) for every image [n, h, w, 3], or text [n, l], on the CPU,
    float32.

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
                    rows = on_device(block[row : row + batch_size], device)
                    rows = rows if is_text(rows) else centre_crop(rows, crop)
                    parts.append(function(as_input(rows)).float())
                    row += batch_size
                except torch.cuda.OutOfMemoryError as error:
                    if batch_size == 1:
                        raise ValueError(
                            "the network must fit into the GPU's memory with one picture, and "
                            "does not; free the GPU or lower its width"
                        ) from error
                    batch_size //= 2
    return torch.cat(parts).cpu()
