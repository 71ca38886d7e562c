"""The methods and scores that a row of a table may name. Imports nothing heavy.

A method is a training module (see method.py) with the outliers that it sees and the scores that
its paper reads. A score is a function of what a trained detector leaves.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class MethodEntry:
    """One method. `module` is the package's module that trains it, or a file of one's own."""

    title: str
    paper: str
    module: str
    outliers: str = "none"
    scores: tuple[str, ...] = ("energy",)
    set: dict[str, dict[str, Any]] = field(default_factory=dict)  # as a row's, before the row's


METHODS = {
    "ce": MethodEntry("Cross-entropy", "", "cross_entropy"),
    "bood": MethodEntry("BOOD", "Liao et al. 2025", "energy_regulariser", "images"),
    "dreamood": MethodEntry(
        "DreamOOD", "Du et al. 2023", "energy_regulariser", "images",
        set={"ood_features": {"sampler": "dreamood"}},
    ),
    "godin": MethodEntry("GODIN", "Hsu et al. 2020", "godin", scores=("godin",)),
    "gan": MethodEntry("GAN", "Lee et al. 2018a", "gan", scores=("msp",)),
    "vos": MethodEntry("VOS", "Du et al. 2022", "vos", scores=("vos", "energy")),
    "npos": MethodEntry("NPOS", "Tao et al. 2023", "npos", scores=("npos", "knn")),
    "oe": MethodEntry(
        "Outlier Exposure", "Hendrycks et al. 2019", "outlier_exposure", "gan", ("msp", "energy")
    ),
}  # fmt: skip
PACKAGED = {entry.module for entry in METHODS.values()}


@dataclass(frozen=True)
class ScoreEntry:
    """One score. `fits`: on the training split's outputs; `gradients`: passes over the pictures
    again; `validated`: settings are chosen on the validation sets; `methods`: the training modules
    that it can read, none meaning all, `linear` those whose logits are one linear layer."""

    title: str
    paper: str
    fits: bool = False
    gradients: bool = False
    validated: bool = False
    linear: bool = False
    methods: tuple[str, ...] = ()


SCORES = {
    "msp": ScoreEntry("MSP", "Hendrycks & Gimpel 2017"),
    "odin": ScoreEntry("ODIN", "Liang et al. 2018", gradients=True, validated=True),
    "mahalanobis": ScoreEntry("Mahalanobis", "Lee et al. 2018b", fits=True),
    "mahalanobis_ensemble": ScoreEntry(
        "Mahalanobis, all stages", "Lee et al. 2018b", fits=True, validated=True
    ),
    "energy": ScoreEntry("Energy", "Liu et al. 2020"),
    "knn": ScoreEntry("KNN", "Sun et al. 2022", fits=True),
    "vim": ScoreEntry("ViM", "Wang et al. 2022", fits=True, linear=True),
    "react": ScoreEntry("ReAct", "Sun et al. 2021", fits=True, linear=True),
    "dice": ScoreEntry("DICE", "Sun & Li 2022", fits=True, linear=True),
    "godin": ScoreEntry("GODIN", "Hsu et al. 2020", gradients=True, methods=("godin",)),
    "vos": ScoreEntry("VOS", "Du et al. 2022", methods=("vos",)),
    "npos": ScoreEntry("NPOS", "Tao et al. 2023", methods=("npos",)),
}
NEEDS_OUTLIERS = ("energy_regulariser", "outlier_exposure")
NOT_LINEAR = ("godin", "npos")  # training modules without one linear layer after the features


PIXELS = "pixel_statistics"  # stands in tables beside the methods: what pixels alone could do
TEXTS = "text_statistics"  # the same for texts
CONTROLS = (PIXELS, TEXTS)
BEST, LENGTH = "best", "length"  # their scores
TITLES = {
    PIXELS: "Pixel statistics",
    TEXTS: "Text statistics",
    BEST: "best of four",
    LENGTH: "length before the cut",
}


def row_name(method: str, variant: str) -> str:
    """Return a row's name as people read it: `BOOD`, `BOOD · uniform-noise`."""
    title = METHODS[method].title if method in METHODS else TITLES.get(method, method)
    return " · ".join(filter(None, (title, variant)))


def score_name(score: str) -> str:
    """Return a score's name as people read it; an empty one where there is none."""
    return SCORES[score].title if score in SCORES else TITLES.get(score, score)


def fits(module: str, score: str) -> str:
    """Return why a score cannot be read from what a module trains, or an empty string."""
    entry = SCORES[score]
    if entry.methods and module not in entry.methods:
        return f"it reads what only {' and '.join(entry.methods)} trains"
    if entry.linear and module in NOT_LINEAR:
        return "it needs logits from one linear layer"
    return ""
