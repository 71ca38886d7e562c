"""The generator stage: the tokenizer, training that survives a kill, and the shipped weights."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from transformers import CLIPTokenizer

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.config.generators import GeneratorTraining
from bood_tasks.generators.drawn_world import world
from bood_tasks.generators.text_to_image import generator, latent_diffusion
from bood_tasks.generators.text_to_image.diffusion import (
    decode,
    encode_prompt,
    latent_shape,
    load_pipeline,
)
from bood_tasks.generators.text_to_image.generator import (
    LOG_FILE,
    copy_pipeline,
    fetch_pipeline,
    main,
    train_generator,
)
from bood_tasks.generators.text_to_image.tiny_sd import (
    ANCHOR_NORM,
    LEAN,
    PROMPT,
    build_tokenizer,
    byte_pair_vocabulary,
)
from tests import fake_artifacts

pytestmark = pytest.mark.usefixtures("nobodys_plan")

SHIPPED = EMBEDDED / "generator"
ID_WORDS = ["tshirt", "trouser", "pullover", "coat", "sandal", "sneaker", "bag", "boot"]
TINY = {"vae_steps": 3, "unet_steps": 4, "batch_size": 4, "world_per_word": 0}


def _data():
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    return images, np.arange(6) % 2


def _train(folder, **settings):
    train_generator(
        *_data(), ["coat", "boot"], folder=folder, checkpoint_dir=folder / "steps",
        **{**TINY, **settings},
    )  # fmt: skip
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "steps" not in path.parts
    }


def test_each_word_is_one_token_and_other_text_falls_back_to_bytes(tmp_path):
    words = ["coat", "boat", "boatcoat", "oat", "at"]
    tokenizer = build_tokenizer(words, tmp_path)
    for word in words:
        assert tokenizer.tokenize(word) == [word + "</w>"]
    caption = tokenizer(PROMPT.format(word="boatcoat")).input_ids
    assert len(caption) == 2 + 8
    assert tokenizer.tokenize("Zü") == ["z", "Ã", "¼</w>"]
    assert tokenizer.unk_token_id not in tokenizer("naïve q9!", add_special_tokens=False).input_ids


def test_a_later_word_does_not_break_an_earlier_one():
    short, _ = byte_pair_vocabulary(["ab"])
    both, merges = byte_pair_vocabulary(["ab", "abb"])
    assert "ab</w>" in short
    assert merges[0] == ("a", "b</w>")
    assert len(set(both.values())) == len(both)


@pytest.mark.parametrize("word", ["t-shirt", "Coat", "two words", ""])
def test_words_that_clip_would_split_are_refused(tmp_path, word):
    with pytest.raises(ValueError, match=r"anchors\.words\..* must be lower-case letters"):
        build_tokenizer([word], tmp_path)


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return _train(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    ("after", "starts"),
    [(2, [2]), (5, [3, 2])],
    ids=["in the autoencoder", "in the denoiser"],
)
def test_killed_training_continues_to_the_same_weights(tmp_path, undisturbed, after, starts):
    seen = 0

    def kill(steps, note):
        nonlocal seen
        seen += steps
        if seen > after:
            raise Killed

    with pytest.raises(Killed):
        _train(tmp_path, checkpoint_every=2, report=kill)
    reported = []
    resumed = _train(
        tmp_path, checkpoint_every=2, report=lambda steps, note: reported.append(steps)
    )
    assert reported[: len(starts)] == starts  # the checkpoints were used
    assert undisturbed == resumed


def test_training_changes_with_the_seed_and_not_with_global_random_state(tmp_path, undisturbed):
    torch.manual_seed(1)
    assert undisturbed == _train(tmp_path / "again")
    assert undisturbed != _train(tmp_path / "other", seed=1)


def test_the_world_is_learned_beside_the_classes(tmp_path, undisturbed):
    with_world = _train(tmp_path, world_per_word=1)
    words = json.loads(with_world["tokenizer/vocab.json"])
    assert {word + "</w>" for word in world.WORDS} <= set(words)
    assert (
        with_world["unet/diffusion_pytorch_model.safetensors"]
        != (undisturbed["unet/diffusion_pytorch_model.safetensors"])
    )


def test_fine_tuning_keeps_the_folders_words_and_autoencoder(tmp_path, undisturbed):
    _train(tmp_path / "first")
    after = _train(tmp_path / "second", init_from=tmp_path / "first", vae_steps=0)
    kept = ("tokenizer/vocab.json", "vae/diffusion_pytorch_model.safetensors")
    assert all(undisturbed[name] == after[name] for name in kept)
    unet = "unet/diffusion_pytorch_model.safetensors"
    assert undisturbed[unet] != after[unet]


def test_words_of_the_world_and_of_the_classes_must_differ(tmp_path):
    taken = next(iter(world.WORDS))
    with pytest.raises(ValueError, match=r"must differ.*anchors\.words"):
        train_generator(
            *_data(), [taken, "boot"], folder=tmp_path, checkpoint_dir=tmp_path, world_per_word=1
        )


def test_images_of_another_resolution_are_refused(tmp_path):
    images, labels = _data()
    with pytest.raises(ValueError, match=r"image\.size must be 32"):
        train_generator(
            images[:, :28, :28], labels, ["coat", "boot"],
            folder=tmp_path, checkpoint_dir=tmp_path, **TINY,
        )  # fmt: skip


# --- natural pictures: further data sets, bfloat16, a clock ---


def _natural(seed, side=32):
    images = np.random.default_rng(seed).integers(0, 256, (4, side, side, 3), dtype=np.uint8)
    return images, np.array([0, 1, 1, 0]), ["n01443537", "maple_tree"]


def test_further_data_sets_are_learned_under_the_names_of_their_classes(tmp_path, undisturbed):
    more = (*_natural(1)[:2], ["maple_tree", "coat2"])
    trained = _train(tmp_path, also=[_natural(0), more])
    vocabulary = json.loads(trained["tokenizer/vocab.json"])
    assert {"nabeedfdh</w>", "mapletree</w>", "coatc</w>"} <= set(vocabulary)
    unet = "unet/diffusion_pytorch_model.safetensors"
    assert undisturbed[unet] != trained[unet]


def test_a_caption_names_the_class_of_its_picture(tmp_path, monkeypatch):
    """The rows of all sources, ID first, each with its own word; one name is one word."""
    seen = {}

    def keep(pipe, latents, word_of, captions, *args, **settings):
        seen["words"] = word_of.tolist()

    monkeypatch.setattr(generator, "train_denoiser", keep)
    _train(tmp_path, also=[_natural(0), (*_natural(1)[:2], ["maple_tree", "oak"])], vae_steps=0)
    coat, boot, fish, maple, oak = range(5)
    assert seen["words"] == [coat, boot] * 3 + [fish, maple, maple, fish] + [maple, oak, oak, maple]


def test_a_further_class_with_the_word_of_an_id_class_is_refused(tmp_path):
    clash = (*_natural(0)[:2], ["Boot", "oak"])
    with pytest.raises(ValueError, match=r"generator\.train\.also, got \['boot'\] twice"):
        _train(tmp_path, also=[clash])


def test_further_pictures_of_another_resolution_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"image\.size must be 32 .* got 16"):
        _train(tmp_path, also=[_natural(0, side=16)])


def test_networks_have_the_channels_asked_for_and_decode_at_their_latents(tmp_path):
    _train(tmp_path, vae_channels=[8, 16], unet_channels=[16, 32, 32])
    pipe = load_pipeline(tmp_path)
    assert latent_shape(pipe) == (4, 16, 16)
    assert pipe.unet.config.block_out_channels == [16, 32, 32]
    cond = encode_prompt(pipe, "", None)
    image = decode(pipe, cond, cond, torch.zeros(1, 4, 16, 16), steps=1, guidance=1.0)
    assert image.shape == (1, 32, 32, 3)


def test_training_in_bfloat16_differs_little_and_keeps_float32_weights(tmp_path, undisturbed):
    half = _train(tmp_path, precision="bf16")
    name = "vae/diffusion_pytorch_model.safetensors"
    exact, near = (load_file_of(files[name]) for files in (undisturbed, half))
    assert undisturbed[name] != half[name]
    for key, value in exact.items():
        torch.testing.assert_close(value.float(), near[key].float(), rtol=0, atol=0.01)


def load_file_of(content):
    return safetensors.torch.load(content)


def test_an_average_of_no_steps_is_the_last_weights(tmp_path, undisturbed):
    """The average is what is saved."""
    unet = "unet/diffusion_pytorch_model.safetensors"
    assert _train(tmp_path, ema=0)[unet] != undisturbed[unet]


def test_on_a_gpu_all_captions_are_encoded_and_channels_stand_last(
    tmp_path, monkeypatch, undisturbed
):
    """What CUDA's path does, on the CPU: the weights differ by rounding alone."""
    monkeypatch.setitem(generator.LAYOUTS, "cpu", torch.channels_last)
    plain = latent_diffusion.caption_states
    monkeypatch.setattr(
        latent_diffusion, "caption_states", lambda *a, repeated: plain(*a, repeated=False)
    )
    found = _train(tmp_path)
    for name in (name for name in found if name.endswith(".safetensors")):
        exact, near = (load_file_of(files[name]) for files in (undisturbed, found))
        for key, value in exact.items():
            torch.testing.assert_close(value.float(), near[key].float(), rtol=0, atol=4e-3)


def test_compiled_passes_train_the_same_and_end_with_the_training(
    tmp_path, monkeypatch, undisturbed
):
    """With a compiler that changes nothing; a real one takes a minute."""
    seen = []

    def compile_(forward, *, dynamic, backend):
        seen.append((type(forward.__self__).__name__, dynamic))
        return lambda *args, **more: forward(*args, **more)

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setenv("BOOD_RUN", '{"compile": true}')
    assert _train(tmp_path) == undisturbed
    names = "Encoder", "Decoder", "UNet2DConditionModel"
    assert seen == [(name, False) for name in names]


class Clock:
    """A clock by which every step takes a second."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def tick(self, steps, note):
        self.now += 1


def descend(directory, *, count, seconds, warm_up=1, monkeypatch, stop=None):
    """Run a phase on one weight; return the learning rates and what its steps were."""
    directory.mkdir(exist_ok=True)
    monkeypatch.setattr(latent_diffusion, "WARM_UP", warm_up)
    clock, weight = Clock(), torch.nn.Parameter(torch.ones(1))
    descent = latent_diffusion.Descent(directory, 10, 0.1, clock.tick, seconds=seconds, clock=clock)
    rates = []
    for step in descent.steps("denoiser", count, {"w": weight}, 1):
        if step == stop:
            raise Killed
        rates.append(descent.adam.param_groups[0]["lr"])
        descent.descend((weight**2).sum())
    return rates, descent.facts


def test_a_limited_time_sets_the_steps_and_the_cosine_ends_with_them(tmp_path, monkeypatch):
    rates, facts = descend(tmp_path, count=5000, seconds=400, monkeypatch=monkeypatch)
    assert facts["denoiser_steps"] == len(rates) == pytest.approx(0.95 * 400, abs=2)
    assert min(rates) == rates[-1] == pytest.approx(0.1 * latent_diffusion.LAST_SHARE, rel=0.01)


def test_enough_time_leaves_all_steps(tmp_path, monkeypatch):
    rates, _ = descend(tmp_path, count=90, seconds=4000, monkeypatch=monkeypatch)
    unlimited, _ = descend(tmp_path / "u", count=90, seconds=None, monkeypatch=monkeypatch)
    assert rates == unlimited


def test_slow_steps_are_judged_before_the_time_is_over(tmp_path, monkeypatch):
    rates, _ = descend(tmp_path, count=5000, seconds=16, monkeypatch=monkeypatch)
    assert len(rates) == 14


def test_a_killed_run_in_a_limited_time_goes_on_to_the_same_end(tmp_path, monkeypatch):
    whole, _ = descend(tmp_path / "a", count=5000, seconds=400, monkeypatch=monkeypatch)
    with pytest.raises(Killed):
        descend(tmp_path / "b", count=5000, seconds=400, stop=105, monkeypatch=monkeypatch)
    rest, facts = descend(tmp_path / "b", count=5000, seconds=400, monkeypatch=monkeypatch)
    assert rest == whole[100:]  # its checkpoint
    assert facts["denoiser_steps"] == len(whole)


def test_a_time_that_teaches_nothing_is_refused_early(tmp_path, monkeypatch):
    with pytest.raises(
        ValueError, match=r"generator\.train\.minutes must leave the denoiser at le"
    ):
        descend(tmp_path, count=5000, seconds=60, warm_up=100, monkeypatch=monkeypatch)


def test_a_loss_that_is_not_finite_is_named_and_leaves_no_checkpoint(tmp_path, monkeypatch):
    descent = latent_diffusion.Descent(tmp_path, 5, 0.1, lambda steps, note: None)
    weight = torch.nn.Parameter(torch.ones(1))

    def train():
        for step in descent.steps("denoiser", 9, {"w": weight}, 1):
            descent.descend(weight.sum() * (float("nan") if step == 3 else 1))

    with pytest.raises(ValueError, match=r"generator\.train\.lr .* got nan at step 3"):
        train()
    assert not list(tmp_path.iterdir())


def test_training_needs_no_library_of_artifacts_or_configurations():
    """So that a device without them can train: see benchmarks/natural_generator.py."""
    absent = "zarr", "pydantic", "snakemake", "pandas", "scipy", "matplotlib"
    code = f"import sys; sys.modules |= dict.fromkeys({absent})\nimport {generator.__name__}"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# --- the shipped weights ---


@pytest.fixture(scope="module")
def shipped():
    return load_pipeline(SHIPPED)


def test_shipped_folder_is_small_and_in_stable_diffusions_layout():
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12e6
    index = json.loads((SHIPPED / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["safety_checker"] == [None, None]
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    assert {path.suffix for path in files} <= {".json", ".txt", ".safetensors", ".csv"}
    assert (SHIPPED / LOG_FILE).is_file()


def test_shipped_anchors_are_orthogonal_tokens_and_other_words_lean_on_two_of_them(shipped):
    words = [*ID_WORDS, *world.WORDS]
    tokens = [shipped.tokenizer(word, add_special_tokens=False).input_ids for word in words]
    assert all(len(pieces) == 1 for pieces in tokens)
    rows = shipped.text_encoder.get_input_embeddings().weight[[t[0] for t in tokens]]
    norms = rows.norm(dim=1)
    torch.testing.assert_close(norms, torch.full_like(norms, ANCHOR_NORM), rtol=1e-2, atol=0)
    unit = rows / norms[:, None]
    anchors, others = unit[:8], unit[8:]
    torch.testing.assert_close(anchors @ anchors.T, torch.eye(8), rtol=0, atol=1e-3)
    leaning = (others @ anchors.T).sort(dim=1, descending=True).values
    torch.testing.assert_close(
        leaning[:, :2], torch.full((len(others), 2), LEAN), rtol=0, atol=1e-3
    )
    assert leaning[:, 2:].abs().max() < 1e-3


def test_shipped_decodes_of_grey_training_pictures_are_grey(shipped):
    cond = encode_prompt(shipped, "", None)
    noise = torch.randn(1, *latent_shape(shipped), generator=torch.Generator().manual_seed(0))
    image = decode(shipped, cond, cond, noise, steps=2, guidance=1.0)
    assert (image == image[..., :1]).all()


def test_shipped_anchors_decode_to_their_classes(shipped):
    """The mean decode of a class resembles the mean real image of that class most."""
    file = np.load(SHIPPED.parent / "fashion_mnist.npz")
    labels = [0, 1, 2, 4, 5, 7, 8, 9]
    real = np.stack([file["x_train"][file["y_train"] == label].mean(0) for label in labels])
    real = np.pad(real, ((0, 0), (2, 2), (2, 2))).reshape(8, -1)
    tokens = [shipped.tokenizer(word).input_ids[1] for word in ID_WORDS]
    anchors = shipped.text_encoder.get_input_embeddings().weight[tokens].repeat_interleave(6, 0)
    cond = encode_prompt(shipped, PROMPT.replace("word", "class"), anchors)
    noise = torch.randn(48, *latent_shape(shipped), generator=torch.Generator().manual_seed(0))
    images = decode(shipped, cond, encode_prompt(shipped, "", None), noise, steps=10, guidance=3.0)
    means = images.float().mean(3).reshape(8, 6, -1).mean(1).numpy()
    nearest = np.corrcoef(means, real)[:8, 8:].argmax(1)
    assert (nearest == np.arange(8)).sum() >= 7  # pullover and coat are near twins


def test_shipped_tokenizer_needs_vocabulary_and_merges_only(tmp_path):
    shutil.copytree(SHIPPED / "tokenizer", tmp_path / "tokenizer")
    assert sorted(path.name for path in (tmp_path / "tokenizer").iterdir()) == [
        "merges.txt",
        "tokenizer_config.json",
        "vocab.json",
    ]
    assert CLIPTokenizer.from_pretrained(tmp_path / "tokenizer").tokenize("boot") == ["boot</w>"]


def test_a_local_folder_is_taken_as_it_is(tmp_path):
    copy_pipeline(SHIPPED, tmp_path / "copy")
    for path in SHIPPED.rglob("*"):
        if path.is_file():
            assert (tmp_path / "copy" / path.relative_to(SHIPPED)).read_bytes() == path.read_bytes()


def test_the_stage_writes_an_artifact_that_loads(tmp_path):
    spec = Spec("generator", "local", {"source": "local", "content": "x"})
    out = tmp_path / spec.digest / "manifest.json"
    arguments = ["--out", str(out), "--spec", json.dumps(spec.identity()), "--source", str(SHIPPED)]
    main(arguments)
    artifact = Artifact(out)
    assert artifact.damaged(rehash=True) == []
    assert "pipeline/model_index.json" in artifact.files
    load_pipeline(artifact.folder / "pipeline")


def test_a_damaged_local_folder_leaves_no_artifact(tmp_path):
    broken = shutil.copytree(SHIPPED, tmp_path / "sd")
    path = broken / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[: 2**20])
    spec = Spec("generator", "local", {"source": "local", "content": "x"})
    out = tmp_path / spec.digest / "manifest.json"
    with pytest.raises(ValueError, match="is damaged or incomplete"):
        main(["--out", str(out), "--spec", json.dumps(spec.identity()), "--source", str(broken)])
    assert not out.exists()


def test_main_trains_a_pipeline_that_loads(tmp_path):
    rng = np.random.default_rng(0)
    data = fake_artifacts.make(
        tmp_path,
        "dataset",
        arrays={
            "train/images": rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8),
            "train/labels": np.arange(8) % 2,
        },
        files={"dataset.json": {"classes": ["coat", "left shoe"]}},
    )
    training = GeneratorTraining(world_per_word=1, vae_steps=2, unet_steps=2, batch_size=4)
    settings = {"source": "train", "words": {"left shoe": "shoe"}} | training.model_dump()
    del settings["init_from"], settings["also"]  # inputs in their place
    made = fake_artifacts.run_stage(tmp_path, main, "generator", settings, {"dataset": data})
    pipe = load_pipeline(made.folder / "pipeline")
    assert all(len(pipe.tokenizer(word).input_ids) == 3 for word in ("coat", "shoe"))
    assert "pipeline/training_log.csv" in made.files


# --- the hub ---


def test_a_pinned_commit_is_fetched_whole_and_nothing_else(tmp_path, monkeypatch):
    import huggingface_hub

    files = {x.relative_to(SHIPPED).as_posix(): x for x in SHIPPED.rglob("*") if x.is_file()}
    asked = {}

    def names(_hub, repo, *, revision):
        asked.update(repo=repo, revision=revision)
        return [*files, "unet/diffusion_pytorch_model.fp16.safetensors", "unet/a.bin", "sd.ckpt"]

    def download(repo, name, *, revision, local_dir):
        (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (local_dir / name).write_bytes(files[name].read_bytes())

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", names)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.chdir(tmp_path)
    settings = {"source": "hub", "repo": "some/model", "revision": "a" * 40}
    spec = Spec("generator", "some_model", settings)
    main(["--out", spec.manifest, "--spec", to_json(spec.identity())])
    artifact = Artifact(spec.manifest)
    assert asked == {"repo": "some/model", "revision": "a" * 40}
    kept = (".json", ".txt", "model.safetensors")
    assert not [name for name in artifact.files if not name.endswith(kept)]
    assert any(name.startswith("pipeline/unet/") for name in artifact.files)
    load_pipeline(artifact.folder / "pipeline")


def test_a_commit_that_cannot_be_had_is_named_with_the_cure(tmp_path, monkeypatch):
    import huggingface_hub

    def fails(*_args, **_more):
        raise OSError("We couldn't connect")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", fails)
    with pytest.raises(ValueError, match=r"some/model aaaa: .*connect.*source: local"):
        fetch_pipeline("some/model", "aaaa", tmp_path / "f", tmp_path / "p")
