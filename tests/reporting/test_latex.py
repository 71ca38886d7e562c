"""Tables as LaTeX: what pdfLaTeX lacks, and that it takes every file of them."""

import re
import shutil
import subprocess

import pytest

from bood_tasks.reporting.tables import latex, tables
from bood_tasks.reporting.tables.layout import Cell, TableLayout
from tests.reporting.test_tables import ONE_SEED, TWO_SEEDS, averaged

STRANGE = r"a_b & 50% $x$ \ {z} #1 ^~ | < * [β = 2.5, σ² ≤ ½, 中 é"
TABLE = TableLayout(
    STRANGE,
    [("Method", [""]), ("Score", [""]), ("near", ["FPR95 ↓", "AUROC ↑"])],
    2,
    [[Cell("BOOD"), Cell("Energy"), Cell("1.0 ± 0.1", bold=True, note="few"), Cell("–")]],
    ["One run."],
)
DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""


def test_letters_that_pdflatex_lacks_are_commands_or_said_by_number():
    text = latex.escape("β λ Σ Ω 中 é ± … \u2019 \x07")
    assert text == (r"$\beta$ $\lambda$ $\Sigma$ $\Omega$ U+4E2D é $\pm$ \dots{} ' U+0007")


def test_a_tabular_can_be_put_in():
    text = latex.tabular(TABLE)
    assert text.startswith(r"\begin{tabular}{llrr}")
    assert text.endswith(r"\end{tabular}")
    assert r"BOOD & Energy & \textbf{1.0 $\pm$ 0.1}$^{1}$ & -- \\" in text
    assert "usepackage" not in text


def test_a_caption_stands_apart():
    assert latex.caption(TABLE).endswith(". One run. 1: few.\n")


def test_the_summary_has_the_average_first_and_the_best_bold():
    found = tables.layout(averaged(ONE_SEED))
    assert [group for group, _ in found.head[2:]] == ["Average", "dogs", "cars", "ID"]
    line = next(line for line in found.lines if line[0].text == "BOOD")
    assert [cell.text for cell in line] == [
        "BOOD", "Energy", "20.0", "80.0", "30.0", "70.0", "10.0", "90.0", "90.0",
    ]  # fmt: skip
    assert all(cell.bold for cell in line[2:-1])
    assert "One run." in found.notes
    assert not any("One run." in note for note in tables.layout(averaged(TWO_SEEDS)).notes)


def compiles(folder, *files):
    """Whether pdfLaTeX takes files of tables, each put in where its kind belongs."""
    if shutil.which("pdflatex") is None:
        pytest.fail("tests of LaTeX need pdflatex: `make tex` installs it on Debian")
    put = [
        rf"\begin{{table}}\caption[Results]{{\input{{{name.replace('.tex', '_caption')}}}}}"
        rf"\input{{{name}}}\end{{table}}"
        if name == "summary.tex"
        else rf"\input{{{name}}}"
        for name in files
    ]
    (folder / "whole.tex").write_text(DOCUMENT % "\n".join(put), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "whole.tex"],
        cwd=folder, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert not re.search(r"^! |Missing character", done.stdout, re.MULTILINE)


@pytest.mark.long
def test_pdflatex_takes_strange_names(tmp_path):
    (tmp_path / "table1.tex").write_text(latex.floats(TABLE), encoding="utf-8")
    (tmp_path / "summary.tex").write_text(latex.tabular(TABLE), encoding="utf-8")
    (tmp_path / "summary_caption.tex").write_text(latex.caption(TABLE), encoding="utf-8")
    compiles(tmp_path, "table1.tex", "summary.tex")
