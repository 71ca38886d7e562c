"""Whether text-to-image folders fit what a plan asks of them, before the first job."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bood_tasks.artifacts.outside import require_whole_weights
from bood_tasks.artifacts.spec import Spec
from bood_tasks.catalogue.datasets import SPLIT_NAMES
from bood_tasks.networks.headers import require_weights
from bood_tasks.networks.pipelines import FOLDER, SD, Pipeline, describe, require_sampler
from bood_tasks.networks.small_diffusion import SIDE
from bood_tasks.networks.words import (
    class_words,
    known_words,
    refusal,
    require_letters,
    unknown_words,
)

DECODING = ("images", "trajectory", "strips")  # stages that run a generator
TRAINED = "the generator trained here"


def pipeline_folder(generator: Spec) -> Path | None:
    """Return where a generator's folder lies: its artifact's, or that it is made from; None while
    it is not fetched, and of one trained from nothing."""
    made = Path(generator.manifest).with_name(FOLDER)
    if Path(generator.manifest).is_file() and made.is_dir():
        return made
    return Path(generator.source) if generator.source else None


@cache
def _described(folder: Path, setting: str) -> Pipeline:
    return describe(folder, setting)


def check_pipelines(specs: Iterable[Spec]) -> None:
    """Raise ValueError or FileNotFoundError for a folder that is none of the families which are
    read, that cannot be trained on, or whose network a chosen sampler does not fit."""
    _described.cache_clear()
    known_words.cache_clear()  # files may have changed since this process made another plan
    for spec in specs:
        if spec.stage == "generator":
            if spec.source:
                _check_folder(spec)
            if spec.settings["source"] == "train":
                _check_side(spec)
        elif spec.stage == "anchors":
            _check_words(spec)
        elif spec.stage in DECODING:
            generator, settings = spec.inputs["generator"], spec.settings
            folder = pipeline_folder(generator)
            if folder is not None:
                require_sampler(
                    _described(folder, _setting(generator)),
                    settings["scheduler"],
                    settings["steps"],
                    str(folder),
                    adapted="lora" in generator.inputs,
                )
            elif generator.settings["source"] == "train" and settings["scheduler"] in (
                "lcm",
                "flow_euler",
            ):
                raise ValueError(
                    f"images.scheduler must be one for a network that predicts noise for {TRAINED},"
                    f" got {settings['scheduler']}; take pndm, ddim, dpmsolver++, unipc or euler"
                )


def _setting(generator: Spec) -> str:
    trained = generator.settings["source"] == "train"
    return "generator.train.init_from" if trained else "generator.path"


def _class_names(data: Spec) -> list[str]:
    """Return the classes of an ID data set as far as settings and folders tell."""
    if data.settings.get("classes"):
        return list(data.settings["classes"])
    if data.settings.get("kind") != "folder":
        return []
    return classes_below(Path(data.source))


def classes_below(folder: Path) -> list[str]:
    """Return the names of a folder's classes: its sub-folders, or those of its training split."""
    below = _folders_in(folder)
    for name in below:
        if name.lower() in SPLIT_NAMES["train"] and (classes := _folders_in(folder / name)):
            return classes
    return below


def _folders_in(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"
    )


def _check_words(anchors: Spec) -> None:
    """Raise ValueError for class words that are no token of the generator's."""
    generator, given = anchors.inputs["generator"], anchors.settings["words"]
    folder = pipeline_folder(generator)
    if folder is None and generator.settings["source"] != "train":
        return
    names = list(dict.fromkeys(_class_names(anchors.inputs["dataset"])) or given)
    aliases = {name: word for name, word in given.items() if name in names}
    known = None if folder is None else known_words(folder)
    words = class_words(names, aliases, known)
    if known is None:
        require_letters(words)
    elif known and (unknown := unknown_words(words, known)):
        raise ValueError(refusal(unknown, known))


def _check_folder(generator: Spec) -> None:
    setting, folder = _setting(generator), Path(generator.source)
    found = _described(folder, setting)
    require_whole_weights(folder, setting)
    fits = found.family == SD and found.prediction == "epsilon" and not found.guidance_embedded
    if generator.settings["source"] == "train" and not fits:
        raise ValueError(
            f"{setting} must be a Stable Diffusion pipeline whose UNet predicts the noise and reads"
            f" no guidance, got {folder}: {found.family}, {found.prediction}; "
            "take it as it is (source: local)"
        )
    require_weights(folder, setting)


def _check_side(generator: Spec) -> None:
    """Raise ValueError for pictures of another size than a generator that is trained makes."""
    side = SIDE
    if generator.source:
        found = _described(Path(generator.source), _setting(generator))
        halvings = len(found.decoder["block_out_channels"]) - 1
        side = found.denoiser["sample_size"] * 2**halvings
    if (size := generator.inputs["dataset"].settings["image"]["size"]) != side:
        raise ValueError(
            f"image.size must be {side} to train this generator, got {size}; a smaller or larger "
            "one is trained from a folder of that resolution (generator.train.init_from)"
        )
