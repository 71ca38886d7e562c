"""The shape of the small text-to-image pipeline that is trained here. Imports no torch.

Channels stand from the finest level to the coarsest; each further one halves the side.
"""

from collections.abc import Sequence

SIDE = 32  # pixels
TEXT_WIDTH = 128
VAE_CHANNELS, UNET_CHANNELS = (16, 32, 64), (64, 96)  # of the one that ships
VAE_GROUPS, UNET_GROUPS = 8, 16  # of the group norms: channels are multiples of them
MOST_HALVINGS = 5  # of the side, by both networks, until one is left
LATENT_CHANNELS = 4


def vae_shape(channels: Sequence[int] = VAE_CHANNELS) -> dict:
    """Return the settings of diffusers' AutoencoderKL."""
    return {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "block_out_channels": tuple(channels),
        "layers_per_block": 1,
        "latent_channels": LATENT_CHANNELS,
        "norm_num_groups": VAE_GROUPS,
        "sample_size": SIDE,
    }


def unet_shape(
    channels: Sequence[int] = UNET_CHANNELS, vae_channels: Sequence[int] = VAE_CHANNELS
) -> dict:
    """Return the settings of diffusers' UNet2DConditionModel on that VAE's latents.

    No attention at the finest level: at 8 x 8 it doubled the time and did not pay.
    """
    coarser = len(channels) - 1
    return {
        "sample_size": SIDE // 2 ** (len(vae_channels) - 1),
        "in_channels": LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS,
        "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * coarser),
        "up_block_types": (*("CrossAttnUpBlock2D",) * coarser, "UpBlock2D"),
        "block_out_channels": tuple(channels),
        "layers_per_block": 1,
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": 4,  # diffusers reads this as the number of heads
        "norm_num_groups": UNET_GROUPS,
    }
