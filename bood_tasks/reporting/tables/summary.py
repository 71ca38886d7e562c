"""Averages over data sets and seeds of the rows of metrics.csv."""

import csv
import statistics
from pathlib import Path

AVERAGE = "average"
GROUP = (
    "method", "variant", "score", "id_dataset", "ood_dataset", "split", "metric", "convention",
)  # fmt: skip
COLUMNS = (*GROUP, "mean", "std", "n_seeds", "n_id", "n_ood")
Row = dict  # one row of metrics.csv or summary.csv


def _with_averages(rows: list[Row]) -> list[Row]:
    """Add, per seed, the plain mean over the test sets: every set counts the same."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if row["split"] == "test" and row["ood_dataset"]:
            key = tuple(row[k] for k in (*GROUP, "seed") if k != "ood_dataset")
            groups.setdefault(key, []).append(row)
    averages = [
        members[0]
        | {
            "ood_dataset": AVERAGE,
            "value": statistics.fmean(row["value"] for row in members),
            "n_ood": sum(row["n_ood"] for row in members),
        }
        for members in groups.values()
    ]
    return rows + averages


def aggregate(rows: list[Row]) -> list[Row]:
    """Mean and standard deviation (ddof = 1) over seeds of every figure and every average.

    The average over test sets is taken per seed, then over seeds; its n_ood is their sum.
    `std` is "" for one seed. Order: as in `rows`, averages last.
    """
    if any(row["ood_dataset"] == AVERAGE for row in rows):
        raise ValueError(f"datasets must not be called {AVERAGE!r}; rename it in the configuration")
    groups: dict[tuple, list[Row]] = {}
    for row in _with_averages(rows):
        groups.setdefault(tuple(row[key] for key in GROUP), []).append(row)
    found = []
    for key, members in groups.items():
        values = [row["value"] for row in members]
        found.append(
            dict(zip(GROUP, key, strict=True))
            | {
                "mean": statistics.fmean(values),
                "std": statistics.stdev(values) if len(values) > 1 else "",
                "n_seeds": len(values),
                "n_id": members[0]["n_id"],
                "n_ood": members[0]["n_ood"],
            }
        )
    return found


def percent(row: Row | None) -> str:
    """A figure in percent, `45.2 ± 1.3`; a dash where there is none."""
    if row is None:
        return "–"
    spread = "" if row["std"] == "" else f" ± {100 * row['std']:.1f}"
    return f"{100 * row['mean']:.1f}{spread}"


class Lookup:
    """Finds a figure of summary.csv by what a cell of the printed table knows."""

    def __init__(self, rows: list[Row]):
        self.rows = rows
        self._found = {tuple(row[key] for key in GROUP if key != "id_dataset"): row for row in rows}

    def datasets(self, *splits: str) -> dict[str, int]:
        """Names of the OOD sets of these splits, the average last, with n_ood."""
        return {
            row["ood_dataset"]: row["n_ood"]
            for row in self.rows
            if row["split"] in splits and row["ood_dataset"]
        }

    def split(self, dataset: str) -> str:
        """The split that an OOD set belongs to."""
        return next(row["split"] for row in self.rows if row["ood_dataset"] == dataset)

    def labels(self) -> list[tuple[str, str, str]]:
        """(method, variant, score) of each line of the table, in order."""
        return list(
            dict.fromkeys(
                (row["method"], row["variant"], row["score"]) for row in self.rows if row["score"]
            )
        )

    def cell(
        self, label: tuple, dataset: str, metric: str, convention: str = "", split: str = "test"
    ) -> Row | None:
        """The figure of one line on one set, or None."""
        return self._found.get((*label, dataset, split, metric, convention))

    def pair(self, label: tuple, dataset: str) -> tuple[str, str]:
        """FPR95 and AUROC of one line on one set, ID positive."""
        split = self.split(dataset)
        return (
            percent(self.cell(label, dataset, "fpr95", "id", split)),
            percent(self.cell(label, dataset, "auroc", "", split)),
        )

    def accuracy(self, label: tuple) -> Row | None:
        """The detector's accuracy on the ID test split."""
        return self.cell((*label[:2], ""), "", "id_acc")


def read_table(path: Path) -> list[Row]:
    """Return summary.csv's rows with numbers as numbers; `std` stays "" where there is none."""
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        row |= {key: int(row[key]) for key in ("n_seeds", "n_id", "n_ood")}
        row["mean"] = float(row["mean"])
        row["std"] = float(row["std"]) if row["std"] else ""
    return rows


def save_summary(rows: list[Row], path: Path) -> None:
    """Write what aggregate returns, as read_table reads it."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
