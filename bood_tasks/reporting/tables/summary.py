"""Averages over data sets and seeds of the rows of metrics.csv."""

import statistics
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from types import MappingProxyType

import pandas as pd

from bood_tasks.catalogue.metrics import AVERAGE, better, group_average, is_average
from bood_tasks.catalogue.titles import CONTROLS
from bood_tasks.reporting.tables.frames import Row, records
from bood_tasks.scoring.metrics import KEYS

Label = tuple[str, str, str]  # method, variant, score


def average_over_sets(
    results: pd.DataFrame, names: Sequence[str] = (), called: str = AVERAGE
) -> pd.DataFrame:
    """Return, per seed, the plain mean over the test sets, or over those of these `names`: every
    set counts the same."""
    tests = results[(results["split"] == "test") & (results["ood_dataset"] != "")]
    if names:
        tests = tests[tests["ood_dataset"].isin(names)]
    keys = [name for name in (*KEYS, "seed") if name != "ood_dataset"]
    averages = tests.groupby(keys, sort=False, as_index=False).agg(
        value=("value", statistics.fmean), n_id=("n_id", "first"), n_ood=("n_ood", "sum")
    )
    return averages.assign(ood_dataset=called)


def aggregate(
    results: pd.DataFrame, groups: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> pd.DataFrame:
    """Return mean and standard deviation (ddof = 1) over seeds of every value and every average:
    over all test sets, and over those of each group.

    The average over test sets is taken per seed, then over seeds; its n_ood is their sum.
    `std` is NaN for one seed. Order: as in `results`, the rows of metrics.csv, averages last.
    Raises ValueError for a value that is no rate, a row that stands twice, and no rows.
    """
    if results["ood_dataset"].map(is_average).any():
        raise ValueError(f"datasets must not be called {AVERAGE!r}; rename it in the configuration")
    if results.empty:
        raise ValueError("metrics.csv must have rows, and has none; make the metrics again")
    for wrong, what in (
        (~results["value"].between(0, 1), "a value from 0 to 1"),
        (results.duplicated([*KEYS, "seed"]), "each row once"),
    ):
        if wrong.any():
            row = results[wrong].iloc[0]
            named = ", ".join(f"{key} {row[key]}" for key in (*KEYS, "seed", "value") if row[key])
            raise ValueError(f"metrics.csv must hold {what}, got {named}; make the metrics again")
    every = pd.concat(
        [
            results,
            average_over_sets(results),
            *(average_over_sets(results, groups[name], group_average(name)) for name in groups),
        ]
    )
    return every.groupby(list(KEYS), sort=False, as_index=False).agg(
        mean=("value", statistics.fmean),
        std=("value", lambda values: statistics.stdev(values) if len(values) > 1 else float("nan")),
        n_seeds=("value", "size"),
        n_id=("n_id", "first"),
        n_ood=("n_ood", "first"),
    )


def percent(row: Row | None) -> str:
    """Return a value in percent, `45.2 ± 1.3`; a dash where there is none."""
    if row is None:
        return "–"
    spread = "" if row["std"] is None else f" ± {100 * row['std']:.1f}"
    return f"{100 * row['mean']:.1f}{spread}"


class Lookup:
    """Finds a value of summary.csv by what a cell of the printed table knows."""

    def __init__(self, summary: pd.DataFrame):
        self.rows = records(summary)
        self._by_key = {
            tuple(row[key] for key in KEYS if key != "id_dataset"): row for row in self.rows
        }

    def datasets(self, *splits: str) -> dict[str, int]:
        """Return the names of the OOD sets of these splits, averages last, with n_ood."""
        return {
            row["ood_dataset"]: row["n_ood"]
            for row in self.rows
            if row["split"] in splits and row["ood_dataset"]
        }

    def split(self, dataset: str) -> str:
        """Return the split that an OOD set belongs to."""
        return next(row["split"] for row in self.rows if row["ood_dataset"] == dataset)

    def labels(self) -> list[Label]:
        """Return (method, variant, score) of each line of the table, in order."""
        return list(
            dict.fromkeys(
                (row["method"], row["variant"], row["score"]) for row in self.rows if row["score"]
            )
        )

    def cell(
        self,
        label: Sequence[str],
        dataset: str,
        metric: str,
        convention: str = "",
        split: str = "test",
    ) -> Row | None:
        """Return the value of one line on one set, or None."""
        return self._by_key.get((*label, dataset, split, metric, convention))

    def best(self, dataset: str, metric: tuple[str, str]) -> set[Label]:
        """Return the lines that hold the best mean of a column, the set and metric.

        Controls hold none: their statistics were chosen on the test sets.
        """
        split = self.split(dataset)
        detectors = [label for label in self.labels() if label[0] not in CONTROLS]
        rows = {label: self.cell(label, dataset, *metric, split) for label in detectors}
        means = {label: row["mean"] for label, row in rows.items() if row}
        if not means:
            return set()
        best = reduce(partial(better, metric[0]), means.values())
        return {label for label, mean in means.items() if mean == best}

    def accuracy(self, label: Label) -> Row | None:
        """Return the detector's accuracy on the ID test split."""
        return self.cell((*label[:2], ""), "", "id_acc")

    def first_accuracy(self) -> Row:
        """Return the accuracy of the first detector: its n_id and n_seeds are every one's."""
        return next(row for row in self.rows if (row["metric"], row["split"]) == ("id_acc", "test"))
