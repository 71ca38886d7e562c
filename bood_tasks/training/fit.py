"""The training loop that encoder and detector share; they differ in network and loss.

The caller's optimisers, gradients clipped where the recipe or a parameter group says so, and a
cosine from each learning rate to 1e-6 at every step. Every random choice is seeded by (seed, stage,
step), so a killed run continues from its checkpoint and ends with the weights of an unbroken one.
On a GPU nothing in a step waits for the device: losses are read once every STEPS_PER_POINT.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.artifacts import disk
from bood_tasks.catalogue.augmentations import views
from bood_tasks.jobs import seeds
from bood_tasks.jobs.compiling import Pace
from bood_tasks.jobs.environment import out_of_memory
from bood_tasks.jobs.progress import progress
from bood_tasks.networks import compiled
from bood_tasks.networks.weights import save_weights
from bood_tasks.training.augmentation import (
    CONTRASTIVE_AREA,
    Aspects,
    Cropped,
    Pixels,
    centre_crop,
    colour_jitter,
    mirror,
    resized_crop,
    shift,
    to_device,
)
from bood_tasks.training.checkpoint import load_checkpoint, save_checkpoint
from bood_tasks.training.loading import FromDisk, InMemory, in_one
from bood_tasks.training.mixing import Mixture
from bood_tasks.training.pace import pace_of
from bood_tasks.training.pixmix import pixmix
from bood_tasks.training.predict import are_tokens, as_input
from bood_tasks.training.recipe import (
    Recipe,
    Step,
    clip_gradients,
    require_finite,
    scheduled_lr,
    to_training,
)

STEPS_PER_CHECKPOINT = 100  # at least; a multiple of STEPS_PER_POINT
CHECKPOINT_SHARE = 0.02  # of the time at most, beside that: large networks at many steps a second
STEPS_PER_POINT = 10
Mixing = tuple[InMemory | FromDisk, Mapping[str, Any]]  # a mixing set and pixmix's settings
Loss = Callable[[nn.Module, Tensor, Tensor, Step], dict[str, Tensor]]


def augment(
    images: Pixels, recipe: Recipe, rng: torch.Generator, aspects: Aspects | None = None
) -> Cropped:
    """Return images cropped, recoloured and mirrored at random, as the recipe says.

    `aspects`: those of whole pictures, squashed; resized_crop tells.
    """
    match recipe.augment:
        case "contrastive":
            side = recipe.crop or images.shape[2]
            images = resized_crop(images, side, rng, area=CONTRASTIVE_AREA, aspects=aspects)
            images = colour_jitter(images, rng)
        case "resized_crop":
            images = resized_crop(images, recipe.crop, rng, aspects=aspects)
        case "none":
            images = centre_crop(images, recipe.crop)
        case "shift":
            return shift(images, recipe.crop, recipe.crop_padding, rng, flip=recipe.flip)
    return mirror(images, rng) if recipe.flip else images


def joined(
    parts: Sequence[Tensor],
    recipe: Recipe,
    rng: torch.Generator,
    aspects: Sequence[Aspects] = (),
) -> Tensor:
    """Return a step's rows of all sources as one: texts padded alike, pictures augmented.

    Pictures of another size than the ID's, the first part, are augmented source by source: what
    is cut out of all has the size that networks see. `aspects`: of each part's pictures, where
    whole ones are cropped.
    """
    if are_tokens(parts[0]):
        return in_one(parts)
    if len({part.shape[2:] for part in parts}) == 1:
        return augment(torch.cat(parts), recipe, rng, torch.cat(aspects) if aspects else None)
    cut = replace(recipe, crop=recipe.crop or parts[0].shape[2])
    each = zip_longest(parts, aspects)  # no aspects: None for all
    return torch.cat([augment(part, cut, rng, own) for part, own in each])


def _stream(*stream: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(seeds.stream(*stream))


def _pace(stage: str, model: nn.Module, recipe: Recipe, device: torch.device) -> Pace:
    """A loss that its method keeps from the compiler can be compiled in its blocks alone."""
    kept_out = getattr(getattr(model, "loss", None), "_torchdynamo_disable", False)
    of = [type(model), recipe.batch_size, recipe.precision]
    of += [recipe.crop, recipe.mixing, recipe.augment]
    return pace_of(stage, "training", [model], device, *of, whole=not kept_out)


def _faster(way: str, loss: Loss, model: nn.Module, *, dynamic: bool) -> Loss:
    """Return the loss, made faster in that way.

    Not `dynamic`: an epoch has at most two batch sizes.
    """
    if way == "whole":
        return compiled.compile_function(loss, dynamic=dynamic)
    compiled.compile_blocks(model)
    return loss


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
        values = torch.stack(rows).cpu().double().numpy()
        losses = values[:, names.index("loss")].tolist()
        require_finite(losses, step - len(losses), {f"{self.stage}.lr": self.lr})
        means = {name: float(np.mean(values[:, k])) for k, name in enumerate(names)}
        self.curve.append({"step": step, "epoch": epoch, **means, "lr": lr})
        self.recent = []
        return f"loss {means['loss']:.3f}"


def fit(
    model: nn.Module,
    loss: Loss,
    images: InMemory | FromDisk,
    labels: Int64[Tensor, " n"],
    recipe: Recipe,
    *,
    stage: str,
    seed: int,
    checkpoint: Path,
    aspects: Aspects | None = None,
    outliers: Sequence[tuple[InMemory | FromDisk, float]] = (),
    known: Sequence[Float[Tensor, "_ k"]] = (),
    mixing: Mixing | None = None,
    snapshots: Path | None = None,
    keep: Callable[[Path], object] = lambda path: None,
    optimisers: Sequence[torch.optim.Optimizer],
) -> tuple[list[dict[str, float]], float]:
    """Train `model` in place; return its loss curve and how many pictures a second it saw.

    All optimisers step on the one loss. `loss(model, x, y, step)` gets x [b + o, 3, h, w], or
    tokens [b + o, l], with the b ID rows first, then o outliers, and returns named terms of which
    "loss" is minimised; the curve has one mean every STEPS_PER_POINT steps. `aspects`: of `images`
    that are whole pictures, squashed; outliers are square. `outliers`: sources, each with its share
    of the outliers shown (mixing.py has the order). `known`: of each source, what is known of each
    of its outliers, which reaches the loss as `step.known`. Where the augmentation has two views,
    each ID row of a step stands there twice, each time augmented on its own. `mixing`: pictures
    that are mixed into the ID rows once these are augmented, anew at every step. In the folder
    `snapshots` the weights after every epoch are kept, `01.safetensors` and so on, and `keep` hears
    of each: a run that goes on from its checkpoint needs those of the epochs before. Raises
    ValueError for a loss that is not finite, and for a batch that the GPU cannot hold: its size is
    part of the recipe.
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

    def snapshot(epoch: int) -> Path:
        return snapshots / f"{epoch:02d}.safetensors"

    def lacks(step: int) -> str:
        epochs = range(1, step // per_epoch + 1) if snapshots else ()
        return next((f"{snapshot(n)} is not there" for n in epochs if not snapshot(n).exists()), "")

    first, curve = load_checkpoint(checkpoint, model.state_dict(), optimisers, lacks=lacks)
    record, copies = _Recorder(stage, curve, recipe.lr), views(recipe.augment)
    pace, dynamic = _pace(stage, model, recipe, device), recipe.mixing == "shuffled"
    step_loss = loss
    if pace.begin(steps - first):
        step_loss = _faster(pace.way, loss, model, dynamic=dynamic)
    labels, known = labels.to(device), [rows.to(device) for rows in known]
    sources = [images, *(rows for rows, _ in outliers)]

    def rows_of(source: int) -> Iterator[np.ndarray]:
        return (step[source] for step in order.steps(first, steps))

    def mixed_rows() -> Iterator[np.ndarray]:
        for step, (rows, *_) in enumerate(order.steps(first, steps), first):
            random = seeds.generator(seed, stage, "mixing", step)
            yield random.integers(len(mixing[0]), size=copies * len(rows))

    batches = [item.batches(rows_of(number), device) for number, item in enumerate(sources)]
    complex_ones = mixing[0].batches(mixed_rows(), device) if mixing else None
    seen, began, saved, cost = 0, time.monotonic(), time.monotonic(), 0.0
    lap = began
    to_training(model, recipe)
    with progress(stage, steps, "steps", done=first) as advance:
        for step, (rows, *shown) in enumerate(order.steps(first, steps), first):
            own, *others = [next(batch) for batch in batches]
            parts, shapes = [*[own] * copies, *others], []
            if aspects is not None:
                shapes = [*[aspects[rows]] * copies, *(torch.ones(len(item)) for item in others)]
            y = labels[to_device(torch.from_numpy(rows), device)].repeat(copies)
            rng = _stream(seed, stage, "step", step)
            for group, lr in zip(groups, first_lrs, strict=True):
                group["lr"] = scheduled_lr(step, steps, lr, recipe.schedule)
            about = [
                item[to_device(torch.from_numpy(chosen), device)]
                for item, chosen in zip(known, shown, strict=True)
            ] if known else []  # fmt: skip
            now = Step(
                step,
                steps,
                _stream(seed, stage, "method", step),
                torch.cat(about) if about else None,
            )
            try:
                pixels = joined(parts, recipe, rng, shapes)
                if complex_ones:
                    others = augment(next(complex_ones), recipe, rng)
                    own = pixmix(pixels[: len(y)], others, rng, **mixing[1])
                    pixels = torch.cat([own, pixels[len(y) :]])
                x = as_input(pixels)
                with torch.autocast(
                    device.type, torch.bfloat16, enabled=recipe.precision == "bf16"
                ):
                    terms = step_loss(model, x, y, now)
                for optimiser in optimisers:
                    optimiser.zero_grad()
                terms["loss"].backward()
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                raise ValueError(
                    f"{stage}.batch_size must fit into the GPU's memory, got {recipe.batch_size} "
                    f"({len(x)} pictures a step); lower it, or take a GPU with more memory"
                ) from error
            for optimiser in optimisers:
                clip_gradients(optimiser, recipe.clip_norm)
                optimiser.step()
            record.add(terms)
            seen, note = seen + len(x), ""
            point = len(record.recent) == STEPS_PER_POINT or step == steps - 1
            if point:
                epoch = (step + 1) / per_epoch
                lr = scheduled_lr(step, steps, recipe.lr, recipe.schedule)
                taken = len(record.recent)
                note = record.read(step + 1, epoch, lr)  # waits for the device
                if pace.lap(taken, time.monotonic() - lap, left=steps - step - 1):
                    step_loss = _faster(pace.way, loss, model, dynamic=dynamic)
            due = point and (step + 1) % STEPS_PER_CHECKPOINT == 0 and step + 1 < steps
            due = due and time.monotonic() - saved >= cost / CHECKPOINT_SHARE
            if due:
                saved = time.monotonic()
                save_checkpoint(checkpoint, model.state_dict(), optimisers, step + 1, curve)
                cost = time.monotonic() - saved
            if snapshots and (step + 1) % per_epoch == 0:
                path = snapshot((step + 1) // per_epoch)
                save_weights(model, path.with_suffix(".tmp"))
                disk.replace(path.with_suffix(".tmp"), path)
                keep(path)
            advance(1, note)
            if point:
                lap = time.monotonic()
    pace.close()
    compiled.uncompile(model)
    model.eval()
    return curve, seen / max(time.monotonic() - began, 1e-9)
