"""The training loop that encoder and detector share; they differ in network and loss.

SGD with Nesterov momentum .9, clipped gradients (phi reads an unbounded energy and diverges at
the papers' learning rate without) and a cosine from `lr` to 1e-6 at every step. Every random choice
is seeded by (seed, stage, step), so a killed run continues from its checkpoint and ends with
the weights of an unbroken one.
"""

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bood_tasks import seeds
from bood_tasks.networks import to_input
from bood_tasks.progress import progress

MOMENTUM, LAST_LR = 0.9, 1e-6
STEPS_PER_CHECKPOINT = 100
STEPS_PER_POINT = 10

Pixels = UInt8[Tensor, "n 3 h w"]
Loss = Callable[[nn.Module, Tensor, Tensor], dict[str, Tensor]]


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


def augment(images: Pixels, recipe: Recipe, rng: torch.Generator) -> Pixels:
    """Return images randomly shifted within a zero border and mirrored."""
    count, _, height, width = images.shape
    device, pad = images.device, recipe.crop_padding
    if pad:
        shift = torch.randint(0, 2 * pad + 1, (2, count), generator=rng).to(device)
        rows = shift[0, :, None] + torch.arange(height, device=device)
        columns = shift[1, :, None] + torch.arange(width, device=device)
        which = torch.arange(count, device=device)[:, None, None, None]
        channel = torch.arange(3, device=device)[:, None, None]
        images = F.pad(images, (pad, pad, pad, pad))[
            which, channel, rows[:, None, :, None], columns[:, None, None, :]
        ]
    if recipe.flip:
        mirrored = (torch.rand(count, generator=rng) < 0.5).to(device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images


def cosine_lr(step: int, steps: int, lr: float) -> float:
    """Return the learning rate of a step: cosine from `lr` down to LAST_LR."""
    return LAST_LR + (lr - LAST_LR) * (1 + math.cos(math.pi * step / steps)) / 2


def outlier_rows(start: int, count: int, total: int, *stream: int | str) -> np.ndarray:
    """Return `count` rows of an endless sequence of reshuffled passes over `total` outliers."""
    position = np.arange(start, start + count)
    passes = {
        index: seeds.generator(*stream, "outliers", int(index)).permutation(total)
        for index in np.unique(position // total)
    }
    return np.array([passes[p // total][p % total] for p in position])


def _save(path: Path, model: nn.Module, optimiser: torch.optim.SGD, step: int, curve: list) -> None:
    """Replace the checkpoint in one step; step and loss curve travel in its header."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, parameter in enumerate(model.parameters()):
        buffer = optimiser.state[parameter].get("momentum_buffer")
        if buffer is not None:
            tensors[f"momentum.{index}"] = buffer
    scratch = path.with_suffix(".tmp")
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(plain, scratch, metadata={"step": str(step), "curve": json.dumps(curve)})
    os.replace(scratch, path)


def _resume(path: Path, model: nn.Module, optimiser: torch.optim.SGD) -> tuple[int, list]:
    """Load the checkpoint if there is one; return the next step and the curve so far."""
    if not path.is_file():
        return 0, []
    with safe_open(path, "pt") as file:
        names = file.keys()
        state = {n.removeprefix("model."): file.get_tensor(n) for n in names if n[:6] == "model."}
        model.load_state_dict(state)
        for index, parameter in enumerate(model.parameters()):
            if f"momentum.{index}" in names:
                buffer = torch.empty_like(parameter).copy_(file.get_tensor(f"momentum.{index}"))
                optimiser.state[parameter]["momentum_buffer"] = buffer.detach()
        header = file.metadata()
    return int(header["step"]), json.loads(header["curve"])


def fit(
    model: nn.Module,
    loss: Loss,
    images: Pixels,
    labels: Int64[Tensor, " n"],
    recipe: Recipe,
    *,
    stage: str,
    seed: int,
    checkpoint: Path,
    outliers: UInt8[Tensor, "m 3 h w"] | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place and return its loss curve, one mean every STEPS_PER_POINT steps.

    `loss(model, x, y)` gets x [b + o, 3, h, w] with the b ID rows first, o = b with outliers,
    else 0, and returns named terms of which "loss" is minimised. Batches of one epoch differ in
    size by at most one row, so no row is ever dropped.
    """
    device = next(model.parameters()).device
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=MOMENTUM,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    per_epoch = math.ceil(len(images) / recipe.batch_size)
    steps = per_epoch * recipe.epochs
    first, curve = _resume(checkpoint, model, optimiser)
    order: list[np.ndarray] = []
    recent: list[dict[str, float]] = []
    model.train()
    with progress(stage, steps, "steps", done=first) as advance:
        for step in range(first, steps):
            epoch, turn = divmod(step, per_epoch)
            if turn == 0 or not order:
                shuffled = seeds.generator(seed, stage, "epoch", epoch).permutation(len(images))
                order = np.array_split(shuffled, per_epoch)
            rows = torch.from_numpy(order[turn]).to(images.device)
            x, y = images[rows], labels[rows].to(device)
            if outliers is not None:
                chosen = outlier_rows(
                    step * recipe.batch_size, len(rows), len(outliers), seed, stage
                )
                x = torch.cat([x, outliers[torch.from_numpy(chosen).to(outliers.device)]])
            rng = torch.Generator().manual_seed(seeds.stream(seed, stage, "step", step))
            for group in optimiser.param_groups:
                group["lr"] = cosine_lr(step, steps, recipe.lr)
            terms = loss(model, to_input(augment(x.to(device), recipe, rng)), y)
            optimiser.zero_grad()
            terms["loss"].backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimiser.step()
            recent.append({name: value.item() for name, value in terms.items()})
            if not math.isfinite(recent[-1]["loss"]):
                raise ValueError(
                    f"{stage}: the loss is {recent[-1]['loss']} at step {step}; lower {stage}.lr "
                    f"(now {recipe.lr:g})"
                )
            if len(recent) == STEPS_PER_POINT or step == steps - 1:
                means = {name: float(np.mean([r[name] for r in recent])) for name in recent[0]}
                curve.append({"step": step + 1, "epoch": epoch + (turn + 1) / per_epoch, **means})
                curve[-1]["lr"] = cosine_lr(step, steps, recipe.lr)
                recent = []
            if (step + 1) % STEPS_PER_CHECKPOINT == 0 and step + 1 < steps:
                _save(checkpoint, model, optimiser, step + 1, curve)
            advance(1, f"loss {terms['loss'].item():.3f}")
    model.eval()
    return curve


def to_pixels(images: np.ndarray, device: str) -> Pixels:
    """Return [n, 3, h, w] uint8 on the device from [n, h, w, 3]."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)


@torch.inference_mode()
def predict(
    function: Callable[[Tensor], Tensor], images: np.ndarray, *, batch_size: int, device: str
) -> Tensor:
    """Return function(network input) for every image [n, h, w, 3], batch by batch, on the CPU."""
    parts = [
        function(to_input(to_pixels(images[start : start + batch_size], device))).float().cpu()
        for start in range(0, len(images), batch_size)
    ]
    return torch.cat(parts)
