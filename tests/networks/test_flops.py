"""Operations counted from shapes are those that torch counts on networks without weights."""

import json
import subprocess
import sys

import pytest
import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bood_tasks import EMBEDDED
from bood_tasks.networks.build import network
from bood_tasks.networks.flops import (
    HUB,
    SD14_UNET,
    SD14_VAE,
    T5_TOKENS,
    TOKENS,
    classifier_flops,
    evaluations,
    gru_flops,
    image_flops,
    mmdit_flops,
    unet_flops,
    vae_decoder_flops,
)

STEMS = ("cifar", "strided")
LAYOUT = {"attention_head_dim": 8, "norm_num_groups": 4}
BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}


def counted(run) -> float:
    """The operations of what `run` calls, by torch's own counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return float(counter.get_total_flops())


def shipped(part: str) -> dict:
    return json.loads((EMBEDDED / "generator" / part / "config.json").read_text())


@pytest.mark.parametrize(
    ("size", "description"),
    [
        *((32, {"depth": d, "width": 8, "stem": s}) for d in (18, 50) for s in STEMS[:2]),
        (224, {"depth": 34, "width": 64, "stem": "imagenet"}),
        (57, {"depth": 50, "width": 8, "stem": "imagenet"}),
        (32, {"network": "wideresnet", "depth": 40, "width": 2, "dropout": 0.3}),
        (224, {"network": "vit_b16", "dropout": 0.1}),
        (224, {"network": "resnet101"}),
    ],
)  # fmt: skip
def test_a_classifiers_operations_are_those_that_torch_counts(size, description):
    with torch.device("meta"):
        model = network({"network": "resnet", **description, "classes": 10}).eval()
        expected = counted(lambda: model(torch.empty(1, 3, size, size)))
    assert classifier_flops(description, outputs=10, size=size) == pytest.approx(expected, rel=5e-3)


def test_a_gru_costs_three_gates_a_word():
    shape = {"embedding": 5, "hidden": 7, "layers": 2}
    gates = [nn.Linear(5, 21), nn.Linear(7, 21), nn.Linear(7, 21), nn.Linear(7, 21)]
    each = sum(2 * gate.weight.numel() for gate in gates)
    assert gru_flops(**shape, outputs=3, words=4) == 4 * each + 2 * 7 * 3


@pytest.mark.parametrize(
    ("config", "side"), [(SD14_UNET | LAYOUT, 64), (SD14_UNET | LAYOUT, 32), (shipped("unet"), 8)]
)
def test_a_unets_operations_are_those_that_torch_counts(config, side):
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config).eval()
        x = torch.empty(1, 4, side, side)
        text = torch.empty(1, TOKENS, config["cross_attention_dim"])
        expected = counted(lambda: unet(x, torch.empty(1), text))
    assert unet_flops(config, side=side) == pytest.approx(expected, rel=1e-6)


def test_an_sdxl_unets_operations_are_those_that_torch_counts():
    config = HUB["stabilityai/sdxl-turbo"] | {
        "attention_head_dim": (5, 10, 20), "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
        "use_linear_projection": True,
    }  # fmt: skip
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config).eval()
        added = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
        given = torch.empty(1, 4, 64, 64), torch.empty(1), torch.empty(1, TOKENS, 2048)
        expected = counted(lambda: unet(*given, added_cond_kwargs=added))
    assert unet_flops(config, side=64) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dual", [(), (0, 1)])
def test_a_flow_transformers_operations_are_those_that_torch_counts(dual):
    config = {
        "sample_size": 16, "patch_size": 2, "in_channels": 16, "num_layers": 3,
        "attention_head_dim": 16, "num_attention_heads": 4, "joint_attention_dim": 96,
        "caption_projection_dim": 64, "pooled_projection_dim": 48, "dual_attention_layers": dual,
    }  # fmt: skip
    with torch.device("meta"):
        model = SD3Transformer2DModel.from_config(config).eval()
        given = (torch.empty(1, 16, 16, 16), torch.empty(1, TOKENS + T5_TOKENS, 96),
                 torch.empty(1, 48), torch.empty(1))  # fmt: skip
        expected = counted(lambda: model(*given))
    assert mmdit_flops(config, side=16) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("config", "side"), [(SD14_VAE | BLOCKS, 64), (SD14_VAE | BLOCKS, 32), (shipped("vae"), 8)]
)
def test_a_decoders_operations_are_those_that_torch_counts(config, side):
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(config).eval()
        expected = counted(
            lambda: vae.decode(torch.empty(1, config["latent_channels"], side, side))
        )
    assert vae_decoder_flops(config, side=side) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("runs", "guidance", "expected"),
    [(0, 1, 2.51e12), (1, 1, 2.51e12 + 0.803e12), (51, 7.5, 84.4e12)],
)
def test_stable_diffusion_costs_what_is_known_of_it(runs, guidance, expected):
    found = image_flops(SD14_UNET, SD14_VAE, resolution=512, evaluations=runs, guidance=guidance)
    assert found == pytest.approx(expected, rel=2e-3)


def test_pndm_makes_one_evaluation_more():
    assert [evaluations(name, 50) for name in ("pndm", "ddim")] == [51, 50]


def test_resnet18_at_224_pixels_is_as_published():
    description = {"depth": 18, "width": 64, "stem": "imagenet"}
    found = classifier_flops(description, outputs=1000, size=224)
    assert found == pytest.approx(2 * 1.81e9, rel=0.01)  # 1.81 G multiply-adds


def test_counting_needs_no_torch():
    code = "import sys, bood_tasks.networks.flops; sys.exit('torch' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", code]).returncode
