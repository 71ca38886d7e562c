"""The run's own tables as the page shows them: heads and lines of cells, each a few lines of text.

A cell is told by its words and the summary's keys alone; report.html.j2 has the markup.
"""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from bood_tasks.catalogue.metrics import IN_SUMMARY, headings
from bood_tasks.catalogue.terms import METRICS, WORDS, meaning_of_row, meaning_of_score
from bood_tasks.catalogue.titles import BEST, CONTROLS, row_name, score_name
from bood_tasks.reporting.tables.frames import Row, records
from bood_tasks.reporting.tables.summary import AVERAGE, Label, Lookup, percent

BELOW = "†"  # behind an AUROC below that of the pixels


def _text(
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
    meanings: Mapping[str, str],
    outliers: Mapping[str, str],
    intervals: Mapping[tuple, tuple[float, float]],
    told: Mapping[str, str],
    notes: Mapping[str, list[str]] = MappingProxyType({}),
    accuracy: Row | None = None,
) -> dict:
    """Return heads and lines of cells, each a list of lines of text; the average stands first.

    `meanings`: of the data sets. `outliers`: what kind each `method|variant` saw. `told`: of
    methods and scores of one's own. `notes`: what to mind of each set, numbered below the table.
    `accuracy`: of any detector, where a column shows it.
    """
    names = sorted(datasets, key=lambda name: name != AVERAGE)
    labels, best = table.labels(), table.winners(names, metrics)
    minded = [(name, text) for name in names for text in notes.get(name, ())]
    marked = False

    def cell(label: Label, name: str, metric: tuple[str, str]) -> dict:
        nonlocal marked
        row = table.cell(label, name, *metric, table.split(name))
        below = _below_pixels(table, label, name, metric[0])
        marked |= below
        return _text(
            percent(row),
            mark=BELOW * below,
            best=(label, name, metric) in best,
            beside=_between(intervals.get((*label, name, *metric))),
        )

    heads = [[_text("Method", WORDS["method"]), _text("Score", WORDS["score"])]]
    for name in names:
        numbers = ", ".join(str(k) for k, (which, _) in enumerate(minded, 1) if which == name)
        heads.append(
            [_text("Average", "The plain mean over the test sets: every set counts the same.")]
            if name == AVERAGE
            else [
                _text(name, meanings.get(name, ""), mark=numbers),
                _text(f"n = {datasets[name]:,}"),
            ]
        )
    lines = [
        [
            [_text(row_name(*label[:2]), meaning_of_line(label, outliers, told)),
             _text(score_name(label[2]), meaning_of_score(label[2], told))],
            *([cell(label, name, metric) for metric in metrics] for name in names),
        ]
        for label in labels
    ]  # fmt: skip
    if accuracy:
        heads.append([_text("ID accuracy", METRICS["id_acc"]), _text(f"n = {accuracy['n_id']:,}")])
        for line, label in zip(lines, labels, strict=True):
            line.append([_text(percent(table.accuracy(label)))])
    return {
        "title": title, "heads": heads, "lines": lines,
        "notes": [f"{name}: {text}" for name, text in minded], "below": BELOW if marked else "",
    }  # fmt: skip


def own_tables(
    table: Lookup,
    accuracy: Row,
    meanings: Mapping[str, str],
    outliers: Mapping[str, str],
    intervals: Mapping[tuple, tuple[float, float]],
    notes: Mapping[str, list[str]],
    told: Mapping[str, str] = MappingProxyType({}),
) -> list[dict]:
    """Return the run's own tables: test sets, the other convention, validation and control sets."""
    tests, others = table.datasets("test"), table.datasets("validation", "control")
    known = {"meanings": meanings, "outliers": outliers, "intervals": intervals, "told": told}
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
