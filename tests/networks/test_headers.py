"""Folders whose weights would not load are refused by their headers, before the first job."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from bood_tasks import EMBEDDED
from bood_tasks.networks.headers import header, require_weights


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(EMBEDDED / "generator", tmp_path / "sd")
    return tmp_path / "sd"


def test_the_shipped_generator_is_whole(folder):
    require_weights(folder, "generator.path")
    found = header(folder / "unet/diffusion_pytorch_model.safetensors")
    weights = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    assert {name: item["shape"] for name, item in found.items()} == {
        name: list(weight.shape) for name, weight in weights.items()
    }
    assert header(folder / "model_index.json") == {}


def test_a_part_without_weights_is_named(folder):
    (folder / "vae/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"vae has no \.safetensors"):
        require_weights(folder, "generator.path")


def test_weights_of_another_network_are_named(folder):
    file = folder / "unet/diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({name: x for name, x in weights.items() if name != "conv_in.weight"}, file)
    with pytest.raises(ValueError, match=r"unet lacks conv_in\.weight"):
        require_weights(folder, "generator.path")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("text_encoder", "hidden_size", 768),
        ("text_encoder", "vocab_size", 7),
        ("unet", "in_channels", 9),
        ("unet", "block_out_channels", [320, 640]),
        ("vae", "latent_channels", 16),
        ("vae", "block_out_channels", [128, 256, 512]),
    ],
)
def test_weights_of_other_shapes_than_the_configuration_says_are_named(folder, part, key, value):
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=rf"{part} has .* its config.json says"):
        require_weights(folder, "generator.path")
