"""A table as LaTeX, to be put into a document. That needs the packages booktabs and, to shrink a
table to the page's width, graphicx. Letters and signs that pdfLaTeX lacks are commands."""

import unicodedata

from bood_tasks.reporting.tables.layout import DASH, MINUS, Cell, TableLayout

PACKAGES = r"% \usepackage[T1]{fontenc} \usepackage{booktabs,graphicx}"
GREEK = {
    unicodedata.lookup(f"GREEK {size} LETTER {letter.upper()}"): (
        rf"$\{letter if size == 'SMALL' else letter.capitalize()}$"
    )
    for size, letters in {
        "SMALL": "alpha beta gamma delta epsilon zeta eta theta iota kappa mu nu xi pi rho sigma "
        "tau upsilon phi chi psi omega",
        "CAPITAL": "gamma delta theta xi pi sigma upsilon phi psi omega",
    }.items()
    for letter in letters.split()
} | {"λ": r"$\lambda$", "Λ": r"$\Lambda$"}  # Unicode calls it lamda
# One pass, so that no replacement is replaced again. [ and * would be arguments of a line's end.
SIGNS = GREEK | {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
    "[": "{[}", "*": "{*}", "±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$",
    DASH: "--", "—": "---", MINUS: "$-$", "·": r"$\cdot$", "×": r"$\times$", "→": r"$\to$",
    "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$", "∞": r"$\infty$",
    "√": r"$\sqrt{}$", "ℓ": r"$\ell$", "‖": r"$\|$", "°": r"$^\circ$", "²": "$^2$", "³": "$^3$",
    "½": "1/2", "…": r"\dots{}", "\u2019": "'", "\u2018": "`", "“": "``", "”": "''",
    "\xa0": "~", "ϵ": r"$\epsilon$", "∈": r"$\in$",
}  # fmt: skip


def escape(text: str) -> str:
    """Return a text that pdfLaTeX shows as it is.

    A letter that its fonts lack stands by its number, as U+4E2D.
    """
    return "".join(SIGNS.get(sign) or _plain(sign) for sign in text)


def _plain(sign: str) -> str:
    known = ord(sign) < 0x180 and unicodedata.category(sign)[0] != "C"
    return sign if known else f"U+{ord(sign):04X}"


def tabular(table: TableLayout) -> str:
    """Return a table's tabular alone."""
    marks = table.marks()

    def shown(cell: Cell) -> str:
        text = escape(cell.text)
        text = rf"\textbf{{{text}}}" if cell.bold else text
        return text + (f"$^{{{marks[cell.note]}}}$" if cell.note else "")

    groups, rules, columns, start = [], [], [], 1
    for group, names in table.head:
        end = start + len(names) - 1
        side = "l" if start <= table.left else "c"
        groups.append(rf"\multicolumn{{{len(names)}}}{{{side}}}{{{escape(group)}}}")
        rules += [rf"\cmidrule(lr){{{start}-{end}}}"] * any(names)
        columns += [escape(name) for name in names]
        start = end + 1
    body = []
    for number, line in enumerate(table.lines):
        if number and line[0].text:
            body.append(r"\addlinespace")
        body.append(" & ".join(shown(cell) for cell in line) + r" \\")
    second = [" ".join(rules), " & ".join(columns) + r" \\"] if any(columns) else []
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{'l' * table.left}{'r' * (len(columns) - table.left)}}}",
            r"\toprule",
            " & ".join(groups) + r" \\",
            *second,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def caption(table: TableLayout) -> str:
    """Return what a caption says: the title and the notes."""
    numbered = [f"{number}: {escape(note)}" for note, number in table.marks().items()]
    notes = [escape(note).rstrip(".") for note in table.notes]
    return ". ".join([escape(table.title), *notes, *numbered]) + ".\n"


def floats(*tables: TableLayout) -> str:
    """Return a table environment each, shrunk to the page's width, its notes below it."""
    return "\n\n".join([PACKAGES, *map(_float, tables)]) + "\n"


def _float(table: TableLayout) -> str:
    numbered = [f"$^{{{n}}}$ {escape(note)}." for note, n in table.marks().items()]
    notes = [escape(note) for note in table.notes]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(table.title)}.}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            tabular(table) + "}",
            r"\par\medskip\raggedright\footnotesize",
            "\\par\n".join([*notes, *numbered]),
            r"\end{table}",
        ]
    )
