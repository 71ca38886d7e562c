"""Whether text-to-image folders fit what a plan asks of them, before the first job."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bood_tasks.artifacts.outside import require_whole_weights
from bood_tasks.artifacts.spec import Spec
from bood_tasks.catalogue.datasets import SPLIT_NAMES
from bood_tasks.networks.headers import require_weights
from bood_tasks.networks.pipelines import FOLDER, SD, Pipeline, describe, require_sampler
from bood_tasks.networks.words import known_words, refusal, unknown_words

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
        if spec.stage == "generator" and spec.source:
            _check_folder(spec)
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
    folder = Path(data.source)
    found = {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"}
    if found & {name for names in SPLIT_NAMES.values() for name in names}:
        return []  # classes lie below; the job says which words it lacks
    return sorted(found)


def _check_words(anchors: Spec) -> None:
    """Raise ValueError for class words that are no token of the generator's."""
    generator, given = anchors.inputs["generator"], anchors.settings["words"]
    folder = pipeline_folder(generator)
    if folder is None or generator.settings["source"] == "train":
        return
    names = dict.fromkeys(_class_names(anchors.inputs["dataset"])) or given
    known = known_words(folder)
    if known and (unknown := unknown_words({x: given.get(x, x) for x in names}, known)):
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
