"""Folders of diffusers', read from their JSON alone: a family and its facts, or a clear no."""

import json
import subprocess
import sys

import pytest

from bood_tasks import EMBEDDED
from bood_tasks.networks.pipelines import (
    ADAPTED,
    COMPONENTS,
    PIPELINES,
    SCHEDULERS,
    SD,
    SD3,
    SDXL,
    describe,
    require_sampler,
)

CLIP = {"model_type": "clip_text_model", "architectures": ["CLIPTextModel"], "hidden_size": 768,
        "num_hidden_layers": 12, "projection_dim": 768}  # fmt: skip
SECOND = CLIP | {"architectures": ["CLIPTextModelWithProjection"], "hidden_size": 1280,
                 "num_hidden_layers": 32, "projection_dim": 1280}  # fmt: skip
VAE = {"_class_name": "AutoencoderKL", "latent_channels": 4, "scaling_factor": 0.18215,
       "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}  # fmt: skip
UNET = {"_class_name": "UNet2DConditionModel", "in_channels": 4, "out_channels": 4,
        "sample_size": 64, "cross_attention_dim": 768, "layers_per_block": 2}  # fmt: skip
UNET_XL = UNET | {"cross_attention_dim": 2048, "addition_embed_type": "text_time",
                  "addition_time_embed_dim": 256,
                  "projection_class_embeddings_input_dim": 2816}  # fmt: skip
MMDIT = {"_class_name": "SD3Transformer2DModel", "in_channels": 16, "out_channels": 16,
         "sample_size": 128, "joint_attention_dim": 4096,
         "pooled_projection_dim": 2048}  # fmt: skip
PNDM = {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
        "num_train_timesteps": 1000}  # fmt: skip
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
ONE = {"text_encoder": CLIP, "unet": UNET, "vae": VAE, "scheduler": PNDM}
TWO = {"text_encoder": CLIP, "text_encoder_2": SECOND, "unet": UNET_XL, "vae": VAE,
       "scheduler": PNDM | {"_class_name": "EulerDiscreteScheduler"}}  # fmt: skip
THREE = {"text_encoder": SECOND | {"hidden_size": 768, "projection_dim": 768},
         "text_encoder_2": SECOND, "transformer": MMDIT, "vae": VAE | {"latent_channels": 16},
         "scheduler": FLOW}  # fmt: skip
V2 = ONE | {"text_encoder": CLIP | {"hidden_size": 1024},
            "unet": UNET | {"cross_attention_dim": 1024},
            "scheduler": PNDM | {"prediction_type": "v_prediction"}}  # fmt: skip
LCM = ONE | {
    "unet": UNET | {"time_cond_proj_dim": 256},
    "scheduler": PNDM | {"_class_name": "LCMScheduler", "original_inference_steps": 50},
}


def write(folder, name, parts):
    """A folder with these configurations and no weights; `name`: its pipeline's class."""
    family = PIPELINES.get(name, SD)
    for part, file in COMPONENTS[family].items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / file).write_text(json.dumps(parts.get(part, {})))
    if name:
        (folder / "model_index.json").write_text(json.dumps({"_class_name": name}))
    return folder


def changed(parts, part, **entries):
    return parts | {part: parts[part] | entries}


@pytest.mark.parametrize(
    ("name", "parts", "family", "prediction", "anchor", "fits"),
    [
        ("StableDiffusionPipeline", ONE, SD, "epsilon", 768, {*SCHEDULERS} - {"lcm", "flow_euler"}),
        (None, ONE, SD, "epsilon", 768, {*SCHEDULERS} - {"lcm", "flow_euler"}),
        ("StableDiffusionPipeline", V2, SD, "v_prediction", 1024,
         {*SCHEDULERS} - {"lcm", "flow_euler"}),
        ("LatentConsistencyModelPipeline", LCM, SD, "epsilon", 768, {"lcm"}),
        ("StableDiffusionXLPipeline", TWO, SDXL, "epsilon", 2048,
         {*SCHEDULERS} - {"lcm", "flow_euler"}),
        ("StableDiffusion3Pipeline", THREE, SD3, "flow", 2048, {"flow_euler"}),
    ],
)  # fmt: skip
def test_a_folder_is_its_family_with_the_samplers_that_fit(
    tmp_path, name, parts, family, prediction, anchor, fits
):
    found = describe(write(tmp_path, name, parts))
    assert (found.family, found.prediction, found.anchor) == (family, prediction, anchor)
    for scheduler in SCHEDULERS:
        if scheduler in fits:
            require_sampler(found, scheduler, 4, "x")
        else:
            with pytest.raises(ValueError, match=r"images\.scheduler must be"):
                require_sampler(found, scheduler, 4, "x")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("FluxPipeline", "T5 encoder.*gives one pooled vector"),
        ("PixArtSigmaPipeline", "T5 encoder"),
        ("KandinskyV22Pipeline", "picture embeddings of a prior"),
        ("StableDiffusionInpaintPipeline", "from a picture or a mask"),
        ("StableDiffusionXLImg2ImgPipeline", "from a picture or a mask"),
        ("QwenImagePipeline", "Qwen, a language model"),
        ("NobodysPipeline", "its parts are others"),
        (7, "its parts are others"),
    ],
)
def test_another_pipeline_is_refused_with_its_class_and_what_is_read(tmp_path, name, why):
    write(tmp_path, None, ONE)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": name}))
    with pytest.raises(ValueError, match=rf"a {name}: .*{why}.*; Stable Diffusion 1 and 2.*needs"):
        describe(tmp_path)


@pytest.mark.parametrize(
    ("name", "parts", "message"),
    [
        ("StableDiffusionPipeline", changed(ONE, "unet", in_channels=9), "in_channels must equal"),
        ("StableDiffusionPipeline", changed(ONE, "unet", cross_attention_dim=1024), "768 and 1024"),
        ("StableDiffusionPipeline", changed(ONE, "unet", _class_name="UNetX"), "got UNetX"),
        ("StableDiffusionPipeline", changed(ONE, "unet", class_embed_type="timestep"),
         "class_embed_type must be None"),
        ("StableDiffusionPipeline", changed(ONE, "vae", _class_name="AutoencoderTiny"),
         "got AutoencoderTiny"),
        ("StableDiffusionPipeline", changed(ONE, "vae", scaling_factor=0), "must be above 0"),
        ("StableDiffusionPipeline", changed(ONE, "vae", scaling_factor=float("nan")),
         "vae/config.json must be JSON, and is not .NaN"),
        ("StableDiffusionPipeline", changed(ONE, "scheduler", beta_end=float("nan")), "NaN"),
        ("StableDiffusionPipeline", changed(ONE, "scheduler", beta_end=1.5), r"in \(0, 1\)"),
        ("StableDiffusionPipeline", changed(ONE, "scheduler", num_train_timesteps=-1),
         "number of steps"),
        ("StableDiffusionPipeline", changed(ONE, "scheduler", prediction_type="x"), "got 'x'"),
        ("StableDiffusionPipeline", ONE | {"scheduler": FLOW}, "no scheduler of a Stable"),
        ("StableDiffusionPipeline", changed(ONE, "text_encoder", num_hidden_layers=10**6),
         "num_hidden_layers must be a number of a network's"),
        ("StableDiffusionPipeline", changed(ONE, "unet", block_out_channels=[10**9]),
         "block_out_channels must be"),
        ("StableDiffusionPipeline", changed(ONE, "text_encoder", hidden_size="wide"),
         "hidden_size must be a number"),
        ("StableDiffusionPipeline", changed(ONE, "text_encoder", architectures=["T5EncoderModel"]),
         "got T5EncoderModel"),
        ("StableDiffusionXLPipeline", changed(TWO, "unet", addition_embed_type=None), "text_time"),
        ("StableDiffusionXLPipeline",
         changed(TWO, "unet", projection_class_embeddings_input_dim=1), "2816 and 1"),
        ("StableDiffusion3Pipeline", changed(THREE, "transformer", pooled_projection_dim=1),
         "2048 and 1"),
        ("StableDiffusion3Pipeline", THREE | {"scheduler": PNDM}, "no scheduler of a Stable"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused_by_file_and_entry(tmp_path, name, parts, message):
    folder = write(tmp_path, name, parts)
    with pytest.raises(ValueError, match=message):
        describe(folder)


def test_what_is_no_object_is_refused_by_file(tmp_path):
    folder = write(tmp_path, "StableDiffusionPipeline", ONE)
    for text in ("[]", "{", "[" * 100_000):
        (folder / "unet/config.json").write_text(text)
        with pytest.raises(ValueError, match=r"unet/config.json must"):
            describe(folder)
    (folder / "unet/config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks unet/config\.json"):
        describe(folder)


def test_lcm_s_sampler_needs_a_network_made_for_it(tmp_path):
    folder = write(tmp_path, "StableDiffusionPipeline", ONE)
    with pytest.raises(ValueError, match=r"give an LCM-LoRA by generator\.lora"):
        require_sampler(describe(folder), "lcm", 4, "x")
    require_sampler(describe(folder), "lcm", 4, "x", adapted=True)
    (folder / ADAPTED).write_text("{}")
    require_sampler(describe(folder), "lcm", 4, "x")
    with pytest.raises(ValueError, match=r"images.steps must be at most 50"):
        require_sampler(describe(folder), "lcm", 51, "x")


def test_pndm_cannot_rescale_its_schedule(tmp_path):
    folder = write(tmp_path, None, changed(V2, "scheduler", rescale_betas_zero_snr=True))
    with pytest.raises(ValueError, match=r"schedule with rescale_betas_zero_snr; got pndm"):
        require_sampler(describe(folder), "pndm", 4, "x")
    require_sampler(describe(folder), "ddim", 4, "x")


def test_what_ships_is_read_without_torch():
    code = (
        "import sys; from pathlib import Path; from bood_tasks.networks.pipelines import describe;"
        f"describe(Path({str(EMBEDDED / 'generator')!r})); sys.exit('torch' in sys.modules)"
    )
    assert not subprocess.run([sys.executable, "-c", code]).returncode
