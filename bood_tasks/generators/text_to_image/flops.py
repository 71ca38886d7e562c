"""Floating-point operations, counted on networks without weights (torch's `meta` device).

One multiplication and one addition count as two. Attention is counted, normalisations and
activations are not.
"""

from collections.abc import Mapping

import torch

from bood_tasks.networks.flops import count

SD14_UNET = {
    "sample_size": 64,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
}
SD14_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 512,
}
TOKENS = 77


def image_flops(
    unet_config: Mapping, vae_config: Mapping, *, resolution: int, evaluations: int, guided: bool
) -> float:
    """Return the operations of one image: UNet evaluations, twice with guidance, and the VAE."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(unet_config)).eval()
        vae = AutoencoderKL.from_config(dict(vae_config)).eval()
        side = resolution // 2 ** (len(vae.config.block_out_channels) - 1)
        x = torch.empty(1, unet.config.in_channels, side, side)
        text = torch.empty(1, TOKENS, unet.config.cross_attention_dim)
        each = count(lambda: unet(x, torch.empty(1), text))
        decoding = count(lambda: vae.decode(torch.empty(1, vae.config.latent_channels, side, side)))
    return evaluations * (2 if guided else 1) * each + decoding


def evaluations(scheduler: str, steps: int) -> int:
    """Return how often the UNet runs: PNDM without its warm-up makes one more than its steps."""
    return steps + 1 if scheduler == "pndm" else steps
