"""The tables that people read, from metrics.csv: mean and deviation over seeds, in percent.

summary.csv is tidy, fractions at full precision; summary.md shows it with the choices that decide
the numbers as footnotes. Tables 1, 2 and 7 set the same figures beside the paper's.
"""

import csv
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

from bood_tasks.footnotes import footnotes
from bood_tasks.metrics import read_rows
from bood_tasks.paper_tables import save_quality
from bood_tasks.published import compare
from bood_tasks.registry import row_name, score_name
from bood_tasks.stage import read_job, run

VERSION = 3
AVERAGE = "average"
PAPER = ("1", "2", "7")  # tables of the main rows
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


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _table(head: list[str], lines: list[list[str]], left: int) -> str:
    rule = [":--"] * left + ["--:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def _sized(datasets: Mapping[str, int]) -> list[str]:
    return [
        "**Average**" if name == AVERAGE else f"{_escape(name)}<br><sub>n = {count:,}</sub>"
        for name, count in datasets.items()
    ]


def markdown(rows: list[Row], notes: Mapping) -> str:
    """Return summary.md: test sets, validation and control sets, OOD positive, footnotes."""
    table, texts = Lookup(rows), footnotes(notes)
    numbers = {topic: number for number, topic in enumerate(texts, 1)}

    def mark(*topics: str) -> str:
        given = ", ".join(str(numbers[topic]) for topic in topics if topic in numbers)
        return f"<sup>{given}</sup>" if given else ""

    accuracy = next(row for row in rows if row["metric"] == "id_acc" and row["split"] == "test")
    name, n_id = _escape(accuracy["id_dataset"]), accuracy["n_id"]

    def named(label: tuple, making: str = "") -> list[str]:
        method, variant, score = label
        own = making if (method, variant) == ("bood", "") else ""
        return [_escape(row_name(method, variant)) + own, _escape(score_name(score))]

    def lines(cells: Callable[[tuple], list[str]], making: str = "") -> list[list[str]]:
        return [[*named(label, making), *cells(label)] for label in table.labels()]

    tests = table.datasets("test")
    making = mark("encoder", "distances", "ood_features", "images")
    parts = [
        f"**ID {name}: FPR95 ↓ / AUROC ↑ in percent**{mark('metrics', 'seeds', 'image')}, "
        f"ID positive (n_id = {n_id:,}; n = n_ood).",
        _table(
            ["Method", "Score", *_sized(tests),
             f"ID ACC ↑{mark('detector')}<br><sub>n = {n_id:,}</sub>"],
            lines(
                lambda label: [*(" / ".join(table.pair(label, x)) for x in tests),
                               percent(table.accuracy(label))],
                making,
            ),
            left=2,
        ),
    ]  # fmt: skip
    others = table.datasets("validation", "control")
    if others:
        parts += [
            "**Validation and control sets: FPR95 ↓ / AUROC ↑ in percent**, ID positive. "
            "Settings are chosen on the validation sets; control sets show by-effects.",
            _table(
                ["Method", "Score", *(
                    f"{head}<br><sub>{table.split(dataset)}</sub>"
                    for head, dataset in zip(_sized(others), others, strict=True)
                )],
                lines(lambda label: [" / ".join(table.pair(label, name)) for name in others]),
                left=2,
            ),
        ]  # fmt: skip

    def flagged(label: tuple) -> list[str]:
        wanted = [(dataset, "fpr95", "ood") for dataset in tests]
        wanted += [(AVERAGE, "aupr_in", ""), (AVERAGE, "aupr_out", "")]
        return [percent(table.cell(label, *figure)) for figure in wanted]

    parts += [
        f"**The same scores, OOD positive: FPR95 ↓ in percent**{mark('metrics')}; "
        "AUPR ↑, averaged over the test sets.",
        _table(["Method", "Score", *_sized(tests), "AUPR-IN", "AUPR-OUT"], lines(flagged), left=2),
        "\n".join(f"{numbers[topic]}. {_escape(text)}." for topic, text in texts.items()),
    ]
    return "\n\n".join(parts) + "\n"


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


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    rows = aggregate(read_rows(job.inputs["metrics"].folder / "metrics.csv"))
    notes = job.settings["notes"]
    with job.draft() as draft:
        save_summary(rows, draft.folder / "summary.csv")
        text = markdown(rows, notes)
        (draft.folder / "summary.md").write_text(text, encoding="utf-8")
        for table in PAPER:
            save_quality(draft.folder, compare(rows, table), list(footnotes(notes).values()))
        draft.finish(rows={"summary": len(rows)})


if __name__ == "__main__":
    run(main)
