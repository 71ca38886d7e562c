"""Training a small latent-diffusion pipeline in two phases: autoencoder, then denoiser.

Rombach et al. 2022, small: reconstruction with a light KL term; then text transformer and UNet on
the noise-prediction loss with some empty captions (classifier-free guidance, Ho & Salimans 2022).
Both phases end with the moving average of their weights. Each step's randomness is a hash of
(seed, phase, step), so a killed run continues from its checkpoint without any random state.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionPipeline
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from bood_tasks.jobs.seeds import stream
from bood_tasks.training.checkpoint import load_checkpoint, save_checkpoint
from bood_tasks.training.recipe import average_decay, cosine_lr, require_finite

KL_WEIGHT = 1e-4  # per latent number, beside the mean squared error of pixels in [-1, 1]
EMA = 0.999
WARM_UP = 100  # steps
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
        kept = {f"weight.{name}": weight.detach() for name, weight in trained.items()}
        kept |= {f"average.{name}": value for name, value in self.average.items()}
        checkpoint = self.directory / f"{phase}-checkpoint.safetensors"
        first, found = load_checkpoint(checkpoint, kept, [self.adam])
        if first:
            log, self.losses = found
            self.log = [tuple(row) for row in log]
        self.report(first, f"{phase} {first}/{count}")
        for step in range(first, count):
            share = cosine_lr(step, count, 1, last=LAST_SHARE)
            self.adam.param_groups[0]["lr"] = self.lr * share * min((step + 1) / WARM_UP, 1)
            self.step, self.decay = step, average_decay(step, EMA)
            yield step
            done = step + 1
            if len(self.losses) == STEPS_PER_POINT or done == count:
                self.log.append((phase, done, round(sum(self.losses) / len(self.losses), 6)))
                self.losses = []
            self.report(1, f"{phase}, loss {self.log[-1][2]:.4f}" if self.log else phase)
            if done % self.every == 0 or done == count:
                save_checkpoint(checkpoint, kept, [self.adam], done, [self.log, self.losses])
        with torch.no_grad():
            for name, weight in trained.items():
                weight.copy_(self.average[name])

    def descend(self, loss: Float[Tensor, ""], *, shown: Float[Tensor, ""] | None = None) -> None:
        """One optimiser step and one step of the average; the log takes `shown`, else `loss`."""
        require_finite([loss.item()], self.step, {"generator.train.lr": self.lr})
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.adam.step()
        weights = [weight.detach() for weight in self.trained.values()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - self.decay)
        self.losses.append((loss if shown is None else shown).item())


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
