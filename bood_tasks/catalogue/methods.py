"""The methods that a row of a table may name. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Any

MADE = ("decoded", "generated")  # kinds of outliers that a generator makes
CONFIDENCE = "confidence"  # of a method: read off pictures that are moved along its gradient


@dataclass(frozen=True)
class MethodEntry:
    """One method and every fact of it that others ask for.

    `module`: its module in detectors/methods, or the name of a method of one's own.
    `outliers`: what its rows see unless they say otherwise.
    `scores`: what its rows read unless they say otherwise; the first is that of the published row.
    `set`: settings of its rows, which a row's own `set` overrides.
    `section`, `keys`: what of `detector` it alone reads: a section, or settings outside of one.
    `own_score`: the score that it alone has, named as its module: an output, or CONFIDENCE, which
    is also the output of pictures that are not moved.
    `needs_outliers`: it cannot be trained without.
    `linear`: its logits are one linear layer of the features.
    `features`: it reads penultimate features in training.
    `texts`: it can be trained on texts.
    `sized`: it also takes the pictures' `size` in pixels.
    `goe`: its rows stand in GOE's tables and figures.
    """

    title: str
    paper: str
    module: str
    outliers: str = "none"
    scores: tuple[str, ...] = ("energy",)
    set: dict[str, dict[str, Any]] = field(default_factory=dict)
    section: str = ""
    keys: tuple[str, ...] = ()
    own_score: str = ""
    needs_outliers: bool = False
    linear: bool = True
    features: bool = False
    texts: bool = False
    sized: bool = False
    goe: bool = False


_EQUATION_7: dict[str, Any] = {
    "module": "energy_regulariser",
    "outliers": "images",
    "keys": ("ood_weight", "reduction", "phi", "soft_labels", "soft_weight", "distance_margin"),
    "needs_outliers": True,
    "texts": True,
}
METHODS = {
    "ce": MethodEntry("Cross-entropy", "", "cross_entropy", texts=True),
    "bood": MethodEntry("BOOD", "Liao et al. 2025", **_EQUATION_7),
    "dreamood": MethodEntry(
        "DreamOOD", "Du et al. 2023", **_EQUATION_7, set={"ood_features": {"sampler": "dreamood"}}
    ),
    "godin": MethodEntry(
        "GODIN", "Hsu et al. 2020", "godin", scores=("godin", "godin_unperturbed"),
        own_score=CONFIDENCE, linear=False, features=True,
    ),
    "gan": MethodEntry(
        "GAN", "Lee et al. 2018a", "gan", scores=("msp",), section="gan", sized=True
    ),
    "vos": MethodEntry(
        "VOS", "Du et al. 2022", "vos", scores=("energy", "vos"), section="vos",
        own_score="weighted_energy", texts=True, features=True,
    ),
    "npos": MethodEntry(
        "NPOS", "Tao et al. 2023", "npos", scores=("knn", "npos"), section="npos",
        own_score="id_logit", linear=False, features=True,
    ),
    "hamos": MethodEntry(
        "HamOS", "Li & Zhang 2025", "hamos", scores=("knn", "energy"), section="hamos",
        linear=False, features=True,
    ),
    "gcos": MethodEntry(
        "GCOS", "Karzanov & Detyniecki 2026", "gcos", section="gcos", texts=True, features=True,
    ),
    "ascood": MethodEntry(
        "ASCOOD", "Regmi 2024", "ascood", scores=("msp", "energy"), section="ascood",
        features=True,
    ),
    "oe": MethodEntry(
        "Outlier Exposure", "Hendrycks et al. 2019", "outlier_exposure", "gan", ("msp", "energy"),
        section="outlier_exposure", needs_outliers=True, texts=True, goe=True,
    ),
}  # fmt: skip
PACKAGED = {entry.module for entry in METHODS.values()}
SECTIONS = tuple(entry.section for entry in METHODS.values() if entry.section)
KEYS = {key for entry in METHODS.values() for key in entry.keys}
