"""GOE's tables 1, 2 and 3: outliers by score, averaged over the test sets, beside what it prints.

GOE prints AUPR-IN under AUPR-OUT and the other way round, against today's definition. So each table
stands twice: `corrected`, and `as printed`, which takes its labels at their word. FPR95 has OOD
positive, as in the paper. Leaves goe_table<number>.csv, .md and .tex.
"""

from collections.abc import Mapping

import pandas as pd

from bood_tasks.catalogue.metrics import IN_GOE, IN_GOE_SETS, METRICS, headings
from bood_tasks.catalogue.titles import CONTROLS, row_name, score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.tables.footnotes import choices_behind
from bood_tasks.reporting.tables.frames import Row, read_metrics
from bood_tasks.reporting.tables.layout import DASH, Cell, TableLayout, percentage
from bood_tasks.reporting.tables.paper_tables import (
    best_of,
    cell_block,
    difference_cell,
    our_cell,
    published_cell,
    save,
)
from bood_tasks.reporting.tables.published import KEY, beside, fraction, read_published
from bood_tasks.reporting.tables.summary import AVERAGE, Label, Lookup, aggregate

VERSION = 4
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
PROFILES = ("corrected", "as_printed")


def printed_block(table: str, own_id: str) -> list[Row]:
    """Return the printed rows of the paper's data set that is ours, else of its first one."""
    rows = read_published(f"goe_table{table}.csv")
    names = list(dict.fromkeys(row["id_dataset"] for row in rows))
    same = [name for name in names if KEY["id_dataset"][name] == own_id]
    return [row for row in rows if row["id_dataset"] == (same or names)[0]]


def kind_of(label: Label, outliers: Mapping[str, str]) -> str:
    """Return the kind of outliers that one of our rows saw, or `control`."""
    return "control" if label[0] in CONTROLS else outliers.get("|".join(label[:2]), "none")


def _lines(
    printed: list[Row], labels: list[Label], outliers: Mapping[str, str]
) -> list[tuple[str, str, Label | None, dict[str, float]]]:
    """Return outliers, score, our row and the printed values of each line.

    Lines are the paper's, each with our first row of its kind and score, then our other rows.
    """
    scores = {score_name(score): score for score in ("msp", "energy")}
    lines, taken = [], set()
    for outlier, method in dict.fromkeys((row["outlier"], row["method"]) for row in printed):
        alike = (
            label
            for label in labels
            if label[2] == scores[method] and outliers.get("|".join(label[:2])) == KINDS[outlier]
        )
        label = next(alike, None)
        taken.add(label)
        values = {
            row["metric"]: fraction(row["value"])
            for row in printed
            if (row["outlier"], row["method"]) == (outlier, method)
        }
        lines.append((outlier, method, label, values))
    others = (label for label in labels if label not in taken)
    return lines + [(kind_of(x, outliers), score_name(x[2]), x, {}) for x in others]


def compare_with_goe(
    summary: pd.DataFrame, table: str, outliers: Mapping[str, str], profile: str
) -> list[Row]:
    """Return every cell: our value, the printed one, ours minus printed, in fractions.

    `summary`: as summary.aggregate returns it. `outliers`: the kind that each row saw, by
    `method|variant`. `profile`: corrected or as_printed, which of the printed AUPR is which.
    """
    found = Lookup(summary)
    own_id = found.rows[0]["id_dataset"]
    printed = printed_block(table, own_id)
    paper_id = printed[0]["id_dataset"]
    goes_by = {tuple(ours.values()): name for name, ours in KEY["metric"]["goe"][profile].items()}
    rows = []
    for outlier, method, label, values in _lines(printed, found.labels(), outliers):
        for heading, metric in zip(headings(IN_GOE), IN_GOE, strict=True):
            ours = found.cell(label, AVERAGE, *metric) if label else None
            published = values.get(goes_by.get(metric))
            rows.append(
                {
                    "table": table,
                    "profile": profile,
                    "id_dataset": own_id,
                    "published_id_dataset": paper_id,
                    "outliers": outlier,
                    "row": row_name(*label[:2]) if label else "",
                    "our_method": label[0] if label else "",
                    "score": method,
                    "column": heading,
                    "metric": metric[0],
                    "convention": metric[1],
                    **beside(ours, published, subtract=True),
                    "comparable": KEY["id_dataset"][paper_id] == own_id,
                    "missing": "" if ours else f"no row with {outlier} outliers in this run",
                    "published_missing": NOT_PRINTED if published is None else "",
                }
            )
    return rows


def goe_layout(rows: list[Row], choices: list[str]) -> TableLayout:
    """Lay out what compare_with_goe returns."""
    first = rows[0]
    best = best_of(rows, lambda row: row["column"])
    different = f"ID {first['id_dataset']} against ID {first['published_id_dataset']}"
    lines = []
    for start in range(0, len(rows), len(IN_GOE)):
        line = rows[start : start + len(IN_GOE)]
        block = cell_block(
            [line[0]["outliers"], line[0]["row"] or DASH, line[0]["score"]],
            [our_cell(row, best.get(row["column"])) for row in line],
            [published_cell(row) for row in line],
            [difference_cell(row, different) for row in line],
        )
        printed = any(row["published"] is not None for row in line)
        lines += block if printed else block[:1]
    seeds = sorted({row["n_seeds"] for row in rows if row["n_seeds"]})
    counted = next((row for row in rows if row["n_id"]), None)
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
    return TableLayout(
        f"GOE's table {first['table']}: {TITLES[first['table']]}, ID "
        f"{first['published_id_dataset']}, {first['profile'].replace('_', ' ')}",
        [(name, [""]) for name in ("Outliers", "Row", "Score", "", *headings(IN_GOE))],
        4,
        lines,
        notes,
    )


def each_set(summary: pd.DataFrame, outliers: Mapping[str, str]) -> TableLayout:
    """Lay out our FPR95 (OOD positive) and AUROC on each test set: averages hide them."""
    found = Lookup(summary)
    names = found.datasets("test")
    lines = []
    for label in found.labels():
        values = [found.cell(label, name, *metric) for name in names for metric in IN_GOE_SETS]
        values.append(found.accuracy(label))
        head = [kind_of(label, outliers), row_name(*label[:2]), score_name(label[2])]
        told = [percentage(value["mean"], value["std"]) if value else DASH for value in values]
        lines.append([Cell(text) for text in (*head, *told)])
    return TableLayout(
        "Ours on each test set",
        [(name, [""]) for name in ("Outliers", "Row", "Score")]
        + [(f"{name} (n = {count:,})", headings(IN_GOE_SETS)) for name, count in names.items()]
        + [("ID", [METRICS["id_acc"].heading])],
        3,
        lines,
        ["In percent; FPR95 with OOD positive."],
    )


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    summary = aggregate(read_metrics(job.inputs["metrics"]))
    table, outliers = job.settings["table"], job.settings["outliers"]
    corrected, as_printed = (
        compare_with_goe(summary, table, outliers, profile) for profile in PROFILES
    )
    layouts = [
        goe_layout(corrected, choices_behind(job.settings, table)),
        goe_layout(as_printed, []),
        each_set(summary, outliers),
    ]
    with job.draft() as draft:
        save(draft.folder, f"goe_table{table}", [*corrected, *as_printed], *layouts)
        draft.finish(rows={"rows": len(corrected)})
