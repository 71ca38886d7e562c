"""Trains a BigGAN on labelled pictures. Every random choice is seeded by the step, so a killed run
goes on from its checkpoint and ends with the weights of an unbroken one."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from bood_tasks.generators.biggan.biggan import (
    Discriminator,
    Generator,
    Shape,
    discriminator_loss,
    generator_loss,
    in_effect,
    normalised,
    orthogonality,
    regularised,
)
from bood_tasks.jobs import seeds
from bood_tasks.jobs.progress import progress
from bood_tasks.training.checkpoint import load_checkpoint, save_checkpoint
from bood_tasks.training.recipe import average_decay, require_finite

BETAS = (0.0, 0.999)  # the authors'
STEPS_PER_CHECKPOINT = 100
STEPS_PER_POINT = 20


class Pair(nn.Module):
    """All that a training run has to keep: both networks and the generator's running average."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.generator = normalised(Generator(shape))
        self.discriminator = normalised(Discriminator(shape))
        self.average = Generator(shape).requires_grad_(False)
        self.average.load_state_dict(self.effective())

    def effective(self) -> dict[str, Tensor]:
        self.generator.eval()
        found = in_effect(self.generator)
        self.generator.train()
        return found

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the average towards the generator's weights and statistics."""
        now = self.effective()
        for name, kept in self.average.state_dict().items():
            kept.lerp_(now[name], 1 - decay)


def to_pictures(images: UInt8[np.ndarray, "b h w 3"], device: str) -> Float[Tensor, "b 3 h w"]:
    """Return pictures in [-1, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)
    return pixels.float() / 127.5 - 1


def _batches(count: int, size: int, first: int, seed: int) -> Iterator[Int64[np.ndarray, " b"]]:
    """Yield rows of an endless sequence of reshuffled passes, from batch number `first` on."""
    per_pass = count // size
    number = first
    while True:
        order = seeds.generator(seed, "gan_generator", "pass", number // per_pass)
        order = order.permutation(count)
        for batch in range(number % per_pass, per_pass):
            yield order[batch * size : (batch + 1) * size]
            number += 1


def train(
    images: UInt8[np.ndarray, "n h w 3"],
    labels: Int64[np.ndarray, " n"],
    shape: Shape,
    settings: Mapping,
    *,
    checkpoint: Path,
    device: str,
) -> tuple[Generator, list[dict], float]:
    """Return the averaged generator, the curve of losses and the pictures a second that D saw.

    Raises ValueError for fewer pictures than a batch and for losses that are not finite.
    """
    size, seed = settings["batch_size"], settings["seed"]
    if len(images) < size:
        raise ValueError(
            f"gan_generator.train.batch_size must be at most the {len(images)} training pictures, "
            f"got {size}; lower it"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seeds.stream(seed, "gan_generator", "weights"))
        pair = Pair(shape)
    pair.to(device)
    g, d = pair.generator, pair.discriminator
    optimisers = [
        torch.optim.Adam(
            net.parameters(), lr=settings[f"lr_{name}"], betas=BETAS, eps=settings["adam_eps"]
        )
        for name, net in (("g", g), ("d", d))
    ]
    lrs = {f"gan_generator.train.{name}": settings[name] for name in ("lr_g", "lr_d")}
    first, curve = load_checkpoint(checkpoint, pair.state_dict(), optimisers)
    steps, d_steps = settings["steps"], settings["d_steps"]
    batches = _batches(len(images), size, first * d_steps, seed)
    amp = torch.autocast(
        torch.device(device).type, torch.bfloat16, enabled=settings["precision"] == "bf16"
    )
    recent: list[Tensor] = []
    seen, began = 0, time.monotonic()
    pair.train()
    with progress("gan_generator", steps, "steps", done=first) as advance:
        for step in range(first, steps):
            rng = torch.Generator().manual_seed(seeds.stream(seed, "gan_generator", "step", step))

            def drawn() -> tuple[Tensor, Tensor]:
                z = torch.randn(size, shape.latent, generator=rng)  # noqa: B023
                y = torch.randint(shape.classes, (size,), generator=rng)  # noqa: B023
                return z.to(device), y.to(device)

            for _ in range(d_steps):
                rows = np.sort(next(batches))
                x, y = to_pictures(images[rows], device), torch.from_numpy(labels[rows]).to(device)
                if settings["flip"]:
                    mirrored = torch.rand(size, generator=rng) < 0.5
                    x = torch.where(mirrored.to(device)[:, None, None, None], x.flip(3), x)
                z, fake = drawn()
                with amp:
                    with torch.no_grad():
                        made = g(z, fake)
                    both = d(torch.cat([x, made]), torch.cat([y, fake]))
                loss_d = discriminator_loss(both[:size].float(), both[size:].float())
                optimisers[1].zero_grad()
                loss_d.backward()
                optimisers[1].step()
                seen += size
            z, fake = drawn()
            d.requires_grad_(False)
            with amp:
                judged = d(g(z, fake), fake)
            loss_g = generator_loss(judged.float())
            penalty = settings["orthogonal"]
            total = loss_g + penalty * orthogonality(regularised(g)) if penalty else loss_g
            optimisers[0].zero_grad()
            total.backward()
            optimisers[0].step()
            d.requires_grad_(True)
            pair.follow(average_decay(step, settings["ema"]))
            recent.append(torch.stack([loss_d.detach(), loss_g.detach()]))
            note = ""
            if len(recent) == STEPS_PER_POINT or step == steps - 1:
                losses = torch.stack(recent)
                require_finite(losses.sum(1).tolist(), step + 1 - len(recent), lrs)
                means = losses.mean(0).tolist()
                curve.append({"step": step + 1, "discriminator": means[0], "generator": means[1]})
                note, recent = f"D {means[0]:.2f}, G {means[1]:.2f}", []
                if (step + 1) % STEPS_PER_CHECKPOINT == 0 and step + 1 < steps:
                    save_checkpoint(checkpoint, pair.state_dict(), optimisers, step + 1, curve)
            advance(1, note)
    return pair.average.eval(), curve, seen / max(time.monotonic() - began, 1e-9)
