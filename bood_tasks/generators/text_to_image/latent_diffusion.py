"""Training a small latent-diffusion pipeline in two phases: autoencoder, then denoiser.

Rombach et al. 2022, small: reconstruction with a light KL term; then text transformer and UNet on
the noise-prediction loss with some empty captions (classifier-free guidance, Ho & Salimans 2022).
Both phases end with the moving average of their weights. Each step's randomness is a hash of
(seed, phase, step), so a killed run continues from its checkpoint without any random state.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionPipeline
from jaxtyping import Float, Int64, UInt8
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bood_tasks.jobs.seeds import stream

KL_WEIGHT = 1e-4  # per latent number, beside the mean squared error of pixels in [-1, 1]
EMA = 0.999
WARM_UP = 100  # steps
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

    def rows(self, phase: str, step: int, size: int) -> tuple[Int64[Tensor, " b"], torch.Generator]:
        """Row numbers of a step's batch, and the random stream for the rest of that step."""
        random = torch.Generator().manual_seed(stream(self.seed, "generator", phase, step))
        from_id = size if self.n == self.n_id else round(size * self.id_share)
        inside = torch.randint(0, self.n_id, (from_id,), generator=random)
        if from_id == size:
            return inside, random
        outside = torch.randint(self.n_id, self.n, (size - from_id,), generator=random)
        return torch.cat([inside, outside]), random


@dataclass
class Descent:
    """Optimiser, moving average, log and checkpoints: what both phases share.

    `report(steps, note)` hears of progress. `log` rows are (phase, step, mean loss).
    """

    directory: Path
    every: int
    lr: float
    report: Report
    log: list[tuple[str, int, float]] = field(default_factory=list)

    def steps(self, phase: str, count: int, trained: dict[str, nn.Parameter]) -> Iterator[int]:
        """Yield the steps still to do (`descend` once in each); leave the average in `trained`."""
        self.trained, self.losses = trained, []
        self.adam = torch.optim.AdamW(trained.values(), lr=self.lr, weight_decay=WEIGHT_DECAY)
        self.average = {name: weight.detach().clone() for name, weight in trained.items()}
        checkpoint = self.directory / f"{phase}.safetensors"
        first = self._resume(checkpoint) if checkpoint.is_file() else 0
        self.report(first, f"{phase} {first}/{count}")
        for step in range(first, count):
            cosine = 0.02 + 0.98 * math.cos(math.pi / 2 * step / count) ** 2
            self.adam.param_groups[0]["lr"] = self.lr * cosine * min((step + 1) / WARM_UP, 1)
            self.decay = min(EMA, (1 + step) / (10 + step))
            yield step
            done = step + 1
            if len(self.losses) == STEPS_PER_POINT or done == count:
                self.log.append((phase, done, round(sum(self.losses) / len(self.losses), 6)))
                self.losses = []
            self.report(1, f"{phase}, loss {self.log[-1][2]:.4f}" if self.log else phase)
            if done % self.every == 0 or done == count:
                self._keep(checkpoint, done)
        with torch.no_grad():
            for name, weight in trained.items():
                weight.copy_(self.average[name])

    def descend(self, loss: Float[Tensor, ""], *, shown: Float[Tensor, ""] | None = None) -> None:
        """One optimiser step and one step of the average; the log takes `shown`, else `loss`."""
        if not torch.isfinite(loss):
            raise FloatingPointError("the loss is not finite; lower generator.train.lr")
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.adam.step()
        weights = [weight.detach() for weight in self.trained.values()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - self.decay)
        self.losses.append((loss if shown is None else shown).item())

    def _keep(self, path: Path, done: int) -> None:
        """Weights, averages, moments and log in one file, replaced in one step."""
        tensors = {}
        for name, weight in self.trained.items():
            state = self.adam.state[weight]
            tensors[f"weight.{name}"] = weight.detach()
            tensors[f"average.{name}"] = self.average[name]
            tensors[f"first.{name}"], tensors[f"second.{name}"] = (
                state["exp_avg"],
                state["exp_avg_sq"],
            )
        plain = {name: value.cpu().contiguous() for name, value in tensors.items()}
        note = json.dumps({"done": done, "log": self.log, "losses": self.losses})
        scratch = path.with_suffix(".tmp")
        save_file(plain, scratch, metadata={"note": note})
        os.replace(scratch, path)

    def _resume(self, path: Path) -> int:
        with safe_open(path, "pt") as stored, torch.no_grad():
            note = json.loads(stored.metadata()["note"])
            for name, weight in self.trained.items():
                weight.copy_(stored.get_tensor(f"weight.{name}"))
                self.average[name].copy_(stored.get_tensor(f"average.{name}"))
                self.adam.state[weight] = {
                    "step": torch.tensor(float(note["done"])),
                    "exp_avg": stored.get_tensor(f"first.{name}").to(weight.device),
                    "exp_avg_sq": stored.get_tensor(f"second.{name}").to(weight.device),
                }
        self.log, self.losses = [tuple(row) for row in note["log"]], note["losses"]
        return note["done"]


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
    for step in descent.steps("autoencoder", steps, dict(vae.named_parameters())):
        rows, random = batches.rows("autoencoder", step, batch_size)
        x = _to_signed(pictures[rows], vae.device)
        posterior = vae.encode(x).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=random).to(vae.device)
        error = F.mse_loss(vae.decode(posterior.mean + posterior.std * noise).sample, x)
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        descent.descend(error + KL_WEIGHT * kl, shown=error)
    vae.eval()
    if grey:
        _level_channels(vae.decoder.conv_out)
    vae.register_to_config(scaling_factor=1.0)
    rows, _ = batches.rows("scale", 0, min(2000, len(pictures)))
    spread = encode_pictures(vae, pictures[rows]).std().item()
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
    captions = captions.to(device)
    for step in descent.steps("denoiser", steps, trained):
        rows, random = batches.rows("denoiser", step, batch_size)
        dropped = torch.rand(len(rows), generator=random) < caption_dropout
        caption = torch.where(dropped, len(captions) - 1, word_of[rows])
        distinct, which = caption.unique(return_inverse=True)
        states = text(input_ids=captions[distinct])[0][which]
        t = torch.randint(0, len(kept), (len(rows),), generator=random).to(device)
        noise = torch.randn(latents[rows].shape, generator=random).to(device)
        noisy = kept[t].sqrt() * latents[rows].to(device) + (1 - kept[t]).sqrt() * noise
        descent.descend(F.mse_loss(unet(noisy, t, states).sample, noise))
    unet.eval()
    text.eval()
