"""A generator trained here: what it learns from, what it costs, and what it must not see."""

import pytest

from bood_tasks.config.generators import GeneratorTraining
from bood_tasks.config.load import ConfigError
from bood_tasks.networks.flops import unet_flops
from bood_tasks.networks.small_diffusion import unet_shape
from bood_tasks.plan import generators
from bood_tasks.plan import plan as planning
from bood_tasks.plan.resources import hours_of
from bood_tasks.plan.sizes import Sizes, networks_of
from tests.plan.test_plan import config, of_preset


def trained(**training):
    more = {"generator": {"source": "train", "train": training}}
    return config(datasets={"natural": {"kind": "tinyimagenet"}}, **more)


def test_later_settings_left_alone_keep_the_identity_of_earlier_artifacts():
    spec = generators.generator(trained())
    assert set(spec.settings) == {
        "source", "words", "world_per_word", "id_share", "vae_steps", "unet_steps", "batch_size",
        "lr", "caption_dropout", "seed",
    }  # fmt: skip
    assert set(spec.inputs) == {"dataset"}
    assert set(generators.LATER) <= GeneratorTraining().model_dump().keys()
    changed = generators.generator(trained(vae_channels=[8], ema=0.5, precision="bf16", minutes=3))
    assert changed.settings.keys() - spec.settings.keys() == {
        "vae_channels", "ema", "precision", "minutes"
    }  # fmt: skip


def test_further_data_sets_are_made_from_and_missed_before_the_first_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = trained(also=["natural"])
    (also,) = generators.generator(given).inputs["also"]
    assert (also.stage, also.settings["kind"]) == ("dataset", "tinyimagenet")
    assert also in planning.make(given).specs.values()
    (message,) = planning.absent(given)
    assert "tiny-imagenet-200" in message


@pytest.mark.parametrize(
    ("also", "more", "message"),
    [
        ("naturl", {}, r"generator\.train\.also must name data sets, .* did you mean 'natural'"),
        ("near", {}, r"nothing is tested on, got 'near': near is one of `test`"),
        ("fashion8", {}, r"nothing is tested on, got 'fashion8': it is the ID data set"),
        ("noise", {}, r"must name pictures read from files, got 'noise' of kind noise"),
        ("twin", {"test": ["svhn"]}, r"got 'twin': svhn is one of `test`"),
    ],
)
def test_what_a_generator_must_not_learn_is_refused(also, more, message):
    sets = {"natural": {"kind": "tinyimagenet"}, "svhn": {"kind": "svhn"}}
    sets["twin"] = {"kind": "svhn", "path": "elsewhere"}
    with pytest.raises(ConfigError, match=message):
        config(
            datasets=sets, generator={"source": "train", "train": {"also": [also]}}, **more
        )  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({"vae_channels": [16, 12]}, r"vae_channels must be multiples of 8, got 12"),
        ({"unet_channels": [24]}, r"unet_channels must be multiples of 16, got 24"),
        (
            {"vae_channels": [8, 8, 8, 8], "unet_channels": [16, 16, 16, 16]},
            r"halve a side of 32 pixels at most 5 times, got 6",
        ),
    ],
)
def test_channels_that_no_network_has_are_refused(channels, message):
    with pytest.raises(ConfigError, match=message):
        trained(**channels)


def test_its_own_shape_and_clock_tell_what_it_and_its_pictures_cost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = of_preset("natural-generator")
    spec = generators.generator(given)
    unet, vae = networks_of(spec)
    assert unet == unet_shape([96, 128], [32, 48])
    assert (unet["sample_size"], vae["block_out_channels"]) == (16, (32, 48))
    operations = Sizes().operations(spec)
    denoiser = 3 * 20_000 * 512 * unet_flops(unet, side=16)
    assert denoiser < operations < 1.2 * denoiser
    assert hours_of(spec, operations, "cpu") == pytest.approx(8 / 60)  # minutes: 8
    assert hours_of(spec, operations, "h200") < 8 / 60
