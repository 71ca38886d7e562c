"""What every sampler of outlier features is given, and what it returns.

A sampler is one module of this folder, named in catalogue/samplers, with one function,
`sample(training, settings) -> Sampled`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Int32, Int64
from torch import Tensor


@dataclass(frozen=True)
class Distances:
    """Steps of each feature to the decision boundary, as the stage `distances` leaves them.

    `step_size`: the α that was found where the settings say auto, None where they name it.
    """

    steps: Int[np.ndarray, " n"]
    crossed: Bool[np.ndarray, " n"]
    margin: Float[np.ndarray, " n"]
    exact: Bool[np.ndarray, " n"]
    step_size: float | None = None

    def __post_init__(self):
        """Raise ValueError for numbers that no stage of ours writes."""
        bad = (self.steps < 0) | ~np.isfinite(self.margin)
        if bad.any():
            raise ValueError(
                f"distances must have steps from 0 on and finite margins, and {bad.sum():,} of "
                f"{len(bad):,} have not, first row {bad.argmax()}; make the distances anew"
            )


@dataclass(frozen=True)
class TrainingFeatures:
    """The training features, their classes, and the anchors; `distances` if the sampler reads them.

    Features and anchors lie on the job's device.
    """

    features: Float[Tensor, "n d"]
    labels: Int[np.ndarray, " n"]
    anchors: Float[Tensor, "v d"]
    classes: list[str]
    distances: Distances | None


@dataclass(frozen=True)
class Sampled:
    """Outlier vectors before they are rescaled, sorted by class.

    `labels`: the class each started from; `rows`: the feature; `steps`: its distance, -1 without
    one. `counts`: what ood_features.json says per class: selected, dropped_misclassified,
    skipped_never_crossed, cut, tie_mass, and with an overshoot `overshoot`, the margin beyond the
    boundary, and short_of_overshoot, the vectors that did not get so far.
    """

    vectors: Float[Tensor, "m d"]
    labels: Int64[Tensor, " m"]
    rows: Int64[np.ndarray, " m"]
    steps: Int32[np.ndarray, " m"]
    counts: dict[str, dict[str, int] | dict[str, float]]


def plain_counts(classes: Sequence[str], selected: Iterable[int]) -> dict[str, dict[str, int]]:
    """Return the counts of a sampler that selects `selected` of each class and drops nothing."""
    none = dict.fromkeys(classes, 0)
    return {
        "selected": dict(zip(classes, selected, strict=True)),
        "dropped_misclassified": none,
        "skipped_never_crossed": none,
        "cut": {},
        "tie_mass": {},
    }


@runtime_checkable
class Sampler(Protocol):
    """A sampler's module."""

    def sample(self, training: TrainingFeatures, settings: Mapping[str, Any]) -> Sampled:
        """Return the outlier vectors; `settings` are those that the sampler reads, and the seed."""
