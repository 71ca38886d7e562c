"""`bood monitor`: has a stream drifted away from the ID samples that a detector was calibrated on?

Two tests against the calibration scores of the bundle, neither of which assumes a distribution of
the scores. *Share*: more samples below the threshold than new ID samples have; the threshold is
itself an order statistic of n scores, so their number among m is beta-binomial. *Scores*: both
samples of scores have one distribution (Kolmogorov and Smirnov, by scipy, where that is there).
Each is held to half of `alpha`, so that a stream that has not drifted is said to have with that
chance at most.
"""

from dataclasses import dataclass
from math import exp, lgamma

import numpy as np

from bood_tasks.catalogue.array_types import Float
from bood_tasks.deploy.detector import Detector
from bood_tasks.scoring.intervals import share_interval

ALPHA = 0.01  # chance of a false alarm
FEW = 50  # new samples below which hardly any drift is seen


@dataclass(frozen=True)
class Drift:
    """What a stream of `count` samples says; chances and shares in [0, 1].

    `share`: of samples below the threshold, with its 95 % interval; `expected`: of ID samples, by
    the calibration split; `distance`: the largest one between both distribution functions, and its
    `p_scores`, None without scipy.
    """

    count: int
    threshold: float
    share: float
    low: float
    high: float
    expected: float
    p_share: float
    distance: float | None
    p_scores: float | None
    alpha: float

    @property
    def drifted(self) -> bool:
        return min(self.p_share, 1.0 if self.p_scores is None else self.p_scores) < self.alpha / 2


def more_below(below: int, count: int, accepted: int, calibrated: int) -> float:
    """Return the chance that at least `below` of `count` new ID samples lie below a threshold that
    `accepted` of `calibrated` ones reach.

    Their share has the distribution Beta(calibrated + 1 - accepted, accepted).
    """
    a, b = calibrated + 1 - accepted, max(accepted, 0.5)
    constant = lgamma(count + 1) + lgamma(a + b) - lgamma(a) - lgamma(b) - lgamma(count + a + b)
    return min(
        1.0,
        sum(
            exp(
                constant + lgamma(x + a) + lgamma(count - x + b) - lgamma(x + 1)
                - lgamma(count - x + 1)
            )
            for x in range(below, count + 1)
        ),
    )  # fmt: skip


def _two_samples(
    scores: Float[np.ndarray, " m"], reference: Float[np.ndarray, " n"]
) -> tuple[float | None, float | None]:
    """Return Kolmogorov and Smirnov's distance and its chance; None without scipy."""
    try:
        from scipy.stats import ks_2samp
    except ImportError:
        return None, None
    found = ks_2samp(scores, reference)
    return float(found.statistic), float(found.pvalue)


def drift(
    detector: Detector,
    scores: Float[np.ndarray, " m"],
    *,
    tpr: float,
    threshold: float | None = None,
    alpha: float = ALPHA,
) -> Drift:
    """Return whether scores of a stream are those of ID samples.

    Raises NoThreshold for a detector without calibration scores, ValueError for no scores or an
    `alpha` outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}; write 1 % as 0.01")
    at = detector.chosen(tpr, threshold)
    if detector.reference is None:
        detector.threshold(tpr)  # which says why there is none to compare with
    if not len(scores):
        raise ValueError("there must be something that can be read, got nothing")
    reference, count = detector.reference, len(scores)
    below, accepted = int((scores < at).sum()), int((reference >= at).sum())
    low, high = share_interval(below, count)
    distance, p_scores = _two_samples(scores, reference)
    return Drift(
        count, float(at), below / count, low, high, 1 - accepted / len(reference),
        more_below(below, count, accepted, len(reference)), distance, p_scores, alpha,
    )  # fmt: skip


def told(found: Drift, detector: Detector) -> list[str]:
    """Return the lines that say it."""
    lines = [
        f"{found.share:.2%} of {found.count:,} {detector.kind} are OOD "
        f"({found.low:.2%} to {found.high:.2%}); of ID ones {found.expected:.2%} are, by "
        f"{len(detector.reference):,} of {detector.calibration}",
        f"share: as many or more with chance {found.p_share:.2g}",
    ]
    if found.p_scores is None:
        lines.append("scores: not compared, for scipy is not installed; pip install scipy")
    else:
        lines.append(f"scores: distance {found.distance:.3f}, with chance {found.p_scores:.2g}")
    if found.count < FEW:
        lines.append(f"fewer than {FEW} are little to see a drift by")
    lines.append(
        f"drift: a chance lies below {found.alpha / 2:g}, half of --alpha"
        if found.drifted
        else f"no drift is seen: no chance lies below {found.alpha / 2:g}, half of --alpha"
    )
    return [line.replace("%", " %") for line in lines]
