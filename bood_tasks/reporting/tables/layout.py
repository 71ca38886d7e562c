"""A table before any markup, and as Markdown; latex.py writes it as LaTeX."""

from dataclasses import dataclass

DASH = "–"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Cell:
    """One cell: its plain text, and the note that it is marked with."""

    text: str = ""
    bold: bool = False
    note: str = ""


@dataclass(frozen=True)
class TableLayout:
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


def percentage(mean: float, std: float | None = None, *, sign: str = "-") -> str:
    """Return a fraction in percent, with its deviation if there is one."""
    spread = "" if std is None else f" ± {100 * std:.2f}"
    return f"{100 * mean:{sign}.2f}".replace("-", MINUS) + spread


def escape(text: str) -> str:
    """Return a text that Markdown shows as it is, also within a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def markdown_table(heads: list[str], lines: list[list[str]], *, left: int) -> str:
    """Return a GitHub table of marked-up cells, its first `left` columns to the left."""
    rule = [":--"] * left + ["--:"] * (len(heads) - left)
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def markdown(table: TableLayout) -> str:
    """Return a GitHub table with its title and notes."""
    marks = table.marks()

    def shown(cell: Cell) -> str:
        text = f"**{escape(cell.text)}**" if cell.bold else escape(cell.text)
        return text + (f"<sup>{marks[cell.note]}</sup>" if cell.note else "")

    heads = [
        "<br>".join(escape(name) for name in (group, column) if name)
        for group, columns in table.head
        for column in columns
    ]
    lines = [[shown(cell) for cell in line] for line in table.lines]
    numbered = [f"{number}. {escape(note)}." for note, number in marks.items()]
    parts = [
        f"**{escape(table.title)}**",
        markdown_table(heads, lines, left=table.left),
        *(escape(note) for note in table.notes),
    ]
    return "\n\n".join([*parts, "\n".join(numbered)]).rstrip() + "\n"
