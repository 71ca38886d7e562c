"""A generator's parts stay behind its interface; what it holds decides its family."""

import ast
from pathlib import Path

import pytest
import torch

import bood_tasks
from bood_tasks.generators.text_to_image import interface
from tests.generators.test_diffusion import PROMPT, folder

PARTS = ("unet", "vae", "tokenizer", "text_encoder", "scheduler")
PACKAGE = Path(bood_tasks.__file__).parent
__all__ = ["folder"]  # a fixture


def test_no_stage_touches_a_generator_s_parts():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if "generators" not in path.relative_to(PACKAGE).parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (
            isinstance(node, ast.Attribute) and node.attr in PARTS
            and getattr(node.value, "attr", "") != "vocabulary"  # a setting of that name
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").endswith(".diffusion"))
    ]  # fmt: skip
    assert found == []


def test_a_generator_decodes_what_it_encodes(folder):
    generator = interface.load(folder)
    table, tokens = generator.anchor_table({"a": "coat", "b": "boot"})
    assert table.shape[0] == len(set(tokens)) == 2
    noise = torch.zeros(2, *generator.noise_shape(None))
    made = generator.decode(
        generator.encode(PROMPT, torch.from_numpy(table)), noise, steps=2, guidance=2.0,
        latent_scale=1.0, stop_after=None, saved_size=None, kernel="bilinear", streams=None,
    )  # fmt: skip
    assert made.shape == (2, generator.resolution, generator.resolution, 3)
    assert not torch.equal(made[0], made[1])


def test_a_family_is_chosen_by_what_the_folder_holds(folder, tmp_path, monkeypatch):
    class Other:
        COMPONENTS = {"transformer": "config.json"}  # noqa: RUF012

        @staticmethod
        def holds(place):
            return (place / "transformer").is_dir()

    monkeypatch.setattr(interface, "FAMILIES", (*interface.FAMILIES, Other))
    (tmp_path / "transformer").mkdir()
    assert interface.family_of(tmp_path) is Other
    assert interface.family_of(folder) is interface.FAMILIES[0]
    (tmp_path / "transformer").rmdir()
    with pytest.raises(FileNotFoundError, match=r"lacks tokenizer/tokenizer_config\.json"):
        interface.load(tmp_path)
