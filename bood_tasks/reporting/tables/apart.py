"""Which rows can be told apart: differences.csv by its rows, and the mark of those that cannot.

There is one meaning of it in tables, findings and figures: the 95 % interval of the difference,
paired over samples and seeds, leaves out 0 (scoring/differences.py). Choosing on validation sets
(reporting/choice.py) asks another thing, whether another training would choose otherwise on these
samples, of any of the sets: its t-test is over seeds.
"""

from typing import NamedTuple

import pandas as pd

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.reporting.tables.frames import read_csv, records
from bood_tasks.reporting.tables.summary import Label
from bood_tasks.scoring import differences

SIGN = "≈"  # behind a figure that cannot be told from the best of its column
MEANING = (
    "cannot be told apart from the best of its column: the 95 % interval of their difference, "
    "paired over samples and seeds, holds 0"
)
ONE_SEED = "; with one seed over samples alone, another training may differ more"
KEYS = ("ood_dataset", "split", "metric", "convention")


class Difference(NamedTuple):
    """The figure of one row less that of another, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def apart(self) -> bool:
        return differences.apart(self.low, self.high)

    @property
    def turned(self) -> "Difference":
        """The same from the other row's side."""
        return Difference(-self.value, -self.high, -self.low)

    def is_better(self, metric: str) -> bool:
        """Whether the first row's figure is the better one."""
        return (self.value > 0) == METRICS[metric].higher_is_better and self.value != 0


class Differences:
    """Finds the difference of two rows on a set, or on an average over sets."""

    def __init__(self, table: pd.DataFrame | None = None):
        self._of: dict[tuple, Difference] = {}
        for row in records(table) if table is not None else ():
            one = row["method"], row["variant"], row["score"]
            other = row["than_method"], row["than_variant"], row["than_score"]
            place = tuple(row[key] for key in KEYS)
            found = Difference(row["difference"], row["low"], row["high"])
            self._of[one, other, *place] = found
            self._of[other, one, *place] = found.turned

    def __len__(self) -> int:
        return len(self._of)

    def find(
        self, one: Label, other: Label, dataset: str, metric: str, split: str = "test"
    ) -> Difference | None:
        """Return the figure of one row less the other's (FPR95: ID positive); None where it is not
        known."""
        convention = "id" if metric == "fpr95" else ""
        return self._of.get((tuple(one), tuple(other), dataset, split, metric, convention))

    def tied(
        self, one: Label, best: set[Label], dataset: str, metric: tuple[str, str], split: str
    ) -> bool:
        """Whether a row is none of the best of a column and cannot be told apart from each."""
        found = [self._of.get((one, label, dataset, split, *metric)) for label in best]
        return one not in best and bool(found) and all(x and not x.apart for x in found)


UNKNOWN = Differences()  # of a table without any


def meaning(seeds: int) -> str:
    """Return what SIGN says of a table of so many seeds."""
    return MEANING + (ONE_SEED if seeds == 1 else "")


def read_differences(metrics: Artifact) -> Differences:
    """Return the differences beside an artifact's metrics.csv."""
    return Differences(read_csv(metrics.folder / "differences.csv"))
