"""Every family of text-to-image pipelines: what it decodes is what its diffusers pipeline makes of
an edited embedding table, whatever stands beside it in a batch."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

from bood_tasks.generators.text_to_image import interface
from bood_tasks.networks.pipelines import DENOISER, describe
from bood_tasks.synthesis import images
from bood_tasks.synthesis.shards import item_streams, noise_of
from tests import fake_artifacts
from tests.generators import tiny_families
from tests.generators.tiny_families import FIRST, OWN_SAMPLER, PEERS, SECOND

PROMPT = "A high-quality image of the {class}"
FAMILIES = list(PEERS)
OTHERS = ("pndm", "dpmsolver++", "unipc", "euler", "euler_ancestral")
SAMPLERS = [  # further ones, and what each honours of the stored scheduler
    *(("sd2", name, 4, 3.0) for name in OTHERS),
    ("sd-turbo", "ddim", 3, 1.0),
    ("sd-turbo", "euler", 1, 1.0),
    ("sdxl", "dpmsolver++", 3, 1.0),
    ("sdxl", "unipc", 3, 5.0),
    ("lcm", "lcm", 1, 2.0),
]  # fmt: skip

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("families")
    return {family: tiny_families.save(family, place / family) for family in FAMILIES}


@pytest.fixture
def broken(folders, tmp_path):
    return lambda family: shutil.copytree(folders[family], tmp_path / family)


def loaded(folder, scheduler=None, **more):
    return interface.load(folder, "cpu", scheduler=scheduler, **more)


def vectors(generator, count):
    width = generator.anchor_table({"a": "coat"})[0].shape[1]
    return 0.3 * torch.randn(count, width, generator=torch.Generator().manual_seed(3))


def decoded(generator, items, *, steps, guidance, prompt=PROMPT, given=None):
    streams = item_streams(0, "images", items)
    if given is None:
        given = vectors(generator, 4)[items]
    return generator.decode(
        generator.encode(prompt, given), noise_of(streams, generator.noise_shape(None)),
        steps=steps, guidance=guidance, latent_scale=1.0, stop_after=None, saved_size=None,
        kernel="bilinear", streams=streams,
    )  # fmt: skip


def differ(a, b):
    return (a.int() - b.int()).abs()


def peers_picture(folder, family, scheduler, vector, item, *, steps, guidance):
    """What diffusers' own pipeline makes with the word's rows of its tables set to the vector."""
    absent = {"sd3": {"text_encoder_3": None, "tokenizer_3": None}}
    peer = PEERS[family].from_pretrained(folder, **absent.get(family, {}))
    peer.set_progress_bar_config(disable=True)
    ours = loaded(folder, scheduler)
    peer.scheduler = type(ours.pipe.scheduler).from_config(ours.pipe.scheduler.config)
    at = 0
    for number in ("", "_2"):
        encoder = getattr(peer, f"text_encoder{number}", None)
        if encoder is None:
            continue
        table = encoder.get_input_embeddings().weight
        token = getattr(peer, f"tokenizer{number}").get_vocab()["coat</w>"]
        table.data[token] = vector[at : at + table.shape[1]]
        at += table.shape[1]
    (stream,) = item_streams(0, "images", [item])
    noise = noise_of([stream], ours.noise_shape(None))
    return peer(
        PROMPT.replace("{class}", "coat"), latents=noise, generator=[stream],
        num_inference_steps=steps, guidance_scale=guidance, output_type="np",
    ).images[0]  # fmt: skip


@pytest.mark.parametrize(
    ("family", "scheduler", "steps", "guidance"),
    [*((family, *OWN_SAMPLER[family]) for family in FAMILIES), *SAMPLERS],
)
def test_a_vector_gives_what_an_edited_embedding_table_gives(
    folders, family, scheduler, steps, guidance
):
    generator = loaded(folders[family], scheduler)
    got = decoded(generator, [0, 1], steps=steps, guidance=guidance)
    given = vectors(generator, 4)
    want = peers_picture(
        folders[family], family, scheduler, given[1], 1, steps=steps, guidance=guidance
    )
    want = torch.from_numpy(np.round(want * 255).astype(np.uint8))
    assert got.shape == (2, *want.shape)
    assert differ(got[1], want).max() <= 1
    assert differ(got[0], want).max() > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_depends_on_its_item_alone(folders, family):
    scheduler, steps, guidance = OWN_SAMPLER[family]
    generator = loaded(folders[family], scheduler)
    given = {"steps": steps, "guidance": guidance}
    torch.manual_seed(1)
    together = decoded(generator, [0, 1, 2], **given)
    torch.manual_seed(2)  # nothing draws from the global stream
    before = torch.get_rng_state()
    apart = torch.cat([decoded(generator, [item], **given) for item in (2, 1, 0)][::-1])
    assert torch.equal(torch.get_rng_state(), before)
    assert differ(together, apart).max() <= 1
    assert (differ(together, apart) > 0).float().mean() < 1e-2
    assert differ(together[0], together[1]).max() > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_vector_says_shows(folders, family):
    scheduler, steps, guidance = OWN_SAMPLER[family]
    generator = loaded(folders[family], scheduler)
    given = vectors(generator, 4)
    one, other = (
        decoded(generator, [0], steps=steps, guidance=guidance, given=given[at : at + 1])
        for at in (0, 1)
    )
    assert differ(one, other).max() > 0


@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_an_anchor_of_two_encoders_is_the_word_in_both(folders, family):
    generator = loaded(folders[family])
    table, tokens = generator.anchor_table({"a": "coat", "b": "boot"})
    assert table.shape == (2, FIRST + SECOND)
    first = generator.pipe.text_encoder.get_input_embeddings().weight[tokens]
    np.testing.assert_array_equal(table[:, :FIRST], first.numpy())
    states, pooled = generator.encode(PROMPT, torch.from_numpy(table[1:]))
    peer = generator.pipe
    prompt = PROMPT.replace("{class}", "boot")
    own = {"prompt": prompt, "prompt_2": prompt, "do_classifier_free_guidance": False}
    if family == "sd3":
        own["prompt_3"] = prompt
    want_states, _, want_pooled, _ = peer.encode_prompt(**own)
    torch.testing.assert_close(states, want_states, rtol=0, atol=1e-6)
    torch.testing.assert_close(pooled, want_pooled, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=rf"\[b, {FIRST} \+ {SECOND}\]"):
        generator.encode(PROMPT, torch.zeros(1, FIRST))


def test_a_distilled_unet_reads_the_guidance_and_makes_one_pass(folders):
    generator = loaded(folders["lcm"])
    weak, strong = (decoded(generator, [0], steps=2, guidance=g) for g in (1.0, 9.0))
    assert differ(weak, strong).max() > 0
    calls = []
    generator.pipe.unet.register_forward_pre_hook(lambda _, x: calls.append(len(x[0])))
    decoded(generator, [0], steps=3, guidance=9.0)
    assert calls == [1, 1, 1]


def test_a_sampler_that_adds_noise_needs_each_item_s_stream(folders):
    generator = loaded(folders["lcm"])
    conditions = generator.encode(PROMPT, vectors(generator, 1))
    with pytest.raises(ValueError, match="give each item a stream"):
        generator.decode(conditions, torch.zeros(1, 4, 8, 8), steps=2, guidance=2.0)


def test_openclip_s_padding_is_the_folder_s_own(folders):
    tokenizer = loaded(folders["sd2"]).pipe.tokenizer
    assert tokenizer.pad_token == "!"
    ids = tokenizer("coat", padding="max_length", max_length=16).input_ids
    assert ids[3:] == [tokenizer.get_vocab()["!"]] * 13


@pytest.mark.parametrize("family", ["sdxl", "sd2"])
def test_half_precision_keeps_a_vae_wide_where_diffusers_does(folders, family):
    generator = loaded(folders[family], dtype="float16")
    assert generator.pipe.unet.dtype == torch.float16
    wide = torch.float32 if family == "sdxl" else torch.float16
    assert generator.pipe.vae.dtype == wide


def test_what_the_stored_schedule_says_holds_for_every_sampler(broken):
    folder = broken("sd2")
    path = folder / "scheduler" / "scheduler_config.json"
    stored = json.loads(path.read_text())
    stored |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "steps_offset": 0}
    path.write_text(json.dumps(stored))
    for name in ("ddim", "dpmsolver++", "unipc", "euler", "lcm"):
        scheduler = loaded(folder, name).pipe.scheduler
        assert scheduler.config.prediction_type == "v_prediction"
        assert scheduler.config.timestep_spacing == "trailing"
        assert scheduler.alphas_cumprod[-1] < 1e-6, name
        if name != "lcm":  # whose steps are those it was distilled for
            scheduler.set_timesteps(4)
            assert scheduler.timesteps[0] == 999


def test_a_family_is_opened_by_what_its_folder_holds(folders):
    names = {family: type(loaded(folders[family])).__name__ for family in FAMILIES}
    assert names == dict.fromkeys(("sd2", "sd-turbo", "lcm"), "StableDiffusion") | dict.fromkeys(
        ("sdxl", "sdxl-turbo"), "StableDiffusionXL"
    ) | {"sd3": "StableDiffusion3"}
    for family, folder in folders.items():
        found = describe(folder)
        generator = loaded(folder)
        table, _ = generator.anchor_table({"a": "coat"})
        assert found.anchor == table.shape[1], family
        side = found.denoiser["sample_size"] * generator.pipe.vae_scale_factor
        assert generator.resolution == side == 16
        each = {"resolution": None, "scheduler": "ddim", "steps": 2, "guidance": 2.0}
        assert generator.flops(**each) > 0


def shards_of(root, folder, *ranges, **more):
    """The images of these index ranges, each a shard of its own, by the stages themselves."""
    generator = fake_artifacts.make(root, "generator", folders={"pipeline": folder})
    table, tokens = loaded(folder).anchor_table({"a": "coat", "b": "boot"})
    anchors = fake_artifacts.make(
        root, "anchors", arrays={"anchors": table},
        files={"anchors.json": {"classes": ["a", "b"], "token_ids": tokens}},
    )  # fmt: skip
    settings = {
        "seed": 0, "decode": "anchors", "prompt": PROMPT, "scheduler": "lcm", "steps": 3,
        "guidance": 4.0, "dtype": "float32", "latent_scale": 1.0, "stop_after": None,
        "resolution": None, "saved_size": None, "kernel": "bilinear",
    } | more  # fmt: skip
    given = {"generator": generator, "anchors": anchors}
    return [
        fake_artifacts.run_stage(
            root, images.main, "images", settings | {"start": start, "stop": stop}, given
        )["images"][:]
        for start, stop in ranges
    ]


def test_shards_of_a_sampler_that_adds_noise_are_cut_from_one_sequence(folders, tmp_path):
    whole, first, second = shards_of(tmp_path, folders["lcm"], (0, 3), (0, 1), (1, 3))
    apart = torch.from_numpy(np.concatenate([first, second]))
    assert differ(torch.from_numpy(whole), apart).max() <= 1
    assert differ(torch.from_numpy(whole[0]), torch.from_numpy(whole[2])).max() > 1  # two items


def test_a_stage_refuses_a_sampler_that_the_plan_could_not_know_of(folders, tmp_path):
    with pytest.raises(ValueError, match=r"images\.scheduler must be lcm for this generator"):
        shards_of(tmp_path, folders["lcm"], (0, 1), scheduler="pndm")


# --- outputs and weights that are not finite ---


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_that_are_not_finite_are_refused_by_name(broken, family):
    from safetensors.torch import load_file, save_file

    folder = broken(family)
    (path,) = (folder / DENOISER[describe(folder).family]).glob("*.safetensors")
    state = load_file(path)
    name = min(name for name, w in state.items() if w.ndim > 1)
    state[name].view(-1)[0] = float("nan")
    save_file(state, path, {"format": "pt"})
    with pytest.raises(ValueError, match=rf"must hold finite weights, and {name} is not"):
        loaded(folder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("dtype", "cure"), [("float32", "images.guidance"),
                                             ("bfloat16", "images.guidance")])  # fmt: skip
def test_pictures_that_are_not_finite_are_refused_with_the_cure(folders, family, dtype, cure):
    scheduler, steps, guidance = OWN_SAMPLER[family]
    generator = loaded(folders[family], scheduler, dtype=dtype)
    generator.pipe.vae.decoder.conv_out.bias.data.fill_(float("inf"))
    with pytest.raises(ValueError, match=rf"2 of 2 are not; lower {cure}"):
        decoded(generator, [0, 1], steps=steps, guidance=guidance)


def test_an_overflow_of_float16_names_the_wider_formats(folders):
    generator = loaded(folders["sd2"], "ddim", dtype="float16")
    generator.pipe.unet.conv_out.bias.data.fill_(6e4).mul_(2)
    with pytest.raises(ValueError, match=r"set images.dtype: bfloat16 or float32"):
        decoded(generator, [0], steps=2, guidance=2.0)


# --- folders from somebody else ---


def edited(folder, file, **entries):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def rewritten(folder, part, change):
    from safetensors.torch import load_file, save_file

    (path,) = (folder / part).glob("*.safetensors")
    state = load_file(path)
    change(state)
    save_file(state, path, {"format": "pt"})


CHANGES = {
    "no heads": lambda f: edited(f, "text_encoder/config.json", num_attention_heads=0),
    "heads that do not divide": lambda f: edited(f, "text_encoder/config.json",
                                                 num_attention_heads=7),
    "an unknown activation": lambda f: edited(f, "text_encoder/config.json", hidden_act="os"),
    "fewer layers than weights": lambda f: edited(f, "text_encoder/config.json",
                                                  num_hidden_layers=1),
    "fewer words than the tokenizer": lambda f: edited(f, "text_encoder/config.json", vocab_size=9),
    "a prompt without end": lambda f: edited(f, "tokenizer/tokenizer_config.json",
                                             model_max_length=10**30),
    "no tokenizer's files": lambda f: [x.unlink() for x in (f / "tokenizer").iterdir()
                                       if x.name != "tokenizer_config.json"],
    "a tokenizer that is no JSON": lambda f: (
        f / "tokenizer/tokenizer_config.json").write_text("{"),
    "blocks of another kind": lambda f: edited(f, "unet/config.json",
                                               down_block_types=["X", "Y"]),
    "no groups": lambda f: edited(f, "unet/config.json", norm_num_groups=0),
    "an odd activation": lambda f: edited(f, "unet/config.json", act_fn="__import__"),
    "fewer UNet layers than weights": lambda f: edited(
        f, "unet/config.json", down_block_types=["DownBlock2D", "DownBlock2D"]),
    "a VAE of one block": lambda f: edited(f, "vae/config.json", block_out_channels=[8]),
    "another beta schedule": lambda f: edited(f, "scheduler/scheduler_config.json",
                                              beta_schedule="x"),
    "a missing weight": lambda f: rewritten(f, "vae", lambda s: s.pop(min(s))),
    "a weight too many": lambda f: rewritten(f, "vae",
                                             lambda s: s.update({"x.weight": torch.ones(2)})),
    "a weight of another shape": lambda f: rewritten(
        f, "unet", lambda s: s.update({"conv_in.bias": torch.ones(3)})),
    "an infinite weight": lambda f: rewritten(
        f, "text_encoder", lambda s: next(iter(s.values())).fill_(float("inf"))),
    "an index that leads elsewhere": lambda f: (
        f / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": {"conv_in.bias": "../../x.safetensors"}})),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_refused_by_name(broken, change):
    folder = broken("sd2")
    CHANGES[change](folder)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(str(folder))):
        loaded(folder, "ddim")
