"""Training a small latent-diffusion pipeline in two phases: autoencoder, then denoiser.

Rombach et al. 2022, small: reconstruction with a light KL term; then text transformer and UNet on
the noise-prediction loss with some empty captions (classifier-free guidance, Ho & Salimans 2022).
Both phases end with the moving average of their weights. Each step's randomness is a hash of
(seed, phase, step), so a killed run continues from its checkpoint without any random state. On a
GPU nothing in a step waits for the device: rows and noise are drawn there, losses are read once
every STEPS_PER_POINT.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionPipeline
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from bood_tasks.generators.text_to_image.time_limit import TimeLimit
from bood_tasks.jobs.seeds import stream
from bood_tasks.networks.compiled import run_as, uncompile
from bood_tasks.training.checkpoint import load_checkpoint, save_checkpoint
from bood_tasks.training.pace import pace_of
from bood_tasks.training.recipe import average_decay, cosine_lr, require_finite

KL_WEIGHT = 1e-4  # per latent number, beside the mean squared error of pixels in [-1, 1]
WARM_UP = 100  # steps
AUTOENCODER_SHARE = 0.2  # of a limited time, at most
LAST_SHARE = 0.02  # of the learning rate, at the last step
WEIGHT_DECAY = 0.01
STEPS_PER_POINT = 50  # a row of the training log is the mean over so many steps
Report = Callable[[int, str], object]
Pixels = UInt8[Tensor, "n 3 h w"]
Latents = Float[Tensor, "n c h8 w8"]


@dataclass(frozen=True)
class Batches:
    """Which rows a step sees: `id_share` of them from the first n_id rows, the rest from the n."""

    n_id: int
    n: int
    id_share: float
    seed: int

    def rows(
        self, phase: str, step: int, size: int, device: torch.device | str = "cpu"
    ) -> tuple[Int64[Tensor, " b"], torch.Generator]:
        """Row numbers of a step's batch, and the random stream for the rest of that step.

        Both are the device's: a GPU draws other numbers than a CPU.
        """
        random = torch.Generator(device).manual_seed(stream(self.seed, "generator", phase, step))
        draw = {"generator": random, "device": device}
        from_id = size if self.n == self.n_id else round(size * self.id_share)
        inside = torch.randint(0, self.n_id, (from_id,), **draw)
        if from_id == size:
            return inside, random
        outside = torch.randint(self.n_id, self.n, (size - from_id,), **draw)
        return torch.cat([inside, outside]), random


@dataclass
class Descent:
    """Optimiser, moving average, log, limit of time and checkpoints: what both phases share.

    `report(steps, note)` hears of progress. `log` rows are (phase, step, mean loss). `seconds`:
    what both phases may take together, None = as long as their steps take. A phase then has as many
    steps as fit (see time_limit), and its checkpoint keeps that number.
    """

    directory: Path
    every: int
    lr: float
    report: Report
    ema: float = 0.999
    precision: str = "fp32"
    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    log: list[tuple[str, int, float]] = field(default_factory=list)
    facts: dict[str, int | float] = field(default_factory=dict)  # of each phase that has ended

    def __post_init__(self) -> None:
        self.began, self.before = self.clock(), 0.0

    def spent(self) -> float:
        """Return the seconds that training has taken so far, those of killed tries included."""
        return self.before + self.clock() - self.began

    def steps(
        self,
        phase: str,
        count: int,
        trained: dict[str, nn.Parameter],
        batch_size: int,
        *networks: nn.Module,
        share: float = 1.0,
    ) -> Iterator[int]:
        """Yield the steps still to do (`descend` once in each); leave the average in `trained`.

        There are `count`, or as many as fit into `share` of the seconds that are left. `networks`
        are those whose forward passes are compiled where that pays; a limited time is shared out
        once that is settled. Raises ValueError if the steps are fewer than the warm-up.
        """
        self.trained, self.losses = trained, []
        self.adam = torch.optim.AdamW(trained.values(), lr=self.lr, weight_decay=WEIGHT_DECAY)
        self.average = {name: weight.detach().clone() for name, weight in trained.items()}
        kept = {f"weight.{name}": weight.detach() for name, weight in trained.items()}
        kept |= {f"average.{name}": value for name, value in self.average.items()}
        checkpoint = self.directory / f"{phase}-checkpoint.safetensors"
        total = count if self.seconds is None else None
        first, found = load_checkpoint(checkpoint, kept, [self.adam])
        if first:
            log, self.losses, *more = found
            self.log = [tuple(row) for row in log]
            total, self.before = more or (total, 0.0)
            self.began = self.clock()
        limit, started = None, self.spent()
        ends = started + share * ((self.seconds or 0) - started)
        device = next(iter(trained.values())).device
        pace = pace_of("generator", "training", networks, device, phase, batch_size, self.precision)
        if pace.begin((total or count) - first):
            run_as(pace.way, networks)
        self.report(first, f"{phase} {first}/{count}")
        step, lap = first, (first, self.clock())
        while step < (count if total is None else total):
            if total is None and pace.decided:
                if limit is None:
                    limit, settled = self._limit(count - step, ends - self.spent()), step
                limit.see(step - settled)
                if limit.total is not None:
                    total = self._settled(phase, settled + limit.total, count)
                    continue
            lr_share = cosine_lr(step, total or count, 1, last=LAST_SHARE)
            self.adam.param_groups[0]["lr"] = self.lr * lr_share * min((step + 1) / WARM_UP, 1)
            self.step, self.decay = step, average_decay(step, self.ema)
            yield step
            step += 1
            ended = step == (total or count)
            if len(self.losses) == STEPS_PER_POINT or ended:
                self._read()
                self.log.append((phase, step, round(sum(self.losses) / len(self.losses), 6)))
                self.losses = []
                taken, seconds = step - lap[0], self.clock() - lap[1]
                if pace.lap(taken, seconds, left=(total or count) - step):
                    run_as(pace.way, networks)
                lap = step, self.clock()
            self.report(1, f"{phase}, loss {self.log[-1][2]:.4f}" if self.log else phase)
            if step % self.every == 0 or ended:
                self._read()
                state = [self.log, self.losses, total, self.spent()]
                save_checkpoint(checkpoint, kept, [self.adam], step, state)
        pace.close()
        for network in networks:
            uncompile(network)
        rate = (step - first) / max(self.spent() - started, 1e-9)
        self.facts |= {f"{phase}_steps": step, f"{phase}_steps_per_second": round(rate, 3)}
        with torch.no_grad():
            for name, weight in trained.items():
                weight.copy_(self.average[name])

    def descend(self, loss: Float[Tensor, ""], *, shown: Float[Tensor, ""] | None = None) -> None:
        """One optimiser step and one step of the average; the log takes `shown`, else `loss`."""
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.adam.step()
        weights = [weight.detach() for weight in self.trained.values()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - self.decay)
        self.losses.append(torch.stack([loss, loss if shown is None else shown]).detach())

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context of a forward pass in the number format of the training."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _read(self) -> None:
        """Bring the losses since the last point from the device; refuse one that is not finite."""
        fresh = [loss for loss in self.losses if isinstance(loss, Tensor)]
        if fresh:
            values = torch.stack(fresh).tolist()
            first = self.step + 1 - len(fresh)
            require_finite([loss for loss, _ in values], first, {"generator.train.lr": self.lr})
            self.losses[-len(fresh) :] = [shown for _, shown in values]

    def _limit(self, count: int, seconds: float) -> TimeLimit:
        device = next(iter(self.trained.values())).device
        wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
        return TimeLimit(seconds, count, self.clock, wait)

    def _settled(self, phase: str, total: int, count: int) -> int:
        """Return a phase's number of steps, said; raise ValueError for one that teaches nothing."""
        if total < min(count, WARM_UP):
            raise ValueError(
                f"generator.train.minutes must leave the {phase} at least {min(count, WARM_UP)} "
                f"steps, got {self.seconds / 60:g}, in which this machine makes {total}; give more "
                "minutes, smaller batches or networks, or train on a GPU"
            )
        print(f"{phase}: {total:,} of {count:,} steps fit into its time", file=sys.stderr)
        return total


def _to_signed(pictures: Pixels, device: torch.device) -> Float[Tensor, "n 3 h w"]:
    return pictures.to(device).float() / 127.5 - 1


def train_autoencoder(
    vae: AutoencoderKL,
    pictures: Pixels,
    batches: Batches,
    descent: Descent,
    *,
    batch_size: int,
    steps: int,
) -> None:
    """Train in place and set scaling_factor to 1 / the latents' standard deviation.

    If every picture is grey the decoder's three outputs are kept equal: a faint tint would tell a
    decoded image from a real one, and a detector would learn the tint.
    """
    vae.train().requires_grad_(True)
    grey = all((part == part[:, :1]).all() for part in pictures.split(1000))
    if grey:
        _level_channels(vae.decoder.conv_out)
    trained = dict(vae.named_parameters())
    for step in descent.steps(
        "autoencoder", steps, trained, batch_size, vae.encoder, vae.decoder, share=AUTOENCODER_SHARE
    ):
        rows, random = batches.rows("autoencoder", step, batch_size, vae.device)
        x = _to_signed(pictures[rows.to(pictures.device)], vae.device)
        with descent.autocast(vae.device):
            posterior = vae.encode(x).latent_dist
            mean, std = posterior.mean.float(), posterior.std.float()
            noise = torch.randn(mean.shape, generator=random, device=vae.device)
            decoded = vae.decode(mean + std * noise).sample.float()
        error = F.mse_loss(decoded, x)
        kl = 0.5 * (mean**2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        descent.descend(error + KL_WEIGHT * kl, shown=error)
    vae.eval()
    if grey:
        _level_channels(vae.decoder.conv_out)
    vae.register_to_config(scaling_factor=1.0)
    rows, _ = batches.rows("scale", 0, min(2000, len(pictures)))
    spread = encode_pictures(vae, pictures[rows.to(pictures.device)]).std().item()
    vae.register_to_config(scaling_factor=round(1 / spread, 4))


@torch.no_grad()
def _level_channels(layer: nn.Conv2d) -> None:
    layer.weight.copy_(layer.weight.mean(0, keepdim=True).expand_as(layer.weight))
    layer.bias.copy_(layer.bias.mean().expand_as(layer.bias))


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, pictures: Pixels) -> Latents:
    """Scaled latents, made once: the denoiser never waits for the autoencoder."""
    parts = [
        vae.encode(_to_signed(part, vae.device)).latent_dist.mean for part in pictures.split(100)
    ]
    return torch.cat(parts) * vae.config.scaling_factor


def caption_states(
    text: nn.Module,
    captions: Int64[Tensor, "w l"],
    chosen: Int64[Tensor, " b"],
    *,
    repeated: bool,
) -> Float[Tensor, "b l d"]:
    """Return the text states of the chosen captions, each encoded once.

    Which ones occur, a GPU would have to be asked, and waited for: there all are encoded
    (`repeated` False), which is little beside the UNet.
    """
    if not repeated:
        return text(input_ids=captions)[0][chosen]
    distinct, which = chosen.unique(return_inverse=True)
    return text(input_ids=captions[distinct])[0][which]


def train_denoiser(
    pipe: StableDiffusionPipeline,
    latents: Latents,
    word_of: Int64[Tensor, " n"],
    captions: Int64[Tensor, "w l"],
    batches: Batches,
    descent: Descent,
    *,
    caption_dropout: float,
    batch_size: int,
    steps: int,
) -> None:
    """Train UNet and text transformer in place; the last of `captions` is the empty one.

    The token-embedding table stays as it is: the anchors are its rows and must not drift.
    """
    unet, text = pipe.unet.train(), pipe.text_encoder.train()
    device, table = unet.device, text.get_input_embeddings().weight
    unet.requires_grad_(True)
    text.requires_grad_(True)
    table.requires_grad_(False)
    trained = {f"unet.{name}": p for name, p in unet.named_parameters()}
    trained |= {f"text.{name}": p for name, p in text.named_parameters() if p is not table}
    kept = pipe.scheduler.alphas_cumprod.to(device)[:, None, None, None]
    latents, word_of, captions = latents.to(device), word_of.to(device), captions.to(device)
    for step in descent.steps("denoiser", steps, trained, batch_size, unet):
        rows, random = batches.rows("denoiser", step, batch_size, device)
        draw = {"generator": random, "device": device}
        dropped = torch.rand(len(rows), **draw) < caption_dropout
        caption = torch.where(dropped, len(captions) - 1, word_of[rows])
        t = torch.randint(0, len(kept), (len(rows),), **draw)
        clean = latents[rows]
        noise = torch.randn(clean.shape, **draw)
        noisy = kept[t].sqrt() * clean + (1 - kept[t]).sqrt() * noise
        with descent.autocast(device):
            states = caption_states(text, captions, caption, repeated=device.type == "cpu")
            predicted = unet(noisy, t, states).sample.float()
        descent.descend(F.mse_loss(predicted, noise))
    unet.eval()
    text.eval()
