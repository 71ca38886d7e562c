"""How the denoiser's attention runs (run.attention) and how many latents the decoder takes at once.

Every way gives the same pictures but for rounding. Which one is the fastest depends on the device:
benchmarks/generation.py --variants times them all.
"""

from collections.abc import Mapping
from contextlib import nullcontext

import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bood_tasks.jobs.environment import run_setting
from bood_tasks.training.loading import free_bytes

ANYTHING_ELSE = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
FIRST = {  # run.attention: the kernel that is asked first; those of ANYTHING_ELSE follow
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
PADDED_TO = 64  # a head's width: the next multiple of it, by `padded`
VAE_SHARE = 0.25  # of the free memory, for the activations of latents decoded at once
LARGEST_TENSOR = 2**31 - 1  # numbers: beyond, convolutions count in 64 bits, slowly or not at all
TENSORS = 4  # of the largest layer, alive at once in the decoder's last block


class Attend:
    """Attention of a UNet's transformer blocks, softmax(q k^T / sqrt(d)) v, by one kernel.

    `padded` fills heads of d < 64 up with zeros: they add 0 to each product, the scale stays that
    of d, and what the zeros of v give is cut off. So the result is that of d but for rounding.
    What this does not know (masks, norms of its own, pictures) goes to diffusers' own processor.
    """

    def __init__(self, kind: str):
        self.padded, self.first = kind == "padded", FIRST.get(kind)
        self.stock = AttnProcessor2_0()

    def _kernel(self):
        if self.first is None:
            return nullcontext()
        rest = [backend for backend in ANYTHING_ELSE if backend is not self.first]
        return sdpa_kernel([self.first, *rest], set_priority=True)

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        unknown = (attn.spatial_norm, attn.group_norm, attn.norm_cross, attention_mask)
        if hidden_states.ndim != 3 or any(item is not None for item in unknown):
            return self.stock(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        q, k, v = _projected(attn, hidden_states, encoder_hidden_states)
        q, k, v = (item.unflatten(2, (attn.heads, -1)).transpose(1, 2) for item in (q, k, v))
        q = q if attn.norm_q is None else attn.norm_q(q)
        k = k if attn.norm_k is None else attn.norm_k(k)
        width, scale = q.shape[-1], q.shape[-1] ** -0.5
        if self.padded:
            q, k, v = (F.pad(item, (0, -width % PADDED_TO)) for item in (q, k, v))
        with self._kernel():
            found = F.scaled_dot_product_attention(q, k, v, scale=scale)[..., :width]
        found = attn.to_out[1](attn.to_out[0](found.transpose(1, 2).flatten(2)))
        if attn.residual_connection:
            found = found + hidden_states
        return found / attn.rescale_output_factor


def _projected(
    attn: Attention, x: Float[Tensor, "b n c"], context: Float[Tensor, "b m e"] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values, by one product each or by fused ones."""
    if not attn.fused_projections:
        source = x if context is None else context
        return attn.to_q(x), attn.to_k(source), attn.to_v(source)
    if context is None:
        return tuple(attn.to_qkv(x).chunk(3, dim=-1))
    return (attn.to_q(x), *attn.to_kv(context).chunk(2, dim=-1))


def attend_by(unet: nn.Module, kind: str, *, fused: bool) -> None:
    """Let a UNet of diffusers attend as run.attention and run.fused_projections say, in place.

    `sliced` is the pipeline's own matter, and not to be fused.
    """
    if kind == "sliced":
        return
    if fused:
        unet.fuse_qkv_projections()
    if fused or kind != "sdpa":
        unet.set_attn_processor(Attend(kind))


def vae_rows(config: Mapping, *, side: int, itemsize: int, free: int) -> int:
    """Return how many latents of `side` a decoder takes at once within its share of free memory.

    Its largest layer reads twice its first width at the pictures' full size, where the last block
    halves its channels. At least 1.
    """
    widths = config["block_out_channels"]
    width = widths[0] if len(widths) == 1 else widths[1]
    numbers = width * (side * 2 ** (len(widths) - 1)) ** 2
    fits = int(VAE_SHARE * free) // (TENSORS * numbers * itemsize)
    return max(1, min(fits, LARGEST_TENSOR // numbers))


class VaeRows:
    """How many latents a decoder takes at once on its device, None: all.

    Asked once a size: a compiled decoder knows one shape.
    """

    def __init__(self, vae: nn.Module):
        self.vae = vae
        self.known: dict[int, int] = {}

    def __call__(self, side: int) -> int | None:
        if self.vae.device.type == "cpu":
            return None
        if side not in self.known:
            free, size = free_bytes(self.vae.device), self.vae.dtype.itemsize
            self.known[side] = vae_rows(self.vae.config, side=side, itemsize=size, free=free)
        return self.known[side]


def calls_a_step() -> int:
    """Return in how many calls guidance asks the denoiser: run.split_guidance."""
    return 2 if run_setting("split_guidance") else 1
