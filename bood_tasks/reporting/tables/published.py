"""Our values beside those that BOOD's tables 1 to 8 print, and the difference, one row per cell.

What the paper printed stands in embedded/published; key.json there says which row of ours each is.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from bood_tasks.catalogue.metrics import IN_BOOD, METRICS, is_average
from bood_tasks.catalogue.printed import published_key, read_published
from bood_tasks.catalogue.titles import row_name
from bood_tasks.reporting.tables.frames import Row, records
from bood_tasks.reporting.tables.summary import AVERAGE as OUR_AVERAGE
from bood_tasks.reporting.tables.summary import Label

KEY = published_key()
AVERAGE = "Average"  # as printed
ONE_SEED = "one seed: no deviation"
ONLY_MEANS = "computed from means over seeds: no deviation"
Values = dict[tuple[str, str, str], Row]  # of one row: our data set, metric, convention


@dataclass(frozen=True)
class Line:
    """One row of a table: its name, the row of ours that it shows, what the paper prints."""

    name: str
    label: Label
    cells: dict[tuple[str, str], Row]  # printed data set, metric


@dataclass(frozen=True)
class Column:
    """One column of a table: the paper's data set, ours ("": none), whether both are the same."""

    paper: str
    ours: str
    metric: str
    convention: str
    comparable: bool


def entry_of(tables: Mapping[str, Row], table: str) -> Row:
    """Return what key.json says of a table."""
    if table not in tables:
        raise ValueError(f"table must be one of {', '.join(tables)}, got {table!r}")
    return tables[table]


def _our_label(file: str, printed: Row) -> Label:
    """Return which row of ours a printed one is; an improvement goes by its own name."""
    if printed["kind"] == "delta":
        return printed["method"], "", ""
    columns = next(
        rule["columns"]
        for rule in KEY["rows"]
        if file in rule["files"] and rule["printed"].items() <= printed.items()
    )
    return columns["method"], columns["variant"], columns["score"]


def _printed_lines(entry: Row, printed: list[Row]) -> dict[str, Line]:
    lines: dict[str, Line] = {}
    for row in printed:
        name = entry["line"].format(**row)
        line = lines.setdefault(name, Line(name, _our_label(entry["file"], row), {}))
        line.cells["" if row["metric"] == "id_acc" else row["dataset"], row["metric"]] = row
    return lines


def _by_row(measured: list[Row]) -> dict[Label, Values]:
    """Group the test values by row; an accuracy belongs to every score of its detector."""
    test = [row for row in measured if row["split"] == KEY["split"]]
    found: dict[Label, Values] = {
        (row["method"], row["variant"], row["score"]): {} for row in test if row["score"]
    }
    for row in test:
        for label, values in found.items():
            if label[:2] == (row["method"], row["variant"]) and row["score"] in ("", label[2]):
                values[row["ood_dataset"], row["metric"], row["convention"]] = row
    return found


def _average_over(values: Values, datasets: Iterable[str]) -> Values:
    """Return the values with their average over these data sets; of means no deviation is known."""
    averages = {}
    for metric, convention in IN_BOOD:
        parts = [values[name, metric, convention] for name in datasets]
        averages[OUR_AVERAGE, metric, convention] = parts[0] | {
            "mean": statistics.fmean(part["mean"] for part in parts),
            "std": None,
            "n_ood": sum(part["n_ood"] for part in parts),
        }
    return values | averages


def _improvement(better: Values, worse: Values) -> Values:
    """Return by how much `better` is better than `worse` in each metric of each OOD set."""
    found = {}
    for key, row in better.items():
        _, metric, _ = key
        if metric != "id_acc" and key in worse:
            sign = 1 if METRICS[metric].higher_is_better else -1
            gain = sign * (row["mean"] - worse[key]["mean"])
            found[key] = row | {"mean": gain, "std": None}
    return found


def _columns(
    named: list[str], tested: list[str], *, same_id: bool, same_average: bool, accuracy: bool
) -> list[Column]:
    """Return the paper's data sets, our other ones, the average, the accuracy."""
    pairs = [(name, KEY["ood_dataset"][name] if same_id else "", same_id) for name in named]
    if named:
        paired = [ours for _, ours, _ in pairs]
        pairs += [("", ours, False) for ours in tested if ours not in paired]
    pairs.append((AVERAGE, OUR_AVERAGE, same_average))
    columns = [
        Column(paper, ours, metric, convention, comparable)
        for paper, ours, comparable in pairs
        for metric, convention in IN_BOOD
    ]
    return columns + [Column("", "", "id_acc", "", same_id)] * accuracy


def _why_not_ours(rows: Mapping[Label, Values], line: Line, column: Column) -> str:
    if line.label not in rows:
        if not line.label[2]:
            return "not both of its methods are among the rows of this run"
        known = line.label[:2] in {label[:2] for label in rows}
        return f"{'score' if known else 'method'} not among the rows of this run"
    if column.metric == "id_acc":
        return "no improvement of accuracies is counted"
    if column.ours:
        return f"data set {column.ours} not in this run"
    return "the in-distribution data are others than the paper's, and so are the test sets"


def _why_not_published(table: str, line: Line, column: Column) -> str:
    if column.ours and not column.paper:
        return f"the paper's table {table} has no data set “{column.ours}”"
    if not line.cells:
        return f"not a row of the paper's table {table}"
    if column.convention == "ood":
        return "the paper prints FPR95 with ID positive"
    return "the paper prints none"


def fraction(text: str) -> float | None:
    """Return a printed percentage as a fraction, correctly rounded."""
    return float(Decimal(text) / KEY["value"]["divide_by"]) if text else None


def beside(ours: Row | None, published: float | None, *, subtract: bool) -> Row:
    """Return our value, the printed one and ours minus printed, each None where it is missing."""
    both = subtract and ours is not None and published is not None
    return {
        **{key: ours and ours[key] for key in ("mean", "std", "n_seeds", "n_id", "n_ood")},
        "published": published,
        "delta": ours["mean"] - published if both else None,
    }


def _cell(table: str, rows: Mapping[Label, Values], line: Line, column: Column) -> Row:
    ours = rows.get(line.label, {}).get((column.ours, column.metric, column.convention))
    paper = line.cells.get((column.paper, column.metric)) if column.convention != "ood" else None
    missing = "" if ours else _why_not_ours(rows, line, column)
    if ours and ours["std"] is None:
        missing = ONE_SEED if ours["n_seeds"] == 1 else ONLY_MEANS
    compared = beside(
        ours, fraction(paper["value"]) if paper else None,
        subtract=column.comparable or column.paper == AVERAGE,
    )  # fmt: skip
    delta = compared.pop("delta")
    return {
        "method": line.name,
        "our_method": line.label[0],
        "variant": line.label[1],
        "score": line.label[2],
        "ood_dataset": column.ours,
        "published_ood_dataset": column.paper,
        "metric": column.metric,
        "convention": column.convention,
        **compared,
        "published_std": fraction(paper["std"]) if paper else None,
        "delta": delta,
        "comparable": column.comparable,
        "missing": missing,
        "published_missing": "" if paper else _why_not_published(table, line, column),
    }


def compare_with_bood(summary: pd.DataFrame, table: str) -> list[Row]:
    """Return every cell of BOOD's table 1, 2, 3, 6, 7 or 8: our value, the printed one, ours
    minus printed, in fractions.

    `summary`: as summary.aggregate returns it. Data sets are matched by name. `comparable` is
    false where the two values are of different data: then only averages get a `delta`, and it
    proves nothing. Where the run tests the paper's data sets and others, our average is over the
    paper's. `missing` says why ours or its deviation is None, `published_missing` why the
    printed one is.
    """
    measured = records(summary)
    entry = entry_of(KEY["tables"], table)
    printed = read_published(entry["file"])
    own_id, paper_id = measured[0]["id_dataset"], printed[0]["id_dataset"]
    same_id = KEY["id_dataset"][paper_id] == own_id
    lines, rows = _printed_lines(entry, printed), _by_row(measured)

    tested = dict.fromkeys(name for values in rows.values() for name, *_ in values)
    tested = [name for name in tested if name and not is_average(name)]
    named = dict.fromkeys(row["dataset"] for row in printed if row["metric"] != "id_acc")
    named = [name for name in named if name != AVERAGE]
    behind = [KEY["ood_dataset"][name] for name in named or entry["averaged"]]
    same_average = same_id and set(behind) <= set(tested)
    if same_average and set(behind) != set(tested):
        rows = {label: _average_over(values, behind) for label, values in rows.items()}

    others = []
    if entry["others"]:
        shown = [line.label for line in lines.values()]
        others = [Line(row_name(*label[:2]), label, {}) for label in rows if label not in shown]
    if entry["improvement"]:
        gain, better, worse = (lines[name].label for name in entry["improvement"])
        if better in rows and worse in rows:
            rows[gain] = _improvement(rows[better], rows[worse])
    columns = _columns(
        named, tested, same_id=same_id, same_average=same_average,
        accuracy=any(row["metric"] == "id_acc" for row in printed),
    )  # fmt: skip
    return [
        {"table": table, "id_dataset": own_id, "published_id_dataset": paper_id}
        | _cell(table, rows, line, column)
        for line in (*lines.values(), *others)
        for column in columns
    ]
