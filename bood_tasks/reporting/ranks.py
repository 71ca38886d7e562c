"""How rows rank over data sets, and which ranks differ by more than chance (Demšar 2006).

A test set is a block, its figure the mean over seeds: seeds of one set are no further data sets.
Friedman's test, in Iman and Davenport's form, asks whether the rows differ at all. Two mean ranks
differ where they lie further apart than Nemenyi's critical difference. (Wilcoxon's signed-rank test
with Holm's correction can tell nothing apart on four sets: its smallest p is 1/8.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy.stats import f, friedmanchisquare, rankdata, studentized_range

from bood_tasks.catalogue.array_types import Float
from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.catalogue.titles import CONTROLS
from bood_tasks.reporting.tables.summary import Label

LEVEL = 0.05
FEWEST = 3  # sets and rows
FEW = 10  # blocks below which the test has little power (Demšar 2006, section 3.2.2)


@dataclass(frozen=True)
class Ranks:
    """Mean ranks over `sets` data sets, 1 the best; `chance`: Friedman's p; `critical`: the
    difference from which on two mean ranks differ by more than chance."""

    mean: Mapping[Label, float]
    sets: int
    chance: float
    critical: float

    def cliques(self) -> list[tuple[float, float]]:
        """Return the ranges of mean ranks, first and last, within which no two rows differ: each as
        wide as can be, those of one row left out."""
        ordered, found = np.sort([*self.mean.values()]), []
        for first in ordered:
            last = ordered[ordered <= first + self.critical].max()
            if last > first and (not found or last > found[-1][1]):
                found.append((float(first), float(last)))
        return found


def friedman(values: Float[ndarray, "k n"]) -> float:
    """Return the probability of ranks as different by chance: K rows on N blocks, Iman and
    Davenport's F; 1 where all are equal."""
    rows, blocks = values.shape
    if (values == values[:1]).all():
        return 1.0
    statistic = friedmanchisquare(*values).statistic
    left = blocks * (rows - 1) - statistic
    if left <= 1e-9:  # every block ranks the rows alike
        return 0.0
    return float(f.sf((blocks - 1) * statistic / left, rows - 1, (rows - 1) * (blocks - 1)))


def critical_difference(rows: int, blocks: int) -> float:
    """Return q √(k (k + 1) / 6 N), q the studentised range's 95 % point over √2 (Nemenyi)."""
    q = studentized_range.ppf(1 - LEVEL, rows, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(rows * (rows + 1) / (6 * blocks)))


def rank(results: pd.DataFrame, metric: str) -> Ranks | None:
    """Return the ranks of all rows of metrics.csv over the test sets, by auroc or fpr95 (ID
    positive); None for fewer than three sets or rows."""
    chosen = results[
        (results["split"] == "test")
        & (results["metric"] == metric)
        & results["convention"].isin(["", "id"])
        & ~results["method"].isin(CONTROLS)
    ]
    keys = ["method", "variant", "score"]
    means = chosen.groupby([*keys, "ood_dataset"], sort=False)["value"].mean().unstack()
    values = means.to_numpy()
    if min(values.shape, default=0) < FEWEST:
        return None
    sign = -1 if METRICS[metric].higher_is_better else 1
    ranks = rankdata(sign * values, axis=0).mean(1)
    labels: Sequence[Label] = list(means.index)
    return Ranks(
        dict(zip(labels, map(float, ranks), strict=True)),
        values.shape[1],
        friedman(values),
        critical_difference(*values.shape),
    )


def said(results: pd.DataFrame, metric: str = "auroc") -> str:
    """Say what ranks over the test sets tell, or why nothing."""
    found = rank(results, metric)
    if found is None:
        return (
            f"Ranks over data sets, with a critical difference, need {FEWEST} test sets and "
            f"{FEWEST} rows, and this run has fewer."
        )
    best = min(found.mean.values())
    same = sum(rank <= best + found.critical for rank in found.mean.values()) - 1
    others = len(found.mean) - 1
    differ = "do not differ by more than chance" if found.chance >= LEVEL else "differ"
    text = (
        f"Ranked on {found.sets} test sets by {METRICS[metric].title}, rows {differ} (Friedman, p ="
        f" {found.chance:.2g}); {same} of {others} lie within the critical difference of "
        f"{found.critical:.1f} ranks of the first."
    )
    if found.sets < FEW:
        text += " So few sets give the test little power: rows that are not told apart may differ."
    return text
