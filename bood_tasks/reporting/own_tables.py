"""The run's own tables as the page shows them: heads and lines of cells, each a few lines of text.

A cell is told by its words and the summary's keys alone; report.html.j2 has the markup.
"""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from bood_tasks.catalogue.metrics import IN_SUMMARY, average_title, headings, is_average
from bood_tasks.catalogue.terms import METRICS, WORDS, meaning_of_row, meaning_of_score
from bood_tasks.catalogue.titles import BEST, CONTROLS, row_name, score_name
from bood_tasks.reporting.tables.apart import SIGN, UNKNOWN, Differences, meaning
from bood_tasks.reporting.tables.frames import Row, records
from bood_tasks.reporting.tables.summary import Label, Lookup, percent

MEAN = "The plain mean over the test sets: every set counts the same."
BELOW = "†"  # behind an AUROC below that of the pixels


def cell_line(
    text: str, meaning: str = "", *, best: bool = False, mark: str = "", beside: str = ""
) -> dict:
    """Return what a cell says in one line, what that means, whether it is the column's best, the
    mark of a note, and what stands beside it in small type."""
    return {"text": text, "meaning": meaning, "best": best, "mark": mark, "beside": beside}


def _between(ends: tuple[float, float] | None) -> str:
    """Return an interval in percent, `81.5–83.1`; an empty text where there is none."""
    return "" if ends is None else "–".join(f"{100 * end:.1f}" for end in ends)


def read_intervals(table: pd.DataFrame) -> dict[tuple, tuple[float, float]]:
    """Return both ends of the figures in intervals.csv by (row, variant, score, set, metric,
    convention)."""
    keys = ["method", "variant", "score", "ood_dataset", "metric", "convention"]
    return {tuple(row[key] for key in keys): (row["low"], row["high"]) for row in records(table)}


def _below_pixels(table: Lookup, label: Label, name: str, metric: str) -> bool:
    """Whether a detector's AUROC is below that of the control in the same column."""
    if metric != "auroc" or label[0] in CONTROLS:
        return False
    split = table.split(name)
    own = table.cell(label, name, metric, "", split)
    floors = (table.cell((x, "", BEST), name, metric, "", split) for x in CONTROLS)
    return own is not None and any(floor and own["mean"] < floor["mean"] for floor in floors)


def meaning_of_line(label: Label, outliers: Mapping[str, str], told: Mapping[str, str]) -> str:
    """Return what the row of a line does; `outliers`: what kind each `method|variant` saw; `told`:
    what methods of one's own say of themselves."""
    return meaning_of_row(*label[:2], outliers.get("|".join(label[:2]), "none"), told)


def _table(
    table: Lookup,
    title: str,
    datasets: Mapping[str, int],
    metrics: tuple[tuple[str, str], ...],
    *,
    differences: Differences,
    meanings: Mapping[str, str],
    outliers: Mapping[str, str],
    intervals: Mapping[tuple, tuple[float, float]],
    told: Mapping[str, str],
    notes: Mapping[str, list[str]] = MappingProxyType({}),
    accuracy: Row | None = None,
) -> dict:
    """Return heads and lines of cells, each a list of lines of text; averages stand first.

    `meanings`: of the data sets. `outliers`: what kind each `method|variant` saw. `told`: of
    methods and scores of one's own. `notes`: what to mind of each set, numbered below the table.
    `accuracy`: of any detector, where a column shows it.
    """
    names = sorted(datasets, key=lambda name: not is_average(name))
    labels = table.labels()
    minded = [(name, text) for name in names for text in notes.get(name, ())]
    marks: set[str] = set()

    def cell(label: Label, name: str, metric: tuple[str, str]) -> dict:
        split, best = table.split(name), table.best(name, metric)
        mark = BELOW * _below_pixels(table, label, name, metric[0])
        mark += SIGN * differences.tied(label, best, name, metric, split)
        marks.update(mark)
        return cell_line(
            percent(table.cell(label, name, *metric, split)),
            mark=mark,
            best=label in best,
            beside=_between(intervals.get((*label, name, *metric))),
        )

    seeds = table.first_accuracy()["n_seeds"]
    meant_by = {BELOW: "the row of pixel or text statistics tells this set better",
                SIGN: meaning(seeds)}  # fmt: skip
    heads = [[cell_line("Method", WORDS["method"]), cell_line("Score", WORDS["score"])]]
    for name in names:
        numbers = ", ".join(str(k) for k, (which, _) in enumerate(minded, 1) if which == name)
        heads.append(
            [cell_line(average_title(name), meanings.get(name, MEAN))]
            if is_average(name)
            else [
                cell_line(name, meanings.get(name, ""), mark=numbers),
                cell_line(f"n = {datasets[name]:,}"),
            ]
        )
    lines = [
        [
            [cell_line(row_name(*label[:2]), meaning_of_line(label, outliers, told)),
             cell_line(score_name(label[2]), meaning_of_score(label[2], told))],
            *([cell(label, name, metric) for metric in metrics] for name in names),
        ]
        for label in labels
    ]  # fmt: skip
    if accuracy:
        heads.append(
            [cell_line("ID accuracy", METRICS["id_acc"]), cell_line(f"n = {accuracy['n_id']:,}")]
        )
        for line, label in zip(lines, labels, strict=True):
            line.append([cell_line(percent(table.accuracy(label)))])
    return {
        "title": title, "heads": heads, "lines": lines,
        "notes": [f"{name}: {text}" for name, text in minded],
        "marks": [(mark, meant) for mark, meant in meant_by.items() if mark in marks],
    }  # fmt: skip


def own_tables(
    table: Lookup,
    accuracy: Row,
    meanings: Mapping[str, str],
    outliers: Mapping[str, str],
    intervals: Mapping[tuple, tuple[float, float]],
    notes: Mapping[str, list[str]],
    told: Mapping[str, str] = MappingProxyType({}),
    differences: Differences = UNKNOWN,
) -> list[dict]:
    """Return the run's own tables: test sets, the other convention, validation and control sets."""
    tests, others = table.datasets("test"), table.datasets("validation", "control")
    known = {
        "meanings": meanings, "outliers": outliers, "intervals": intervals, "told": told,
        "differences": differences,
    }  # fmt: skip
    shown = [
        _table(table, "", tests, IN_SUMMARY, **known, notes=notes, accuracy=accuracy),
        _table(
            table, "The same scores, OOD positive: FPR95 ↓ in percent", tests,
            (("fpr95", "ood"),), **known,
        ),
    ]  # fmt: skip
    if others:
        heading = f"Validation and control sets, ID positive: {' and '.join(headings(IN_SUMMARY))}"
        shown.append(_table(table, heading, others, IN_SUMMARY, **known, notes=notes))
    return shown
