"""The stages: each one's module, what it needs of a machine, and its VERSION.

A stage's name is also the name of its rule, of its folder below artifacts/ and of its logs.
"""

import re
from dataclasses import dataclass
from functools import cache

from bood_tasks import PACKAGE


@dataclass(frozen=True)
class Stage:
    """One stage. `module` is its module within the package, its room first.

    `gpu`: its jobs lease a GPU where there is one. `outside`: it may read a file or a folder from
    outside. `packs`: its artifacts are index ranges of one thing, and one job may make several.
    `mem_mb`, `minutes`: what every job of it asks for at least; PyTorch's libraries, a CUDA context
    and the shipped weights fit.
    """

    module: str
    gpu: bool = False
    outside: bool = False
    packs: bool = False
    mem_mb: int = 2000
    minutes: int = 10

    @property
    def room(self) -> str:
        """The sub-package that the stage's module stands in."""
        return self.module.split(".")[0]


STAGES = {
    "dataset": Stage("datasets.dataset", outside=True, minutes=30),
    "corpus": Stage("datasets.corpus", outside=True, minutes=30),
    "vocabulary": Stage("datasets.vocabulary", outside=True),
    "tokens": Stage("datasets.tokens"),
    "lora": Stage("generators.text_to_image.lora", outside=True),
    "generator": Stage(
        "generators.text_to_image.generator", gpu=True, outside=True, mem_mb=4000, minutes=600
    ),
    "gan_generator": Stage(
        "generators.biggan.gan_generator", gpu=True, outside=True, mem_mb=4000, minutes=1440
    ),
    "language_model": Stage(
        "generators.language_model.language_model",
        gpu=True, outside=True, mem_mb=4000, minutes=600,
    ),
    "anchors": Stage("synthesis.anchors"),
    "encoder": Stage("synthesis.encoder", gpu=True, mem_mb=4000, minutes=120),
    "features": Stage("synthesis.features", gpu=True, mem_mb=4000, minutes=20),
    "distances": Stage("synthesis.distances", gpu=True, mem_mb=4000, minutes=30),
    "ood_features": Stage("synthesis.ood_features", gpu=True, mem_mb=4000, minutes=20),
    "images": Stage("synthesis.images", gpu=True, packs=True, mem_mb=8000, minutes=60),
    "gan_images": Stage("synthesis.gan_images", gpu=True, packs=True, mem_mb=4000, minutes=60),
    "texts": Stage("synthesis.texts", gpu=True, packs=True, mem_mb=4000, minutes=60),
    "trajectory": Stage("synthesis.trajectory", gpu=True, mem_mb=8000),
    "strips": Stage("synthesis.strips", gpu=True, mem_mb=8000, minutes=20),
    "outlier_filter": Stage(
        "detectors.outlier_filter", gpu=True, outside=True, mem_mb=4000, minutes=60
    ),
    "network": Stage("detectors.network", outside=True),
    "pretrained": Stage("detectors.pretrained", outside=True, mem_mb=4000),
    "detector": Stage("detectors.detector", gpu=True, outside=True, mem_mb=4000, minutes=240),
    "outputs": Stage("scoring.outputs", gpu=True, outside=True, mem_mb=4000, minutes=30),
    "scores": Stage("scoring.scores", gpu=True, outside=True, mem_mb=4000, minutes=30),
    "outlier_statistics": Stage(
        "scoring.outlier_statistics", gpu=True, outside=True, mem_mb=4000, minutes=30
    ),
    "epochs": Stage("scoring.epochs", gpu=True, mem_mb=4000, minutes=120),
    "outlier_distance": Stage(
        "scoring.outlier_distance", gpu=True, outside=True, mem_mb=4000, minutes=20
    ),
    "pixel_statistics": Stage("scoring.pixel_statistics"),
    "text_statistics": Stage("scoring.text_statistics"),
    "metrics": Stage("scoring.metrics"),
    "tables": Stage("reporting.tables.tables"),
    "ablations": Stage("reporting.tables.ablations"),
    "costs": Stage("reporting.tables.costs"),
    "goe_tables": Stage("reporting.tables.goe_tables"),
    "figures": Stage("reporting.figures.figures", mem_mb=4000, minutes=20),
    "examples": Stage("reporting.figures.examples", mem_mb=4000, minutes=20),
    "sweeps": Stage("reporting.figures.sweeps"),
    "gallery": Stage("reporting.figures.gallery", mem_mb=4000, minutes=20),
    "best": Stage("reporting.figures.best"),
    "comparison": Stage("reporting.figures.comparison"),
    "choice": Stage("reporting.figures.choice"),
    "losses": Stage("reporting.figures.losses"),
    "goe_sweeps": Stage("reporting.figures.goe_sweeps"),
    "goe_epochs": Stage("reporting.figures.goe_epochs"),
    "goe_gallery": Stage("reporting.figures.goe_gallery"),
    "report": Stage("reporting.report"),
}  # fmt: skip


@cache
def _version_in(module: str) -> int:
    source = PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    return int(re.search(r"^VERSION = (\d+)$", source, re.MULTILINE).group(1))


def version_of(stage: str) -> int:
    """Return a stage's VERSION without importing its module (and torch with it)."""
    return _version_in(STAGES[stage].module)


def method_version(module: str) -> int:
    """Return the VERSION of a method of detectors/methods, likewise."""
    return _version_in(f"detectors.methods.{module}")
