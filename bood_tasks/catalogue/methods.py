"""The methods that a row of a table may name. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Any

NEEDS_OUTLIERS = ("energy_regulariser", "outlier_exposure")
NOT_LINEAR = ("godin", "npos")  # training modules without one linear layer after the features
GOE = "oe"


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
