"""Attention's kernels give what diffusers' own processor gives; the decoder's rows fit."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from bood_tasks.generators.text_to_image import attention as module
from bood_tasks.generators.text_to_image.attention import (
    LARGEST_TENSOR,
    VAE_SHARE,
    Attend,
    attend_by,
    vae_rows,
)
from bood_tasks.generators.text_to_image.diffusion import decode, encode_prompt
from bood_tasks.generators.text_to_image.stable_diffusion import load
from bood_tasks.networks.flops import SD14_VAE
from tests.generators.test_diffusion import PROMPT, _noise, _vectors, folder, pipe

__all__ = ["folder", "pipe"]  # fixtures
KINDS = ("sdpa", "padded", "flash", "cudnn", "efficient")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(**more):
    """Attention with heads of 40 numbers, as Stable Diffusion v1.4's widest rooms have."""
    torch.manual_seed(0)
    own = Attention(
        query_dim=80, heads=2, dim_head=40, processor=AttnProcessor2_0(), bias=True, **more
    ).eval()
    return own.requires_grad_(False)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kernel_gives_what_diffusers_gives(kind, crossed, fused):
    own = layer(cross_attention_dim=24 if crossed else None)
    x, context = random(2, 9, 80), random(2, 5, 24, seed=1) if crossed else None
    want = own(x, encoder_hidden_states=context)
    if fused:
        own.fuse_projections(fuse=True)
    own.set_processor(Attend(kind))
    torch.testing.assert_close(own(x, encoder_hidden_states=context), want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("width", [8, 40, 64, 80])
def test_padded_heads_are_filled_up_and_keep_their_scale(width, monkeypatch):
    own = Attention(query_dim=width, heads=1, dim_head=width, processor=Attend("padded"))
    seen = []

    def watched(q, k, v, *, scale):
        seen.append((q.shape[-1], k.shape[-1], v.shape[-1], scale))
        return F.softmax(scale * q @ k.transpose(2, 3), -1) @ v

    monkeypatch.setattr(module.F, "scaled_dot_product_attention", watched)
    own(random(1, 3, width))
    filled = 64 * math.ceil(width / 64)
    assert seen == [(filled, filled, filled, width**-0.5)]


def test_a_kernel_is_asked_for_by_name(monkeypatch):
    asked = []
    real = module.sdpa_kernel
    monkeypatch.setattr(
        module, "sdpa_kernel", lambda kernels, **more: (asked.append(kernels), real(kernels))[1]
    )
    own = layer()
    for kind in KINDS:
        own.set_processor(Attend(kind))
        own(random(1, 3, 80))
    assert [kernels[0].name for kernels in asked] == [
        "FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION",
    ]  # fmt: skip
    assert all(kernels[-1].name == "MATH" for kernels in asked)  # where no other can


def test_what_is_unknown_goes_to_diffusers_own(monkeypatch):
    own = layer()
    mask = torch.ones(2, 1, 9, dtype=torch.bool).tril()
    want = own(random(2, 9, 80), attention_mask=mask.float())
    own.set_processor(Attend("padded"))
    assert torch.equal(own(random(2, 9, 80), attention_mask=mask.float()), want)


def test_sdpa_and_sliced_leave_the_network_as_it_is(pipe):
    before = dict(pipe.unet.attn_processors)
    attend_by(pipe.unet, "sdpa", fused=False)
    attend_by(pipe.unet, "sliced", fused=True)
    assert pipe.unet.attn_processors == before


@pytest.mark.parametrize(
    "chosen",
    [{"attention": "padded"}, {"attention": "cudnn", "fused_projections": True},
     {"split_guidance": True}],
    ids=str,
)  # fmt: skip
def test_the_settings_change_no_picture_beyond_rounding(folder, pipe, chosen, monkeypatch):
    settings = {
        "steps": 3, "guidance": 4.0, "latent_scale": 1.0, "stop_after": None, "saved_size": None,
        "kernel": "bilinear",
    }  # fmt: skip
    noise, vectors = _noise(pipe, 3), _vectors(3)
    uncond = encode_prompt(pipe, "", None)
    want = decode(pipe, encode_prompt(pipe, PROMPT, vectors), uncond, noise, **settings)
    monkeypatch.setenv("BOOD_RUN", json.dumps(chosen))
    generator = load(folder, device="cpu")
    if "attention" in chosen:
        kinds = {type(item) for item in generator.pipe.unet.attn_processors.values()}
        assert kinds == {Attend}
    made = generator.decode(generator.encode(PROMPT, vectors), noise, **settings)
    assert (made.int() - want.int()).abs().max() <= 1


def test_split_guidance_asks_the_network_twice_a_step_with_half_the_rows(pipe, monkeypatch):
    rows, real = [], UNet2DConditionModel.forward

    def watched(net, x, *args, **named):
        rows.append(len(x))
        return real(net, x, *args, **named)

    monkeypatch.setattr(UNet2DConditionModel, "forward", watched)
    given = encode_prompt(pipe, PROMPT, _vectors(3)), encode_prompt(pipe, "", None)
    decode(pipe, *given, _noise(pipe, 3), steps=1, guidance=4.0, calls=2)
    assert set(rows) == {3}
    assert len(rows) % 2 == 0


def test_the_decoder_takes_what_fits_and_no_tensor_too_large_to_index():
    numbers = 256 * 512**2
    sizes = {"side": 64, "itemsize": 2}
    assert vae_rows(SD14_VAE, **sizes, free=0) == 1
    assert vae_rows(SD14_VAE, **sizes, free=139 * 2**30) == LARGEST_TENSOR // numbers == 31
    free = 40 * 2**30
    rows = vae_rows(SD14_VAE, **sizes, free=free)
    assert rows * 4 * numbers * 2 <= VAE_SHARE * free < (rows + 1) * 4 * numbers * 2
    assert vae_rows(SD14_VAE, side=64, itemsize=4, free=free) == rows // 2
