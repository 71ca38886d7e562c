"""Text-to-image folders that do not fit are refused while planning; LoRAs enter identities."""

import json

import pytest
import yaml
from safetensors.numpy import save_file

from bood_tasks.config.fields import merged
from bood_tasks.config.load import load
from bood_tasks.plan import generators, pipelines
from bood_tasks.plan import plan as planning
from bood_tasks.plan.pipelines import check_pipelines
from tests.config.test_config import ROOT
from tests.networks.test_pipelines import LCM, ONE, THREE, TWO, V2, write

DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())


def config(**overlay):
    return load(merged(DEFAULT, {"images": {"scheduler": "ddim"}} | overlay))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    # These folders have configurations alone; tests/networks/test_headers.py has weights.
    monkeypatch.setattr(pipelines, "require_weights", lambda folder, setting: None)
    monkeypatch.chdir(tmp_path)


def test_a_folder_of_another_kind_is_refused_by_the_whole_plan(tmp_path):
    folder = write(tmp_path / "flux", None, ONE)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ValueError, match=r"generator\.path must .*flux, a FluxPipeline: .*T5"):
        planning.make(config(generator={"path": str(folder)}))


@pytest.mark.parametrize(
    ("name", "parts", "scheduler", "message"),
    [
        ("LatentConsistencyModelPipeline", LCM, "pndm", "must be lcm for .*distilled for LCM"),
        ("StableDiffusionPipeline", V2, "lcm", "not distilled for LCM"),
        ("StableDiffusion3Pipeline", THREE, "ddim", "must be flow_euler for"),
        ("StableDiffusionXLPipeline", TWO, "flow_euler", "predicts epsilon; got flow_euler"),
        ("LatentConsistencyModelPipeline", LCM, "lcm", None),
        ("StableDiffusion3Pipeline", THREE, "flow_euler", None),
    ],
)
def test_a_sampler_that_does_not_fit_is_refused_by_setting(
    tmp_path, name, parts, scheduler, message
):
    folder = write(tmp_path / "sd", name, parts)
    made = config(generator={"path": str(folder)}, images={"scheduler": scheduler, "steps": 4})
    specs = planning.Plan()
    specs.add(planning.products(made)["tables"])
    if message is None:
        check_pipelines(specs.specs.values())
    else:
        with pytest.raises(ValueError, match=rf"images\.scheduler .*{message}"):
            check_pipelines(specs.specs.values())


def test_only_a_noise_predicting_stable_diffusion_is_fine_tuned(tmp_path):
    folder = write(tmp_path / "sd", "StableDiffusionPipeline", V2)
    made = config(generator={"source": "train", "train": {"init_from": str(folder)}})
    with pytest.raises(ValueError, match=r"train\.init_from must be .*v_prediction; take it as"):
        check_pipelines([generators.generator(made)])


def test_a_lora_is_part_of_the_generator_s_identity_by_content_and_scale(tmp_path):
    import numpy as np

    plain = generators.generator(config())
    files = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for number, file in enumerate(files):
        save_file({"x": np.full(2, number)}, file)
    of = {
        (file.name, scale): generators.generator(
            config(generator={"lora": {"path": str(file), "scale": scale}})
        )
        for file in files
        for scale in (1.0, 0.5)
    }
    assert len({plain.digest, *(spec.digest for spec in of.values())}) == 5
    files[0].rename(tmp_path / "moved.safetensors")
    moved = config(generator={"lora": {"path": str(tmp_path / "moved.safetensors")}})
    assert generators.generator(moved).digest == of["a.safetensors", 1.0].digest
    assert "lora_scale" not in plain.settings


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"path": "x.safetensors"}, r"generator\.lora\.path must name something that exists"),
        ({"path": "x.bin"}, r"generator\.lora\.path must be a \.safetensors file, got x\.bin"),
    ],
)
def test_a_lora_that_is_not_there_is_refused(tmp_path, lora, message):
    (tmp_path / "x.bin").touch()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        generators.generator(config(generator={"lora": lora}))


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ({"lora": {"path": "x", "repo": "a/b", "revision": "0" * 40}}, "must not both be given"),
        ({"lora": {"repo": "a/b"}}, "revision must name a commit of a/b"),
        ({"source": "train", "lora": {"path": "x"}}, "must be none where source is train"),
    ],
)
def test_a_lora_is_one_file_for_weights_that_are_there(generator, message):
    with pytest.raises(ValueError, match=message):
        config(generator=generator)


def pictures(folder, *classes):
    for name in classes:
        (folder / name).mkdir(parents=True)
        (folder / name / "0.png").touch()
    return {"kind": "folder", "path": str(folder)}


def trained(tmp_path, *classes, words=None, size=32, **train):
    """The plan of anchors of a generator that is trained on a folder of these classes."""
    return planning.make(
        config(
            id="mine",
            datasets={"mine": pictures(tmp_path / "mine", *classes)},
            validation=[],
            only={"rows": ["bood"]},
            ablations=None,
            image={"size": size},
            anchors={"words": words or {}},
            generator={"source": "train", "train": train},
        )
    )


def test_a_generator_that_is_trained_takes_odd_class_names_or_says_at_once(tmp_path):
    trained(tmp_path / "a", "espresso_cup", "T-shirt", "7")
    with pytest.raises(ValueError, match=r"anchors\.words\.猫 must be lower-case letters .*'猫'"):
        trained(tmp_path / "b", "猫", "dog")
    trained(tmp_path / "c", "猫", "dog", words={"猫": "cat"})
    with pytest.raises(ValueError, match=r"anchors\.words\.dog must be lower-case .*'big dog'"):
        trained(tmp_path / "d", "cat", "dog", words={"dog": "big dog"})


def test_a_generator_that_is_trained_says_its_size_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"image\.size must be 32 to train .* got 64"):
        trained(tmp_path, "cat", "dog", size=64)
    folder = write(tmp_path / "sd", "StableDiffusionPipeline", ONE)
    with pytest.raises(ValueError, match=r"image\.size must be \d+ to train .* got 40"):
        trained(tmp_path / "e", "cat", "dog", size=40, init_from=str(folder))
