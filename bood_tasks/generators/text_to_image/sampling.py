"""From noise to pictures: one sampling loop for every family and every scheduler (BOOD Eq. 6).

Nothing here draws from a global stream: the caller gives each item its own noise and its own
generator, so batch size and order cannot change an image beyond rounding.
"""

import inspect
import warnings
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bood_tasks.generators.pixels import as_bytes, require_finite

Conditions = tuple[Tensor, ...]  # each with an item a row
Network = Callable[[Float[Tensor, "b c h w"], Tensor, Conditions], Float[Tensor, "b c h w"]]


@torch.no_grad()
def denoise(
    scheduler,
    network: Network,
    cond: Conditions,
    uncond: Conditions | None,
    noise: Float[Tensor, "b c h w"],
    *,
    steps: int,
    guidance: float,
    latent_scale: float = 1.0,
    stop_after: int | None = None,
    streams: Sequence[torch.Generator] | None = None,
    calls: int = 1,
    **timesteps: float,
) -> Float[Tensor, "b c h w"]:
    """Latents for conditions and standard-normal noise, in float32.

    Classifier-free guidance: ε = ε_uncond + guidance · (ε_cond - ε_uncond); at guidance 1, and with
    `uncond` None, the unconditional half is skipped. `network(x, t, conditions)` predicts. A
    scheduler that adds noise between steps draws each item's from its own of `streams`, on the CPU.
    With guidance the network is asked in so many `calls` a step, each for its part of the rows.
    `timesteps`: what else the scheduler's timesteps depend on.

    Outside the pipeline's range, as GOE runs a GAN: `latent_scale` times the noise it was made
    for; `stop_after` so many of the scheduler's steps the latents are left as they are.
    """
    if not 1 <= steps <= scheduler.config.num_train_timesteps:
        limit = scheduler.config.num_train_timesteps
        raise ValueError(f"images.steps must be in [1, {limit}], got {steps}")
    if guidance < 1:
        raise ValueError(f"images.guidance must be at least 1, got {guidance}; 1 switches it off")
    with warnings.catch_warnings():  # DPM-Solver++ and UniPC under numpy 2, inside diffusers
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        scheduler.set_timesteps(steps, **timesteps)  # also forgets the last call's history
    guided = guidance != 1 and uncond is not None
    if guided:
        cond = tuple(torch.cat([b.expand_as(a), a]) for a, b in zip(cond, uncond, strict=True))
    own = _noise_of(scheduler, streams)
    scaled = latent_scale * getattr(scheduler, "init_noise_sigma", 1.0)
    x = noise.to(cond[0].device, torch.float32) * scaled
    # On the host: indexing by a device's tensor would wait for it.
    for t in scheduler.timesteps[:stop_after]:
        both = torch.cat([x, x]) if guided else x
        if hasattr(scheduler, "scale_model_input"):
            both = scheduler.scale_model_input(both, t)
        if guided and calls > 1:
            parts = zip(both.chunk(calls), *(item.chunk(calls) for item in cond), strict=True)
            predicted = torch.cat([network(part, t, tuple(own)) for part, *own in parts]).float()
        else:
            predicted = network(both, t, cond).float()
        if guided:
            without, with_text = predicted.chunk(2)
            predicted = without + guidance * (with_text - without)
        x = scheduler.step(predicted, t, x, **own).prev_sample
    return x


def _noise_of(scheduler, streams: Sequence[torch.Generator] | None) -> dict:
    """What a scheduler's step needs to draw its noise; ValueError if it would from none of ours."""
    adds = "Ancestral" in type(scheduler).__name__ or "LCM" in type(scheduler).__name__
    if not (adds or scheduler.config.get("stochastic_sampling")):
        return {}
    if "generator" not in inspect.signature(scheduler.step).parameters or streams is None:
        raise ValueError(
            f"{type(scheduler).__name__} adds noise between steps; give each item a stream"
        )
    return {"generator": list(streams)}


def to_pictures(
    vae,
    latents: Float[Tensor, "b c h8 w8"],
    cure: str,
    *,
    saved_size: int | None = None,
    kernel: str = "bilinear",
    rows: int | None = None,
) -> UInt8[Tensor, "b h w 3"]:
    """Pictures of latents, which are those that the decoder takes; `rows` at a time, None: all.

    Raises ValueError, with `cure`, if one is not finite: that waits for the device, once.
    """
    latents = latents.to(vae.dtype)
    made, finite = zip(
        *(
            as_bytes(vae.decode(part).sample.float(), saved_size, kernel)
            for part in latents.split(rows or len(latents))
        ),
        strict=True,
    )
    require_finite(torch.cat(finite), cure)
    return torch.cat(made)


def draw(
    pipe,
    denoiser,
    network: Network,
    cond: Conditions,
    uncond: Conditions | None,
    noise: Float[Tensor, "b c h8 w8"],
    for_decoder: Callable[[Tensor], Tensor],
    *,
    guidance: float,
    latent_scale: float = 1.0,
    saved_size: int | None = None,
    kernel: str = "bilinear",
    vae_rows: int | None = None,
    **sampling,
) -> UInt8[Tensor, "b h w 3"]:
    """Pictures for conditions and standard-normal noise, by the pipeline's scheduler (Eq. 6).

    A picture depends on its own row alone. The networks run in their own dtype, guidance and
    scheduler in float32. `for_decoder`: latents as the VAE's decoder takes them. `saved_size`,
    `kernel`, `vae_rows`: see `to_pictures`; the rest: see `denoise`. Raises ValueError if a picture
    is not finite.
    """
    latents = denoise(
        pipe.scheduler, network, cond, uncond, noise,
        guidance=guidance, latent_scale=latent_scale, **sampling,
    )  # fmt: skip
    cure = cure_for(denoiser.dtype, guidance, latent_scale)
    return to_pictures(
        pipe.vae, for_decoder(latents), cure, saved_size=saved_size, kernel=kernel, rows=vae_rows
    )


def cure_for(dtype: torch.dtype, guidance: float, latent_scale: float) -> str:
    """What a user may do about pictures that are not finite."""
    if dtype == torch.float16:
        return "set images.dtype: bfloat16 or float32: float16 ends at 65,504"
    return (
        f"lower images.guidance (now {guidance:g}) or images.latent_scale (now {latent_scale:g}), "
        "or copy the generator's folder again"
    )
