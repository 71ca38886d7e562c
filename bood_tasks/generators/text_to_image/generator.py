"""The text-to-image generator: a folder of diffusers', taken as it is or trained here.

What enters: a local diffusers folder (`source: local`), a pinned commit of the hub (`source: hub`;
this goes online), or the ID training split (`source: train`;
a folder given as well is fine-tuned). A LoRA, if there is one, is fused into the weights. What
leaves: `pipeline/`, a folder that `interface.load` reads, and after training its
`training_log.csv`.

A trained generator sees the ID classes and other words beside them, so that a vector which leaves
a class decodes into something else: a drawn world (drawn_world), the classes of further data sets
(`also`), or both. Recipe and numbers: docs/generator.md.
"""

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from jaxtyping import Int64, UInt8
from numpy import ndarray
from torch import Tensor

from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.generators.drawn_world import world
from bood_tasks.generators.text_to_image.diffusion import load_pipeline, prompt_ids
from bood_tasks.generators.text_to_image.hub import fetch_files
from bood_tasks.generators.text_to_image.interface import family_of, load
from bood_tasks.generators.text_to_image.latent_diffusion import (
    Batches,
    Descent,
    Report,
    encode_pictures,
    train_autoencoder,
    train_denoiser,
)
from bood_tasks.generators.text_to_image.lora import FILE as LORA
from bood_tasks.generators.text_to_image.lora import fuse_folder
from bood_tasks.generators.text_to_image.tiny_sd import PROMPT, build_pipeline, save_pipeline
from bood_tasks.jobs import seeds
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.jobs.progress import progress
from bood_tasks.networks.pipelines import ADAPTED, COMPONENTS, FOLDER, INDEX, describe
from bood_tasks.networks.small_diffusion import UNET_CHANNELS, VAE_CHANNELS
from bood_tasks.networks.words import class_words as words_of
from bood_tasks.networks.words import known_words, spelled
from bood_tasks.training.loading import load_where_it_fits

VERSION = 1
LOG_FILE = "training_log.csv"
KEPT_SUFFIXES = (".json", ".txt", ".safetensors")
LAYOUTS = {"cuda": torch.channels_last}  # of convolutions' weights, where another is faster
# Pictures, the class of each, the classes' names; sources differ in number.
Labelled = tuple[UInt8[ndarray, "_ _ _ 3"], Int64[ndarray, " _"], Sequence[str]]


def train_generator(
    images: UInt8[ndarray, "n h w 3"],
    labels: Int64[ndarray, " n"],
    class_words: Sequence[str],
    *,
    also: Sequence[Labelled] = (),
    folder: Path,
    checkpoint_dir: Path,
    world_per_word: int = 200,
    vae_steps: int = 2400,
    unet_steps: int = 4000,
    batch_size: int = 64,
    lr: float = 1.5e-3,
    seed: int = 0,
    id_share: float = 0.2,
    caption_dropout: float = 0.1,
    vae_channels: Sequence[int] = VAE_CHANNELS,
    unet_channels: Sequence[int] = UNET_CHANNELS,
    ema: float = 0.999,
    precision: str = "fp32",
    minutes: float | None = None,
    checkpoint_every: int = 200,
    init_from: Path | None = None,
    device: str = "cpu",
    report: Report = lambda steps, note: None,
) -> dict[str, int | float]:
    """Train a small pipeline and write it to `folder` (float16 safetensors, with training log).

    `labels` index `class_words`. `id_share` of every batch is ID, the rest the drawn world
    (`world_per_word` pictures a word; 0 = none) and the pictures of `also`, all alike; of these the
    labels index the names of their classes, and a name that stands in two is one word. The
    autoencoder sees half of `batch_size` a step. `init_from` fine-tunes another folder instead of
    random weights of the given channels; its tokenizer must know every word as one token
    (`vae_steps` 0 keeps its autoencoder). With `minutes` both step counts are most ones (see
    latent_diffusion.Descent). A killed run continues from `checkpoint_dir` and ends with the same
    weights on the same CPU. `report(steps, note)` hears of vae_steps + unet_steps steps in all.

    Returns what run.json tells: words, pictures, steps and rates of the phases. Raises
    ValueError for words that are not one token each or mean two things, and for minutes that teach
    nothing.
    """
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    drawn_words = list(world.WORDS) if world_per_word else []
    also_words = list(dict.fromkeys(spelled(name) for *_, names in also for name in names))
    words = [*class_words, *drawn_words, *also_words]
    if len(set(words)) < len(words):
        raise ValueError(
            "class words must differ from each other, from the world's words and from those of "
            "generator.train.also, got "
            f"{sorted({word for word in words if words.count(word) > 1})} twice; "
            "give an alias in anchors.words"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.stream(seed, "generator", "weights"))
        if init_from is None:
            pipe = build_pipeline(
                class_words,
                [*drawn_words, *also_words],
                checkpoint_dir / "tokenizer",
                vae_channels=vae_channels,
                unet_channels=unet_channels,
            )
        else:
            pipe = load_pipeline(init_from)
    captions = caption_ids(pipe, words)
    for part in (images, *(others for others, *_ in also)):
        _check_resolution(pipe, part)
    drawn = [
        world.draw(word, world_per_word, seeds.generator(seed, "generator", "world", word))
        for word in drawn_words
    ]
    grey = [np.repeat(d[..., None], 3, axis=3) for d in drawn]
    pictures = np.concatenate([images, *grey, *(others for others, *_ in also)])
    word_of = [labels, len(class_words) + np.repeat(np.arange(len(drawn)), world_per_word)]
    for _, numbers, names in also:
        word_of.append(np.array([words.index(spelled(name)) for name in names])[numbers])
    word_of = torch.from_numpy(np.concatenate(word_of))
    pictures = load_where_it_fits(pictures, device).images

    pipe.to(device)
    _lay_out(pipe, LAYOUTS.get(torch.device(device).type))
    batches = Batches(len(images), len(pictures), id_share, seed)
    seconds = None if minutes is None else 60 * minutes
    descent = Descent(
        checkpoint_dir, checkpoint_every, lr, report, ema=ema, precision=precision, seconds=seconds
    )
    if vae_steps:
        train_autoencoder(
            pipe.vae, pictures, batches, descent, batch_size=batch_size // 2, steps=vae_steps
        )
    train_denoiser(
        pipe,
        encode_pictures(pipe.vae, pictures),
        word_of,
        captions,
        batches,
        descent,
        caption_dropout=caption_dropout,
        batch_size=batch_size,
        steps=unet_steps,
    )
    _lay_out(pipe.to("cpu"), torch.contiguous_format)  # what safetensors take
    save_pipeline(pipe, folder)
    with (folder / LOG_FILE).open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows([("phase", "step", "loss"), *descent.log])
    counts = {"words": len(words), "pictures": len(pictures)}
    return counts | descent.facts | {"training_seconds": round(descent.spent(), 1)}


def _lay_out(pipe: StableDiffusionPipeline, layout: torch.memory_format | None) -> None:
    """Put the convolutions' weights into a memory order; None leaves them."""
    if layout is not None:
        pipe.unet.to(memory_format=layout)
        pipe.vae.to(memory_format=layout)


def caption_ids(pipe: StableDiffusionPipeline, words: Sequence[str]) -> Int64[Tensor, "w l"]:
    """Token ids of each word's caption; the last row is the empty caption.

    Raises ValueError for a word that is not one token: its embedding could not be an anchor.
    """
    for word in words:
        pieces = pipe.tokenizer.tokenize(word)
        if len(pieces) != 1:
            raise ValueError(
                f"class words must each be one token of the generator, got {word!r} = {pieces}; "
                "give an alias in anchors.words, or leave its data set out of generator.train.also"
            )
    texts = [*(PROMPT.format(word=word) for word in words), ""]
    return torch.cat([prompt_ids(pipe.tokenizer, text) for text in texts])


def _check_resolution(pipe: StableDiffusionPipeline, images: ndarray) -> None:
    side = pipe.unet.config.sample_size * pipe.vae_scale_factor
    if images.shape[1:3] != (side, side):
        raise ValueError(
            f"image.size must be {side} to train this generator, got {images.shape[1]}; "
            "a smaller or larger one is trained from a folder of that resolution"
        )


def copy_pipeline(source: Path, folder: Path) -> None:
    """Copy what a local folder's family reads of it, and check that it loads."""
    load(source)
    for component in family_of(source).COMPONENTS:
        (folder / component).mkdir(parents=True, exist_ok=True)
        for path in sorted((source / component).iterdir()):
            if path.suffix in KEPT_SUFFIXES:
                shutil.copyfile(path, folder / component / path.name)
    for name in (INDEX, ADAPTED, LOG_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def fetch_pipeline(repo: str, revision: str, fetched: Path, folder: Path, **kept) -> None:
    """Fetch what a family reads of one commit of the hub, and check that it loads.

    Files come to `fetched` and are copied from there; `kept` is what fetch_files takes. The
    configurations come first: a pipeline that is not read here is refused before its weights
    are fetched. Raises ValueError that names the commit if it cannot be had.
    """
    every = {part for parts in COMPONENTS.values() for part in parts}
    wanted = [INDEX, *(f"{part}/*.json" for part in sorted(every))]
    fetch_files(repo, revision, fetched, wanted, **kept)
    parts = COMPONENTS[describe(fetched, "generator.repo").family]
    wanted = [f"{part}/*{end}" for part in parts for end in KEPT_SUFFIXES]
    fetch_files(repo, revision, fetched, wanted, **kept)
    copy_pipeline(fetched, folder)


def _labelled(data: Artifact) -> Labelled:
    """Return the training pictures of a data set, or those of one that has no such split."""
    split = "train" if "train/images" in data else "test"
    names = data.json("dataset.json")["classes"]
    return data[f"{split}/images"][:], data[f"{split}/labels"][:], names


def _train(job: Job, settings: Mapping, draft: Draft) -> dict[str, int | float]:
    """Train as a job's settings say; return what run.json tells."""
    images, labels, classes = _labelled(job.inputs["dataset"])
    known = known_words(Path(job.source)) if job.source else None
    words = words_of(classes, settings["words"], known)
    recipe = {key: value for key, value in settings.items() if key not in ("words", "content")}
    steps = settings["vae_steps"] + settings["unet_steps"]
    with progress("generator", steps, "steps") as advance:
        return train_generator(
            images,
            labels,
            list(words.values()),
            also=[_labelled(data) for data in job.inputs.get("also", ())],
            folder=draft.folder / FOLDER,
            checkpoint_dir=draft.progress,
            init_from=Path(job.source) if job.source else None,
            device=pick_device(),
            report=advance,
            **recipe,
        )


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, facts = dict(job.settings), {}
    with job.draft() as draft:
        folder = draft.folder / FOLDER
        source, scale = settings.pop("source"), settings.pop("lora_scale", None)
        if source == "local":
            copy_pipeline(Path(job.source), folder)
        elif source == "hub":
            fetch_pipeline(
                settings["repo"], settings["revision"], draft.progress / "hub", folder,
                keep=draft.keep, keeps=draft.keeps,
            )  # fmt: skip
        else:
            facts = _train(job, settings, draft)
        if scale is not None:
            fuse_folder(folder, job.inputs["lora"].folder / LORA, scale)
            load(folder)
        draft.finish(facts=facts)
