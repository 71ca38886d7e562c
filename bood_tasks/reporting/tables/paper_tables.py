"""Our results beside the papers' tables as people read them: Markdown and LaTeX.

Each method has up to three lines: ours, the published ones, ours minus published. A value that is
missing shows a dash with a numbered note that says why.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from bood_tasks.catalogue.metrics import METRICS, better
from bood_tasks.catalogue.titles import CONTROLS, score_name
from bood_tasks.reporting.tables import latex
from bood_tasks.reporting.tables.frames import Row, csv_text
from bood_tasks.reporting.tables.layout import DASH, Cell, TableLayout, markdown, percentage
from bood_tasks.reporting.tables.published import AVERAGE, KEY, ONE_SEED, OUR_AVERAGE
from bood_tasks.scoring.roc import Convention

PROVES_NOTHING = "the difference compares different data sets and proves nothing about reproduction"


def missing_cell(*reasons: str) -> Cell:
    """Return a dash with a note that says why."""
    return Cell(DASH, note="; ".join(reason for reason in reasons if reason and reason != ONE_SEED))


def _dataset(row: Row) -> tuple[str, str]:
    return row["published_ood_dataset"], row["ood_dataset"]


def _column(row: Row) -> tuple[str, str, str]:
    return *_dataset(row), row["metric"]


def best_of(rows: Iterable[Row], column: Callable[[Row], Hashable]) -> dict[Hashable, str]:
    """Return the best of our values in each column, as printed: what prints alike is a tie."""
    best: dict[Hashable, float] = {}
    for row in rows:
        # An improvement is no result, and a control's statistic was chosen on the test sets.
        if row["mean"] is not None and row["score"] and row["our_method"] not in CONTROLS:
            key = column(row)
            best[key] = better(row["metric"], row["mean"], best.get(key, row["mean"]))
    return {key: percentage(mean) for key, mean in best.items()}


def our_cell(row: Row, best: str | None) -> Cell:
    """Return our value, bold where it prints as `best` does and is no control's."""
    if row["mean"] is None:
        return missing_cell(row["missing"])
    note = "" if row["missing"] == ONE_SEED else row["missing"]
    if not row["score"]:
        return Cell(percentage(row["mean"], sign="+"), note=note)
    wins = row["our_method"] not in CONTROLS and percentage(row["mean"]) == best
    return Cell(percentage(row["mean"], row["std"]), wins, note)


def published_cell(row: Row) -> Cell:
    """Return the printed value."""
    if row["published"] is None:
        return missing_cell(row["published_missing"])
    sign = "-" if row["score"] else "+"
    return Cell(percentage(row["published"], row.get("published_std"), sign=sign))


def difference_cell(row: Row, different: str) -> Cell:
    """Return ours minus printed; `different`: which data differ where they are not the same."""
    if row["delta"] is not None:
        note = "" if row["comparable"] else f"{different}: {PROVES_NOTHING}"
        return Cell(percentage(row["delta"], sign="+"), note=note)
    if row["mean"] is not None and row["published"] is not None:
        return Cell(DASH, note="accuracies on different data")
    return missing_cell(
        row["missing"] if row["mean"] is None else "",
        row["published_missing"] if row["published"] is None else "",
    )


def cell_block(
    names: list[str], ours: list[Cell], published: list[Cell], differences: list[Cell]
) -> list[list[Cell]]:
    """Return one method's lines, without the differences where there are none."""
    first, rest = [Cell(name) for name in names], [Cell() for _ in names]
    block = [[*first, Cell("ours"), *ours], [*rest, Cell("published"), *published]]
    if any(cell.text != DASH for cell in differences):
        block.append([*rest, Cell("difference"), *differences])
    return block


def _sizes(rows: list[Row]) -> str:
    """Return how many pictures our values are of."""
    ours = [row for row in rows if row["n_ood"]]
    if not ours:
        return ""
    named = {row["ood_dataset"]: row["n_ood"] for row in ours}
    whole = named.pop(OUR_AVERAGE, None)
    sets = ", ".join(f"{name} {count:,}" for name, count in named.items())
    return f"Pictures of ours: ID {ours[0]['n_id']:,}; {sets or f'OOD {whole:,}'}."


def bood_layout(
    rows: list[Row], *, convention: Convention, choices: Sequence[str] = ()
) -> TableLayout:
    """Lay out what published.compare_with_bood returns, FPR95 in one of its two conventions.

    `choices` are further notes: what decides the numbers (footnotes.py).

    Columns as in the paper, then our other data sets. On other in-distribution data than the
    paper's no data sets correspond: the average and the accuracy alone are shown.
    """
    own_id, paper_id = rows[0]["id_dataset"], rows[0]["published_id_dataset"]
    entry = KEY["tables"][rows[0]["table"]]
    same_id = KEY["id_dataset"][paper_id] == own_id
    lines: dict[tuple, list[Row]] = {}
    for row in rows:
        everywhere = row["metric"] == "id_acc" or row["published_ood_dataset"] == AVERAGE
        if row["convention"] in ("", convention) and (same_id or everywhere):
            key = tuple(row[name] for name in ("method", "our_method", "variant", "score"))
            lines.setdefault(key, []).append(row)
    best = best_of((row for line in lines.values() for row in line), _column)
    different = (
        "the average is over other test sets than the paper's"
        if same_id
        else f"ID {own_id} and its test sets against the paper's ID {paper_id} and its test sets"
    )
    head = [("Method", [""]), ("Score", [""]), ("", [""])]
    for (paper, ours), columns in groupby(next(iter(lines.values())), _dataset):
        head.append((paper or ours or "ID", [METRICS[row["metric"]].heading for row in columns]))
    blocks = [
        cell_block(
            [method, score_name(score)],
            [our_cell(row, best.get(_column(row))) for row in line],
            [published_cell(row) for row in line],
            [difference_cell(row, different) for row in line],
        )
        for (method, _, _, score), line in lines.items()
    ]
    seeds = sorted({row["n_seeds"] for row in rows if row["n_seeds"]})
    runs = f"means ± standard deviation over {' or '.join(map(str, seeds))} seeds"
    notes = [
        f"Ours: ID {own_id}, {'one seed, no deviation known' if seeds == [1] else runs}. In "
        "percent; differences are ours minus published, in percentage points. Bold: the best of "
        "ours. Data sets are matched by name.",
        *(f"{note}." for note in entry["notes"]),
    ]
    if not same_id:
        notes.append("Figures of single data sets do not correspond; the CSV has them.")
    notes += [note for note in (_sizes(rows), *(f"{choice}." for choice in choices)) if note]
    return TableLayout(
        f"BOOD's table {rows[0]['table']}: {entry['title']}, ID {paper_id}. FPR95 with "
        f"{convention.upper()} positive",
        head,
        3,
        [line for block in blocks for line in block],
        notes,
    )


def save(folder: Path, name: str, rows: list[Row], *layouts: TableLayout) -> None:
    """Write a table's .csv, .md and .tex: what was compared, and the layouts that show it."""
    texts = {
        "csv": csv_text(rows),
        "md": "\n".join(map(markdown, layouts)),
        "tex": latex.floats(*layouts),
    }
    for kind, text in texts.items():
        (folder / f"{name}.{kind}").write_text(text, encoding="utf-8")


def save_quality(folder: Path, rows: list[Row], choices: Sequence[str]) -> None:
    """Save what published.compare_with_bood returns, FPR95 in both conventions."""
    both = [bood_layout(rows, convention=side, choices=choices) for side in ("id", "ood")]
    save(folder, f"table{rows[0]['table']}", rows, *both)
