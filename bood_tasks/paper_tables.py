"""Our results beside BOOD's tables as people read them: Markdown and LaTeX of published.py's rows.

Each method has up to three lines: ours, the published ones, ours minus published. A figure that is
missing shows a dash with a numbered note that says why.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from bood_tasks.metrics import Convention
from bood_tasks.published import AVERAGE, KEY, ONE_SEED, OUR_AVERAGE, Row, csv_text
from bood_tasks.registry import CONTROLS, score_name

NAMES = {"fpr95": "FPR95 ↓", "auroc": "AUROC ↑", "id_acc": "ACC ↑"}
DASH = "–"
MINUS = "\N{MINUS SIGN}"
PROVES_NOTHING = "the difference compares different data sets and proves nothing about reproduction"
# One pass, so that no replacement is replaced again. [ and * would be arguments of a line's end.
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
        "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
        "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
        "[": "{[}", "*": "{*}", "±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$",
        DASH: "--", MINUS: "$-$", "·": r"$\cdot$",
    }
)  # fmt: skip
DOCUMENT = r"""\documentclass{article}
\usepackage[a4paper,margin=1cm]{geometry}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""


@dataclass(frozen=True)
class Cell:
    """What one cell says, in plain text, and the note that it is marked with."""

    text: str = ""
    bold: bool = False
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """One table before any markup. `head`: the groups of columns with the columns of each; the
    first `left` columns are words. A line whose first cell says something opens a block."""

    title: str
    head: list[tuple[str, list[str]]]
    left: int
    lines: list[list[Cell]]
    notes: list[str]

    def marks(self) -> dict[str, int]:
        """Return {note: number} of the cells' notes, in order of reading."""
        found = dict.fromkeys(cell.note for line in self.lines for cell in line if cell.note)
        return {note: number for number, note in enumerate(found, 1)}


def percentage(mean: float, std: float | str = "", *, sign: str = "-") -> str:
    """Return a fraction in percent, with its deviation if there is one."""
    spread = "" if std == "" else f" ± {100 * std:.2f}"
    return f"{100 * mean:{sign}.2f}".replace("-", MINUS) + spread


def _missing(*reasons: str) -> Cell:
    return Cell(DASH, note="; ".join(reason for reason in reasons if reason and reason != ONE_SEED))


def _dataset(row: Row) -> tuple[str, str]:
    return row["published_ood_dataset"], row["ood_dataset"]


def _place(row: Row) -> tuple[str, str, str]:
    return *_dataset(row), row["metric"]


def _best(rows: Iterable[Row]) -> dict[tuple, str]:
    """Return the best of our figures in each column, as printed: what prints alike is a tie."""
    best: dict[tuple, float] = {}
    for row in rows:
        # An improvement is no result, and the pixel statistic was chosen on the test sets.
        if row["mean"] != "" and row["score"] and row["our_method"] not in CONTROLS:
            choose = min if row["metric"] == "fpr95" else max
            best[_place(row)] = choose(row["mean"], best.get(_place(row), row["mean"]))
    return {place: percentage(mean) for place, mean in best.items()}


def _ours(row: Row, best: dict[tuple, str]) -> Cell:
    if row["mean"] == "":
        return _missing(row["missing"])
    note = "" if row["missing"] == ONE_SEED else row["missing"]
    if not row["score"]:
        return Cell(percentage(row["mean"], sign="+"), note=note)
    wins = row["our_method"] not in CONTROLS and percentage(row["mean"]) == best[_place(row)]
    return Cell(percentage(row["mean"], row["std"]), wins, note)


def _published(row: Row) -> Cell:
    if row["published"] == "":
        return _missing(row["published_missing"])
    sign = "-" if row["score"] else "+"
    return Cell(percentage(row["published"], row["published_std"], sign=sign))


def _difference(row: Row, different: str) -> Cell:
    if row["delta"] != "":
        note = "" if row["comparable"] else f"{different}: {PROVES_NOTHING}"
        return Cell(percentage(row["delta"], sign="+"), note=note)
    if row["mean"] != "" and row["published"] != "":
        return Cell(DASH, note="accuracies on different data")
    return _missing(
        row["missing"] if row["mean"] == "" else "",
        row["published_missing"] if row["published"] == "" else "",
    )


def _block(names: list[str], ours: list, published: list, differences: list) -> list[list[Cell]]:
    """Return one method's lines, without the differences where there are none."""
    first, rest = [Cell(name) for name in names], [Cell() for _ in names]
    block = [[*first, Cell("ours"), *ours], [*rest, Cell("published"), *published]]
    if any(cell.text != DASH for cell in differences):
        block.append([*rest, Cell("difference"), *differences])
    return block


def _sizes(rows: list[Row]) -> str:
    """Return how many pictures our figures are of."""
    ours = [row for row in rows if row["n_ood"] not in ("", 0)]
    if not ours:
        return ""
    named = {row["ood_dataset"]: row["n_ood"] for row in ours}
    whole = named.pop(OUR_AVERAGE, None)
    sets = ", ".join(f"{name} {count:,}" for name, count in named.items())
    return f"Pictures of ours: ID {ours[0]['n_id']:,}; {sets or f'OOD {whole:,}'}."


def quality_sheet(rows: list[Row], *, convention: Convention, choices: Sequence[str] = ()) -> Sheet:
    """Lay out what published.compare returns, FPR95 in one of its two conventions.

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
    best = _best(row for line in lines.values() for row in line)
    different = (
        "the average is over other test sets than the paper's"
        if same_id
        else f"ID {own_id} and its test sets against the paper's ID {paper_id} and its test sets"
    )
    head = [("Method", [""]), ("Score", [""]), ("", [""])]
    for (paper, own), columns in groupby(next(iter(lines.values())), _dataset):
        head.append((paper or own or "ID", [NAMES[row["metric"]] for row in columns]))
    blocks = [
        _block(
            [method, score_name(score)],
            [_ours(row, best) for row in line],
            [_published(row) for row in line],
            [_difference(row, different) for row in line],
        )
        for (method, _, _, score), line in lines.items()
    ]
    seeds = sorted({row["n_seeds"] for row in rows if row["n_seeds"] != ""})
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
    return Sheet(
        f"BOOD's table {rows[0]['table']}: {entry['title']}, ID {paper_id}. FPR95 with "
        f"{convention.upper()} positive",
        head,
        3,
        [line for block in blocks for line in block],
        notes,
    )


def cost_sheet(rows: list[Row]) -> Sheet:
    """Lay out what published.compare_cost returns."""
    table, costs = rows[0]["table"], KEY["costs"]
    quantities = list(dict.fromkeys(row["quantity"] for row in rows))
    lines, counted = [], []
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = [row for row in rows if row["method"] == method]
        ours, published, differences = [], [], []
        for row in cells:
            unit, none = row["unit"], _missing(row["missing"])
            published.append(Cell(f"{row['published']:g} {unit}"))
            ours.append(none if row["missing"] else Cell(f"{row['ours']:.3g} {unit}"))
            differences.append(
                none if row["missing"] else Cell(f"{row['delta']:+.3g} {unit}".replace("-", MINUS))
            )
        lines += _block([method], ours, published, differences)
        stages = costs["stages"][costs["methods"][method]]
        counted.append(
            f"{method}: "
            + ", ".join(f"{name} = {' + '.join(stages[name])}" for name in quantities[:-1])
        )
    return Sheet(
        f"BOOD's table {table}: {costs['tables'][table]['title']}",
        [("Method", [""]), ("", [""]), *((name, [""]) for name in quantities)],
        2,
        lines,
        [
            "Published values are printed as “about”; MB is 1,048,576 bytes, G 1,024 MB.",
            f"Our stages: {'; '.join(counted)}.",
            "Ours is this run on its machine, with its data, networks and number of images: a "
            "difference tells sizes and machines apart, not methods.",
        ],
    )


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def markdown(sheet: Sheet) -> str:
    """Return the sheet as a GitHub table with its notes."""
    marks = sheet.marks()

    def shown(cell: Cell) -> str:
        text = f"**{_escape(cell.text)}**" if cell.bold else _escape(cell.text)
        return text + (f"<sup>{marks[cell.note]}</sup>" if cell.note else "")

    heads = [
        "<br>".join(_escape(name) for name in (group, column) if name)
        for group, columns in sheet.head
        for column in columns
    ]
    rule = [":--"] * sheet.left + ["--:"] * (len(heads) - sheet.left)
    lines = [heads, rule, *([shown(cell) for cell in line] for line in sheet.lines)]
    numbered = [f"{number}. {_escape(note)}." for note, number in marks.items()]
    parts = [
        f"**{_escape(sheet.title)}**",
        "\n".join(f"| {' | '.join(line)} |" for line in lines),
        *(_escape(note) for note in sheet.notes),
    ]
    return "\n\n".join([*parts, "\n".join(numbered)]).rstrip() + "\n"


def latex(*sheets: Sheet) -> str:
    """Return a document of its own: a booktabs table a sheet, shrunk to the page's width.

    Its table environments can be taken out; they need the packages booktabs and graphicx.
    """
    return DOCUMENT % "\n\n".join(map(_latex_table, sheets))


def _latex_table(sheet: Sheet) -> str:
    marks = sheet.marks()

    def shown(cell: Cell) -> str:
        text = cell.text.translate(LATEX)
        text = rf"\textbf{{{text}}}" if cell.bold else text
        return text + (f"$^{{{marks[cell.note]}}}$" if cell.note else "")

    groups, rules, columns, start = [], [], [], 1
    for group, names in sheet.head:
        end = start + len(names) - 1
        place = "l" if start <= sheet.left else "c"
        groups.append(rf"\multicolumn{{{len(names)}}}{{{place}}}{{{group.translate(LATEX)}}}")
        rules += [rf"\cmidrule(lr){{{start}-{end}}}"] * any(names)
        columns += [name.translate(LATEX) for name in names]
        start = end + 1
    body = []
    for number, line in enumerate(sheet.lines):
        if number and line[0].text:
            body.append(r"\addlinespace")
        body.append(" & ".join(shown(cell) for cell in line) + r" \\")
    second = [" ".join(rules), " & ".join(columns) + r" \\"] if any(columns) else []
    numbered = [f"$^{{{number}}}$ {note.translate(LATEX)}." for note, number in marks.items()]
    notes = [note.translate(LATEX) for note in sheet.notes]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{sheet.title.translate(LATEX)}.}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{'l' * sheet.left}{'r' * (len(columns) - sheet.left)}}}",
            r"\toprule",
            " & ".join(groups) + r" \\",
            *second,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\par\medskip\raggedright\footnotesize",
            "\\par\n".join([*notes, *numbered]),
            r"\end{table}",
        ]
    )


def save(folder: Path, rows: list[Row], *sheets: Sheet) -> None:
    """Write table<number>.csv, .md and .tex: what was compared, and the sheets that show it."""
    name = f"table{rows[0]['table']}"
    texts = {
        "csv": csv_text(rows),
        "md": "\n".join(map(markdown, sheets)),
        "tex": latex(*sheets),
    }
    for kind, text in texts.items():
        (folder / f"{name}.{kind}").write_text(text, encoding="utf-8")


def save_quality(folder: Path, rows: list[Row], choices: Sequence[str]) -> None:
    """Save what published.compare returns, both conventions of FPR95 one below the other."""
    both = [quality_sheet(rows, convention=side, choices=choices) for side in ("id", "ood")]
    save(folder, rows, *both)
