"""GOE's tables 1, 2 and 3: outliers by score, averaged over the test sets, beside what it prints.

GOE prints AUPR-IN under AUPR-OUT and the other way round, against today's definition. So each table
stands twice: `corrected`, and `as printed`, which takes its labels at their word. FPR95 has OOD
positive, as in the paper. Leaves goe_table<number>.csv, .md and .tex.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from bood_tasks.catalogue.titles import CONTROLS, row_name, score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.tables.footnotes import footnotes
from bood_tasks.reporting.tables.paper_tables import PROVES_NOTHING
from bood_tasks.reporting.tables.published import KEY, csv_text, read_published
from bood_tasks.reporting.tables.sheet import DASH, Cell, Sheet, latex, markdown, percentage
from bood_tasks.reporting.tables.summary import AVERAGE, Lookup, aggregate
from bood_tasks.scoring.metrics import read_rows

VERSION = 1
COLUMNS = {  # as printed: our metric and convention
    "AUROC ↑": ("auroc", ""),
    "AUPR-IN ↑": ("aupr_in", ""),
    "AUPR-OUT ↑": ("aupr_out", ""),
    "FPR95 ↓": ("fpr95", "ood"),
}
KINDS = {
    "none": "none", "Noise": "noise", "Generated": "generated",
    "Tiny300k": "natural", "Wiki2": "natural",
}  # fmt: skip
NOT_PRINTED = "not a row of the paper's table"
TITLES = {
    "1": "outliers of images",
    "2": "outliers of texts",
    "3": "outliers of images, ResNet-101",
}
Row = dict


def printed_block(table: str, own_id: str) -> list[Row]:
    """Return the printed rows of the paper's data set that is ours, else of its first one."""
    rows = read_published(f"goe_table{table}.csv")
    names = list(dict.fromkeys(row["id_dataset"] for row in rows))
    same = [name for name in names if KEY["id_dataset"][name] == own_id]
    return [row for row in rows if row["id_dataset"] == (same or names)[0]]


def compare(ours: list[Row], table: str, outliers: Mapping[str, str], profile: str) -> list[Row]:
    """Return every cell: our figure, the printed one, ours minus printed, in fractions.

    `ours`: rows as tables.aggregate returns them. `outliers`: the kind that each row saw, by
    `method|variant`. `profile`: corrected or as_printed, which of the printed AUPR is which. Lines
    are the paper's, each with our first row of its kind and score, then our others.
    """
    found, own_id = Lookup(ours), ours[0]["id_dataset"]
    printed = printed_block(table, own_id)
    paper_id = printed[0]["id_dataset"]
    comparable = KEY["id_dataset"][paper_id] == own_id
    labels = found.labels()
    scores = {score_name(score): score for score in ("msp", "energy")}
    lines, taken = [], set()
    for outlier, method in dict.fromkeys((row["outlier"], row["method"]) for row in printed):
        fits = [
            label
            for label in labels
            if label[2] == scores[method] and outliers.get("|".join(label[:2])) == KINDS[outlier]
        ]
        label = fits[0] if fits else None
        taken.add(label)
        values = {
            row["metric"]: float(row["value"]) / 100
            for row in printed
            if (row["outlier"], row["method"]) == (outlier, method)
        }
        lines.append((outlier, method, label, values))
    for label in labels:
        if label not in taken:
            kind = outliers.get("|".join(label[:2]), "none")
            kind = "control" if label[0] in CONTROLS else kind
            lines.append((kind, score_name(label[2]), label, {}))
    goes_by = {tuple(ours.values()): name for name, ours in KEY["metric"]["goe"][profile].items()}
    rows = []
    for outlier, method, label, values in lines:
        for column, metric in COLUMNS.items():
            own = found.cell(label, AVERAGE, *metric) if label else None
            published = values.get(goes_by[metric], "")
            both = own is not None and published != ""
            rows.append(
                {
                    "table": table,
                    "profile": profile,
                    "id_dataset": own_id,
                    "published_id_dataset": paper_id,
                    "outliers": outlier,
                    "row": row_name(*label[:2]) if label else "",
                    "score": method,
                    "column": column,
                    "metric": metric[0],
                    "convention": metric[1],
                    "mean": own["mean"] if own else "",
                    "std": own["std"] if own else "",
                    **{key: own[key] if own else "" for key in ("n_seeds", "n_id", "n_ood")},
                    "published": published,
                    "delta": own["mean"] - published if both else "",
                    "comparable": comparable,
                    "missing": "" if own else f"no row with {outlier} outliers in this run",
                    "published_missing": "" if published != "" else NOT_PRINTED,
                }
            )
    return rows


def _cells(rows: list[Row], best: Mapping[str, str]) -> tuple[list[Cell], list[Cell], list[Cell]]:
    """Return a line's figures: ours, published, ours minus published."""
    ours, published, differences = [], [], []
    for row in rows:
        text = percentage(row["mean"], row["std"]) if row["mean"] != "" else DASH
        wins = row["outliers"] != "control" and best[row["column"]] == text != DASH
        ours.append(Cell(text, wins, row["missing"]))
        told = percentage(row["published"]) if row["published"] != "" else DASH
        published.append(Cell(told, note=row["published_missing"]))
        if row["delta"] == "":
            differences.append(Cell(DASH))
            continue
        other = f"ID {row['id_dataset']} against ID {row['published_id_dataset']}: "
        note = "" if row["comparable"] else other + PROVES_NOTHING
        differences.append(Cell(percentage(row["delta"], sign="+"), note=note))
    return ours, published, differences


def sheet(rows: list[Row], choices: list[str]) -> Sheet:
    """Lay out what `compare` returns."""
    first = rows[0]
    best = {}
    for column in COLUMNS:
        own = [
            row for row in rows
            if row["column"] == column and row["mean"] != "" and row["outliers"] != "control"
        ]  # fmt: skip
        choose = min if column.startswith("FPR") else max
        top = choose(own, key=lambda row: row["mean"]) if own else None
        best[column] = percentage(top["mean"], top["std"]) if top else ""
    lines = []
    for start in range(0, len(rows), len(COLUMNS)):
        line = rows[start : start + len(COLUMNS)]
        head = [line[0]["outliers"], line[0]["row"] or DASH, line[0]["score"]]
        ours, published, differences = _cells(line, best)
        lines.append([*map(Cell, head), Cell("ours"), *ours])
        if any(cell.text != DASH for cell in published):
            blank = [Cell(), Cell(), Cell()]
            lines.append([*blank, Cell("published"), *published])
            if any(cell.text != DASH for cell in differences):
                lines.append([*blank, Cell("difference"), *differences])
    seeds = sorted({row["n_seeds"] for row in rows if row["n_seeds"] != ""})
    counted = next((row for row in rows if row["n_id"] != ""), None)
    words = {
        "corrected": "AUPR by today's definition; the paper prints the two under each other's name",
        "as_printed": "AUPR under the paper's labels, taken at their word",
    }
    notes = [
        f"In percent, averaged over the test sets; FPR95 with OOD positive. "
        f"{words[first['profile']]}. Ours: ID {first['id_dataset']}"
        + (f", n_id {counted['n_id']:,}, n_ood {counted['n_ood']:,}" if counted else "")
        + f"; mean ± standard deviation over {' or '.join(map(str, seeds)) or 'no'} seeds. "
        "Bold: the best of ours, controls aside, which read no classifier.",
        *(f"{choice}." for choice in choices),
    ]
    return Sheet(
        f"GOE's table {first['table']}: {TITLES[first['table']]}, ID "
        f"{first['published_id_dataset']}, {first['profile'].replace('_', ' ')}",
        [("Outliers", [""]), ("Row", [""]), ("Score", [""]), ("", [""])]
        + [(column, [""]) for column in COLUMNS],
        4,
        lines,
        notes,
    )


def each_set(ours: list[Row], outliers: Mapping[str, str]) -> Sheet:
    """Lay out our FPR95 (OOD positive) and AUROC on each test set: averages hide them."""
    found = Lookup(ours)
    names = found.datasets("test")
    lines = []
    for label in found.labels():
        kind = outliers.get("|".join(label[:2]), "control" if label[0] in CONTROLS else "none")
        cells = []
        for name in names:
            for metric in (("fpr95", "ood"), ("auroc", "")):
                own = found.cell(label, name, *metric)
                cells.append(Cell(percentage(own["mean"], own["std"]) if own else DASH))
        accuracy = found.accuracy(label)
        cells.append(Cell(percentage(accuracy["mean"], accuracy["std"]) if accuracy else DASH))
        lines.append([Cell(kind), Cell(row_name(*label[:2])), Cell(score_name(label[2])), *cells])
    head = [(f"{name} (n = {count:,})", ["FPR95 ↓", "AUROC ↑"]) for name, count in names.items()]
    return Sheet(
        "Ours on each test set",
        [("Outliers", [""]), ("Row", [""]), ("Score", [""]), *head, ("ID", ["ACC ↑"])],
        3,
        lines,
        ["In percent; FPR95 with OOD positive."],
    )


def read_cells(path: Path, profile: str = "corrected") -> list[Row]:
    """Return what `compare` gave for a profile, from the CSV file."""
    numbers = ("mean", "std", "published", "delta")
    counts = ("n_seeds", "n_id", "n_ood")
    with path.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["profile"] == profile]
    for row in rows:
        row |= {key: float(row[key]) for key in numbers if row[key]}
        row |= {key: int(row[key]) for key in counts if row[key]}
        row["comparable"] = row["comparable"] == "True"
    return rows


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    ours = aggregate(read_rows(job.inputs["metrics"].folder / "metrics.csv"))
    choices = list(footnotes(settings["notes"]).values())
    table, outliers = settings["table"], settings["outliers"]
    with job.draft() as draft:
        found = [compare(ours, table, outliers, profile) for profile in ("corrected", "as_printed")]
        sheets = [sheet(found[0], choices), sheet(found[1], []), each_set(ours, outliers)]
        texts = {
            "csv": csv_text([row for rows in found for row in rows]),
            "md": "\n".join(map(markdown, sheets)),
            "tex": latex(*sheets),
        }
        for kind, text in texts.items():
            (draft.folder / f"goe_table{table}.{kind}").write_text(text, encoding="utf-8")
        draft.finish(rows={"rows": len(found[0])})
