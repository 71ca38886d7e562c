"""Decoding: injected embeddings, the sampling loop and the folder loader, on random weights."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bood_tasks.generators.text_to_image.diffusion import (
    decode,
    encode_prompt,
    latent_shape,
    load_pipeline,
    placeholder_position,
    prompt_ids,
)
from bood_tasks.generators.text_to_image.tiny_sd import TEXT_WIDTH, build_pipeline, save_pipeline

# diffusers 0.42's DPM-Solver and UniPC schedulers under numpy 2, called by the peer
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PROMPT = "A high-quality image of the {class}"
WORDS = ["coat", "sandal", "boot"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained pipeline in Stable Diffusion v1's layout."""
    place = tmp_path_factory.mktemp("pipeline")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_pipeline(build_pipeline(WORDS, [], place / "words"), place / "sd")
    return place / "sd"


@pytest.fixture
def pipe(folder):
    return load_pipeline(folder)


@pytest.fixture
def broken(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "sd")


def _noise(pipe, count):
    random = torch.Generator().manual_seed(1)
    return torch.randn(count, *latent_shape(pipe), generator=random)


def _vectors(count):
    return 0.05 * torch.randn(count, TEXT_WIDTH, generator=torch.Generator().manual_seed(2))


# --- conditioning ---


def test_injected_vectors_equal_an_edited_embedding_table_bit_for_bit(pipe):
    vectors = _vectors(3)
    got = encode_prompt(pipe, PROMPT, vectors)
    ids = prompt_ids(pipe.tokenizer, PROMPT.replace("{class}", "coat"))
    position = ids[0].tolist().index(pipe.tokenizer.get_vocab()["coat</w>"])
    table = pipe.text_encoder.get_input_embeddings().weight
    for row, vector in enumerate(vectors):
        table.data[ids[0, position]] = vector
        want = pipe.text_encoder(input_ids=ids.expand(3, -1))[0]
        assert torch.equal(got[row], want[row])


def test_a_words_own_embedding_gives_the_words_encoding(pipe):
    ids = prompt_ids(pipe.tokenizer, PROMPT.replace("{class}", "boot"))
    token = pipe.tokenizer.get_vocab()["boot</w>"]
    own = pipe.text_encoder.get_input_embeddings().weight[token]
    want = pipe.text_encoder(input_ids=ids)[0]
    assert torch.equal(encode_prompt(pipe, PROMPT, own[None]), want)


def test_encoding_leaves_no_hook_and_no_trace_even_when_it_fails(pipe):
    embedding = pipe.text_encoder.get_input_embeddings()
    before = embedding.weight.clone()
    encode_prompt(pipe, PROMPT, _vectors(2))
    pipe.text_encoder.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode_prompt(pipe, PROMPT, _vectors(2))
    assert not embedding._forward_hooks
    assert torch.equal(embedding.weight, before)


@pytest.mark.parametrize(
    "prompt", ["an image", "{class} and {class}"], ids=["no placeholder", "two placeholders"]
)
def test_a_prompt_without_exactly_one_placeholder_is_refused(pipe, prompt):
    with pytest.raises(ValueError, match=r"exactly once, got .* times"):
        encode_prompt(pipe, prompt, _vectors(1))


def test_a_placeholder_inside_a_word_is_refused(pipe):
    with pytest.raises(ValueError, match="a word of its own"):
        placeholder_position(pipe.tokenizer, "image of the{class}es")


def test_a_prompt_that_does_not_fit_is_refused(pipe):
    with pytest.raises(ValueError, match="must fit in 16 tokens"):
        encode_prompt(pipe, "image " * 20 + "{class}", _vectors(1))


def test_vectors_of_another_width_are_refused(pipe):
    with pytest.raises(ValueError, match=rf"\[b, {TEXT_WIDTH}\]"):
        encode_prompt(pipe, PROMPT, torch.zeros(1, TEXT_WIDTH + 1))


# --- sampling ---


@pytest.mark.parametrize("scheduler", [None, "pndm", "ddim", "dpmsolver++", "unipc", "euler"])
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_decode_equals_the_plain_pipeline_call(folder, scheduler, guidance):
    pipe = load_pipeline(folder, scheduler=scheduler)
    cond, uncond = encode_prompt(pipe, PROMPT, _vectors(3)), encode_prompt(pipe, "", None)
    noise = _noise(pipe, 3)
    got = decode(pipe, cond, uncond, noise, steps=5, guidance=guidance)
    want = pipe(
        prompt_embeds=cond,
        negative_prompt_embeds=uncond.expand_as(cond),
        latents=noise,
        num_inference_steps=5,
        guidance_scale=guidance,
        output_type="np",
    ).images
    assert got.dtype == torch.uint8
    assert got.shape == (3, 32, 32, 3)
    np.testing.assert_array_equal(got.numpy(), np.round(want * 255).astype(np.uint8))


def test_an_image_does_not_depend_on_its_batch(pipe):
    cond, uncond = encode_prompt(pipe, PROMPT, _vectors(5)), encode_prompt(pipe, "", None)
    noise = _noise(pipe, 5)
    together = decode(pipe, cond, uncond, noise, steps=5, guidance=7.5)
    alone = [
        decode(pipe, cond[i : i + 1], uncond, noise[i : i + 1], steps=5, guidance=7.5)
        for i in reversed(range(5))
    ]
    difference = (torch.cat(alone[::-1]).int() - together.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() <= 1e-3
    assert (together[0].int() - together[1].int()).abs().max() > 1  # noise matters at all


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("images.steps", {"steps": 0, "guidance": 1.0}),
        ("images.guidance", {"steps": 2, "guidance": 0.0}),
    ],
)
def test_decode_refuses_settings_out_of_range(pipe, setting, values):
    cond = encode_prompt(pipe, "", None)
    with pytest.raises(ValueError, match=f"{setting} must be"):
        decode(pipe, cond, cond, _noise(pipe, 1), **values)


# --- loading ---


@pytest.mark.parametrize("component", ["tokenizer", "text_encoder", "unet", "vae", "scheduler"])
def test_a_folder_that_lacks_a_component_is_refused_by_name(broken, component):
    shutil.rmtree(broken / component)
    with pytest.raises(FileNotFoundError, match=rf"lacks {component}/"):
        load_pipeline(broken)


@pytest.mark.parametrize("component", ["text_encoder", "unet", "vae"])
def test_truncated_weights_are_refused_by_file(broken, component):
    (path,) = (broken / component).glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-1000])
    named = rf"{component}/{path.name} \(\d+ bytes\) is damaged.*copy this file"
    with pytest.raises(ValueError, match=named):
        load_pipeline(broken)


def test_pickled_weights_are_not_read(broken):
    (path,) = (broken / "vae").glob("*.safetensors")
    path.rename(path.with_suffix(".bin"))
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors weights"):
        load_pipeline(broken)


def test_weights_that_do_not_fit_their_config_are_refused(broken):
    config = broken / "text_encoder" / "config.json"
    config.write_text(
        config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    )
    with pytest.raises(ValueError, match="text_encoder"):
        load_pipeline(broken)


def _rename(path, rename, extra=None):
    tensors = {rename(name): tensor for name, tensor in load_file(path).items()} | (extra or {})
    save_file(tensors, path, metadata={"format": "pt"})


def test_tensor_names_of_the_published_v1_4_folder_load_to_the_same_model(folder, broken):
    """v1.4's files have older names in the text encoder and the autoencoder's attention."""
    prefix = "text_model."
    _rename(
        broken / "text_encoder" / "model.safetensors",
        lambda name: prefix + name.removeprefix(prefix),
        {"text_model.embeddings.position_ids": torch.arange(16)[None]},
    )
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def older(name):
        for new, former in old.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{former}.")
        return name

    _rename(broken / "vae" / "diffusion_pytorch_model.safetensors", older)
    was, now = load_pipeline(folder), load_pipeline(broken)
    for component in ("text_encoder", "vae"):
        want = getattr(was, component).state_dict()
        got = getattr(now, component).state_dict()
        assert want.keys() == got.keys()
        assert all(torch.equal(want[name], got[name]) for name in want)


def test_an_unknown_scheduler_is_refused_with_the_choices(folder):
    with pytest.raises(ValueError, match=r"must be one of pndm, ddim.*got 'heun'"):
        load_pipeline(folder, scheduler="heun")


# --- options ---


def test_half_precision_gives_nearly_the_same_images(folder, pipe):
    half = load_pipeline(folder, dtype="bfloat16")
    assert {half.unet.dtype, half.vae.dtype, half.text_encoder.dtype} == {torch.bfloat16}
    images = [
        decode(
            each, encode_prompt(each, PROMPT, _vectors(2)), encode_prompt(each, "", None),
            _noise(each, 2), steps=4, guidance=2.0,
        )
        for each in (pipe, half)
    ]  # fmt: skip
    difference = (images[0].int() - images[1].int()).abs().float()
    assert 0 < difference.mean() < 4


def test_resolution_and_saved_size_are_pixels(pipe):
    unit = pipe.vae_scale_factor * 2 ** (len(pipe.unet.config.block_out_channels) - 1)
    shape = latent_shape(pipe, 2 * unit)
    noise = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    cond, uncond = encode_prompt(pipe, PROMPT, _vectors(1)), encode_prompt(pipe, "", None)
    given = {"steps": 2, "guidance": 1.0}
    whole = decode(pipe, cond, uncond, noise, **given)
    assert whole.shape == (1, 2 * unit, 2 * unit, 3)
    for kernel in ("bilinear", "bicubic", "area"):
        small = decode(pipe, cond, uncond, noise, saved_size=unit, kernel=kernel, **given)
        assert small.shape == (1, unit, unit, 3)
        assert abs(small.float().mean() - whole.float().mean()) < 1.5
    with pytest.raises(ValueError, match=rf"images.resolution must be a multiple of {unit}"):
        latent_shape(pipe, unit + 1)


def test_area_resize_is_the_mean_of_blocks_before_rounding():
    from bood_tasks.generators.pixels import to_uint8

    picture = torch.tensor([[-1.0, 1.0], [-1.0, -1.0]]).expand(1, 3, 2, 2)
    assert to_uint8(picture, 1, "area").flatten().tolist() == [64, 64, 64]  # 255 / 4 = 63.75
    assert to_uint8(picture, None, "area")[0, 0, :, 0].tolist() == [0, 255]


def test_memory_savers_change_no_image(folder, pipe):
    saving = load_pipeline(folder, attention="sliced", vae_slicing=True)
    cond, uncond = encode_prompt(pipe, PROMPT, _vectors(3)), encode_prompt(pipe, "", None)
    given = {"steps": 3, "guidance": 7.5}
    plain = decode(pipe, cond, uncond, _noise(pipe, 3), **given).int()
    for other in (
        decode(saving, cond, uncond, _noise(pipe, 3), **given),
        decode(pipe, cond, uncond, _noise(pipe, 3), vae_rows=2, **given),
    ):
        different = (plain - other.int()).abs()
        assert different.max() <= 1
        assert (different > 0).float().mean() < 1e-3
