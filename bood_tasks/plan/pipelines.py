"""Whether text-to-image folders fit what a plan asks of them, before the first job."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bood_tasks.artifacts.outside import require_whole_weights
from bood_tasks.artifacts.spec import Spec
from bood_tasks.networks.pipelines import FOLDER, SD, Pipeline, describe, require_sampler

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
    _described.cache_clear()  # files may have changed since this process made another plan
    for spec in specs:
        if spec.stage == "generator" and spec.source:
            _check_folder(spec)
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
