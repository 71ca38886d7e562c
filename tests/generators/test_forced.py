"""Generators trained as a GPU trains them, forced on the CPU: fused and foreach optimisers, killed
and resumed, and bf16."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bood_tasks.generators.biggan import training as gan_training
from bood_tasks.generators.language_model import language_model
from bood_tasks.generators.language_model.transformer import Shape
from bood_tasks.generators.text_to_image import latent_diffusion
from tests.detectors.test_forced import force
from tests.generators import test_biggan, test_generator, test_language_model, tiny_families

ROOT = Path(__file__).parents[2]
IMPLEMENTATIONS = pytest.mark.parametrize("implementation", ["fused", "foreach"])


def text_to_image(folder, **more):
    """All weights of the small pipeline: float16 as stored, AdamW."""
    test_generator._train(folder, checkpoint_every=2)
    files = sorted(folder.glob("*/*.safetensors"))
    return {
        f"{path.parent.name}.{key}": value
        for path in files
        if path.parent.name != "steps"
        for key, value in load_file(path).items()
    }


def biggan(folder, **more):
    """Two networks, each with Adam; the generator's running average."""
    folder.mkdir(exist_ok=True)
    return test_biggan.trained(folder, "c", **more)[0].state_dict()


def words(folder, **more):
    folder.mkdir(exist_ok=True)
    texts = test_language_model.sentences(40)
    settings = test_language_model.SETTINGS | {"epochs": 3} | more
    model, *_ = language_model.train(
        texts, texts, Shape(11, 1, 16, 2, 32, 0.1, True), settings,
        checkpoint=folder / "c.safetensors", device="cpu",
    )  # fmt: skip
    return model.state_dict()


def words_by_sgd(folder, **more):
    return words(folder, optimiser="sgd", schedule="plateau", lr=1.0, **more)


SLOW = pytest.param(text_to_image, marks=pytest.mark.long)
EACH = pytest.mark.parametrize("make", [SLOW, biggan, words, words_by_sgd])


def close(one, other, within):
    assert set(one) == set(other)
    worst = {
        name: (one[name].double() - other[name].double()).abs().max().item()
        for name in one
        if one[name].is_floating_point() and one[name].numel()
    }
    assert {name: value for name, value in worst.items() if not value <= within} == {}


@EACH
@IMPLEMENTATIONS
def test_the_implementation_of_an_optimiser_changes_nothing(
    make, implementation, tmp_path, monkeypatch
):
    plain = make(tmp_path / "plain")
    force(implementation, monkeypatch)
    close(plain, make(tmp_path / "forced"), within=5e-3)


@EACH
def test_a_killed_run_of_such_an_optimiser_ends_with_the_same_weights(make, tmp_path, monkeypatch):
    force("fused", monkeypatch)
    monkeypatch.setattr(gan_training, "STEPS_PER_CHECKPOINT", 2)
    monkeypatch.setattr(gan_training, "STEPS_PER_POINT", 1)
    monkeypatch.setattr(language_model, "STEPS_PER_CHECKPOINT", 2)
    whole, alive = make(tmp_path / "whole"), [2]

    for module in (gan_training, language_model, latent_diffusion):

        def dies(*given, original=module.save_checkpoint):
            original(*given)
            alive[0] -= 1
            if not alive[0]:
                raise KeyboardInterrupt

        monkeypatch.setattr(module, "save_checkpoint", dies)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "killed")
    close(whole, make(tmp_path / "killed"), within=0)


@pytest.mark.parametrize("make", [biggan, words])
def test_bf16_trains(make, tmp_path):
    made = make(tmp_path / "bf16", precision="bf16")
    plain = make(tmp_path / "plain")
    assert all(value.dtype == plain[name].dtype for name, value in made.items())
    assert all(np.isfinite(value.double().numpy()).all() for value in made.values())
    assert torch.cat([(made[name] - plain[name]).flatten() for name in made]).abs().mean() < 0.05


@pytest.mark.long
@pytest.mark.parametrize(
    ("backend", "names"),
    [("aot_eager", [*tiny_families.PEERS, "biggan"]), ("inductor", ["sd2", "biggan"])],
)
def test_compiled_networks_draw_the_same_pictures(backend, names, tmp_path):
    """Whole and block by block: each family traced, two of them compiled in earnest."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.generators.draw_compiled", backend, str(tmp_path), *names],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name for name, (_, most) in found.items() if most > 1} == set()  # a rounded grey level
    assert {name for name, (compiled, _) in found.items() if not compiled} <= {"biggan blocks"}
