"""Tiny random pipelines of each family's component types, saved as diffusers saves them."""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from bood_tasks.generators.text_to_image.tiny_sd import TOKENS, build_tokenizer

WORDS = ["coat", "sandal", "boot"]
FIRST, SECOND = 16, 24  # widths of the text encoders
NOISES = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACED = {"steps_offset": 1, "timestep_spacing": "leading"}
TRAILING = {"timestep_spacing": "trailing", "steps_offset": 1}
NO_CHECKER = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
PEERS = {  # family: the diffusers pipeline that is asked for the same picture
    "sd2": StableDiffusionPipeline,
    "sd-turbo": StableDiffusionPipeline,
    "lcm": LatentConsistencyModelPipeline,
    "sdxl": StableDiffusionXLPipeline,
    "sdxl-turbo": StableDiffusionXLPipeline,
    "sd3": StableDiffusion3Pipeline,
}
OWN_SAMPLER = {  # as each is meant to be run: scheduler, steps, guidance
    "sd2": ("ddim", 4, 5.0),
    "sd-turbo": ("euler", 2, 1.0),
    "lcm": ("lcm", 4, 8.0),
    "sdxl": ("euler", 3, 5.0),
    "sdxl-turbo": ("euler_ancestral", 3, 1.0),
    "sd3": ("flow_euler", 3, 5.0),
}


def tokenizer(place: Path, pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """A tokenizer of WORDS; OpenCLIP's pads with "!"."""
    build_tokenizer(WORDS, place)
    config = place / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"pad_token": pad}))
    return CLIPTokenizer.from_pretrained(place)


def text_encoder(words: CLIPTokenizer, width: int, kind: type = CLIPTextModel):
    model = kind(
        CLIPTextConfig(
            vocab_size=len(words), hidden_size=width, projection_dim=width,
            intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=2,
            max_position_embeddings=TOKENS, hidden_act="gelu", bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
        )
    )  # fmt: skip
    with torch.no_grad():  # so that what a prompt says shows
        model.get_input_embeddings().weight.normal_(0, 0.3)
    return model


def unet(context: int, **more: object) -> UNet2DConditionModel:
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4,
    }  # fmt: skip
    made = UNet2DConditionModel(
        sample_size=8, cross_attention_dim=context, attention_head_dim=2, **blocks, **more
    )
    with torch.no_grad():
        made.conv_out.weight.mul_(3)
    return made


def vae(**more: object) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=16, **more,
    )  # fmt: skip


def _one_encoder(family: str, place: Path):
    pad = "<|endoftext|>" if family == "lcm" else "!"
    words = tokenizer(place / "words", pad)
    scheduler = {
        "sd2": DDIMScheduler(**NOISES, **SPACED, prediction_type="v_prediction", clip_sample=False,
                             set_alpha_to_one=False),
        "sd-turbo": EulerDiscreteScheduler(**NOISES, **TRAILING),
        "lcm": LCMScheduler(**NOISES, original_inference_steps=50),
    }[family]  # fmt: skip
    more = {"time_cond_proj_dim": 8} if family == "lcm" else {"use_linear_projection": True}
    parts = {
        "text_encoder": text_encoder(words, FIRST), "tokenizer": words, "scheduler": scheduler,
        "unet": unet(FIRST, **more), "vae": vae(),
    }  # fmt: skip
    if family == "lcm":
        with torch.no_grad():  # starts at zero in diffusers
            parts["unet"].time_embedding.cond_proj.weight.normal_(0, 0.3)
    return PEERS[family](**parts, **NO_CHECKER)


def _two_encoders(place: Path, first: type = CLIPTextModel) -> dict:
    words = (tokenizer(place / "words"), tokenizer(place / "words_2", "!"))
    return {
        "tokenizer": words[0],
        "tokenizer_2": words[1],
        "text_encoder": text_encoder(words[0], FIRST, first),
        "text_encoder_2": text_encoder(words[1], SECOND, CLIPTextModelWithProjection),
    }


def _sdxl(family: str, place: Path) -> StableDiffusionXLPipeline:
    scheduler = EulerDiscreteScheduler(**NOISES, **SPACED)
    if family == "sdxl-turbo":
        scheduler = EulerAncestralDiscreteScheduler(**NOISES, **TRAILING)
    return StableDiffusionXLPipeline(
        **_two_encoders(place),
        unet=unet(
            FIRST + SECOND, addition_embed_type="text_time", addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=6 * 4 + SECOND, use_linear_projection=True,
            transformer_layers_per_block=(1, 2),
        ),
        vae=vae(force_upcast=True),
        scheduler=scheduler,
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )  # fmt: skip


def _sd3(_family: str, place: Path) -> StableDiffusion3Pipeline:
    return StableDiffusion3Pipeline(
        **_two_encoders(place, CLIPTextModelWithProjection),
        text_encoder_3=None,
        tokenizer_3=None,
        transformer=SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=2,
            attention_head_dim=8, num_attention_heads=2, joint_attention_dim=48,
            caption_projection_dim=16, pooled_projection_dim=FIRST + SECOND, pos_embed_max_size=16,
        ),
        vae=vae(shift_factor=0.06, scaling_factor=1.5, use_quant_conv=False,
                use_post_quant_conv=False),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


BUILDERS = {"sdxl": _sdxl, "sdxl-turbo": _sdxl, "sd3": _sd3}


def save(family: str, place: Path) -> Path:
    """Write a family's pipeline below a place; return its folder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipe = BUILDERS.get(family, _one_encoder)(family, place)
    pipe.save_pretrained(place / family)
    return place / family
