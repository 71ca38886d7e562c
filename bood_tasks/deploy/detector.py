"""A trained detector in use: pictures or texts in, scores, decisions and classes out.

Larger scores are more ID. Nothing is fitted or chosen here: the score is as its artifact left it,
and thresholds follow from the scores of ID validation samples, never of test samples. Needs numpy
and Pillow alone; what runs the network is given: onnxruntime (bundle.py) or torch (trained.py).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bood_tasks.catalogue.array_types import Float
from bood_tasks.catalogue.scores import LEVEL
from bood_tasks.datasets.pictures import Given
from bood_tasks.deploy.inputs import PictureInput, TextInput
from bood_tasks.scoring.roc import first_threshold

Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # a batch: its scores and logits


class NoThreshold(ValueError):
    """A detector has no ID validation scores, so that no threshold follows from any."""


@dataclass(frozen=True)
class Verdict:
    """What a detector says of n samples."""

    scores: Float[np.ndarray, " n"]  # larger = more ID
    decisions: np.ndarray  # "ID" where the score reaches the threshold, else "OOD"; "": none there
    classes: np.ndarray  # name of the most likely ID class, for OOD samples as well


@dataclass(frozen=True)
class Detector:
    """A trained detector with one score; `load_detector` makes it.

    `classes` are the ID class names in the order of the logits; `calibration` is the split by whose
    scores, `reference`, thresholds are set: "" and None where no ID samples were held out.
    """

    score: str
    classes: list[str]
    input: PictureInput | TextInput
    run: Run = field(repr=False)
    calibration: str = ""
    reference: Float[np.ndarray, " m"] | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """What it reads: `pictures` or `texts`."""
        return self.input.kind

    def threshold(self, tpr: float = LEVEL) -> float:
        """Return the strictest threshold that accepts at least a share `tpr` of `calibration`.

        The rule `first` of metrics. Raises ValueError unless 0 < tpr <= 1, and NoThreshold if no
        ID samples were held out.
        """
        if self.reference is None:
            raise NoThreshold(
                "this detector has no threshold: its ID data set held no validation samples out, "
                "and one set on test samples would flatter their figures. Hold some out "
                "(datasets.<name>.validation_per_class, or validation) and run the row again, or "
                "choose a score yourself: --threshold X, detector(..., threshold=X)"
            )
        return float(first_threshold(self.reference, tpr))

    def chosen(self, tpr: float, threshold: float | None) -> float | None:
        """Return the threshold that is meant: the one given, else that of `tpr`; None if there is
        none. Raises ValueError for one that is no number, and as `threshold` for a bad share."""
        if threshold is not None:
            if not np.isfinite(threshold):
                raise ValueError(f"threshold must be a finite number, got {threshold}")
            return float(threshold)
        if not 0 < tpr <= 1:
            raise ValueError(f"tpr must be in (0, 1], got {tpr}; write 95 % as 0.95")
        return None if self.reference is None else self.threshold(tpr)

    def read(self, items: Given, converted: Counter[str] | None = None) -> list:
        """Return each item as the network takes it, or, as a text, why it cannot be read.

        Pictures are paths, PIL pictures, bytes of files or uint8 [h, w, 3] of any size; texts are
        texts (str), paths (Path) or bytes of files. `converted` counts what was done to pixels.
        """
        return self.input.read(items, converted)

    def judge(
        self,
        rows: Sequence[np.ndarray] | np.ndarray,
        *,
        tpr: float = LEVEL,
        threshold: float | None = None,
    ) -> Verdict:
        """Return what the detector says of samples that `read` returned.

        Raises ValueError if a score is not finite.
        """
        found = [self.run(batch) for batch in self.input.batches(rows)]
        scores = np.concatenate([score for score, _ in found])
        logits = np.concatenate([logit for _, logit in found])
        if bad := int((~(np.isfinite(scores) & np.isfinite(logits).all(1))).sum()):
            raise ValueError(
                f"{self.score} and logits must be finite, and are not for {bad} of {len(scores)} "
                f"{self.kind}: the detector diverged; train it again with a lower detector.lr"
            )
        at = self.chosen(tpr, threshold)
        decisions = np.full(len(scores), "") if at is None else np.where(scores >= at, "ID", "OOD")
        return Verdict(scores, decisions, np.array(self.classes)[logits.argmax(1)])

    def __call__(
        self, items: Given, *, tpr: float = LEVEL, threshold: float | None = None
    ) -> Verdict:
        """Return scores, decisions and classes of pictures or texts: what `bood score` writes.

        Raises TypeError or ValueError for other things, and ValueError that names what is
        unreadable.
        """
        self.chosen(tpr, threshold)  # refuse a bad one before reading
        found = self.read(items)
        if unreadable := [item for item in found if isinstance(item, str)]:
            raise ValueError(
                f"{len(unreadable)} {self.kind} are unreadable: {'; '.join(unreadable)}"
            )
        if not found:
            raise ValueError(f"there must be at least one of {self.kind}, got none")
        return self.judge(found, tpr=tpr, threshold=threshold)
