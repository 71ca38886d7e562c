"""OpenOOD v1.5's leaderboard of an ID data set, with our rows beside those of the same name.

What it says stands in embedded/published, as printed; key.json there has its names beside ours.
"""

from collections.abc import Mapping, Sequence

from bood_tasks.catalogue.metrics import group_average
from bood_tasks.catalogue.printed import published_key, read_published
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.reporting.tables.layout import DASH, Cell, TableLayout, percentage
from bood_tasks.reporting.tables.summary import Label, Lookup

SOURCE = (
    "Published: zjysteven.github.io/OpenOOD, commit 28d3a40 (19 July 2025), results/*.csv; in "
    "percent, mean ± standard deviation as printed."
)
OURS = (
    "Ours: this run's networks and training, see the choices. A difference says something only "
    "where these, and the pictures, are the leaderboard's."
)
GROUPS = ("near", "far")


def _printed(row: Mapping[str, str], mean: str, std: str) -> Cell:
    spread = f" ± {row[std]}" if row[std] else ""
    return Cell(f"{row[mean]}{spread}" if row[mean] else DASH)


def _ours(table: Lookup, label: Label | None) -> list[Cell]:
    """Return our near and far AUROC and the accuracy of one line; dashes for None."""
    found = [
        label and table.cell(label, group_average(group), "auroc") for group in GROUPS
    ] + [label and table.accuracy(label)]  # fmt: skip
    return [Cell(percentage(row["mean"], row["std"]) if row else DASH) for row in found]


def leaderboard(
    table: Lookup, id_dataset: str, groups: Mapping[str, Sequence[str]]
) -> TableLayout | None:
    """Return the leaderboard of an ID data set, best near-OOD AUROC first, ours where they have one
    of the same training and score, then ours that it has not.

    `groups`: the run's groups of test sets. None where there is no leaderboard, or where the run's
    near and far sets are not its: their averages would be of other things.
    """
    key = published_key()["leaderboards"]
    entry = key["id_dataset"].get(id_dataset)
    if entry is None or any(set(groups.get(name, ())) != set(entry[name]) for name in GROUPS):
        return None
    own = {(method, score): (method, "", score) for method, variant, score in table.labels()
           if not variant}  # fmt: skip
    shown, lines = set(), []
    printed = read_published(entry["file"])
    for row in sorted(printed, key=lambda row: -float(row["near_auroc"])):
        names = (
            key["training"].get(row["training"]),
            key["postprocessor"].get(row["postprocessor"]),
        )
        label = own.get(names) if row["network"] == entry["network"] else None
        shown.add(label)
        ours = _ours(table, label)
        theirs = [
            _printed(row, mean, std)
            for mean, std in (
                ("near_auroc", "near_std"), ("far_auroc", "far_std"), ("id_acc", "id_acc_std"),
            )
        ]  # fmt: skip
        outliers = " (outlier data)" * (row["outlier_data"] == "Yes")
        trained = f"{row['network']}, {row['description']}"
        cells = [cell for pair in zip(ours, theirs, strict=True) for cell in pair]
        lines.append(
            [
                Cell(f"{row['training']}{outliers}"),
                Cell(row["postprocessor"]),
                *cells,
                Cell(trained),
            ]
        )
    for label in table.labels():
        if label not in shown and table.cell(label, group_average("near"), "auroc"):
            cells = [x for cell in _ours(table, label) for x in (cell, Cell(DASH))]
            names = [Cell(row_name(*label[:2])), Cell(score_name(label[2]))]
            lines.append([*names, *cells, Cell("this run")])
    both = ["ours", "published"]
    head = [
        ("Training", [""]), ("Score", [""]), ("Near-OOD AUROC ↑", both), ("Far-OOD AUROC ↑", both),
        ("ID ACC ↑", both), ("Network", [""]),
    ]  # fmt: skip
    title = f"OpenOOD v1.5's leaderboard of {entry['title']}"
    sets = "; ".join(f"{name}: {', '.join(entry[name])}" for name in GROUPS)
    return TableLayout(title, head, 2, lines, [SOURCE, OURS, f"Averages over test sets, {sets}."])
