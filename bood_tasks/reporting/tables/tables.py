"""The tables that people read, from metrics.csv: mean and deviation over seeds, in percent.

summary.csv is tidy, fractions at full precision; summary.md shows it with the choices that decide
the numbers as footnotes, summary.tex is for a paper of one's own. Tables 1, 2 and 7 set the same
values beside the paper's.
"""

from collections.abc import Callable, Mapping

import pandas as pd

from bood_tasks.catalogue.metrics import (
    AVERAGED,
    IN_SUMMARY,
    METRICS,
    average_title,
    headings,
    is_average,
)
from bood_tasks.catalogue.products import table_numbers
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.tables import latex
from bood_tasks.reporting.tables.apart import SIGN, UNKNOWN, Differences, meaning, read_differences
from bood_tasks.reporting.tables.footnotes import choices_behind, footnotes
from bood_tasks.reporting.tables.frames import csv_text, read_metrics
from bood_tasks.reporting.tables.layout import Cell, TableLayout, escape, markdown_table
from bood_tasks.reporting.tables.paper_tables import save_quality
from bood_tasks.reporting.tables.published import compare_with_bood
from bood_tasks.reporting.tables.summary import AVERAGE, Label, Lookup, aggregate, percent

VERSION = 6


def _sized(datasets: Mapping[str, int]) -> list[str]:
    return [
        f"**{average_title(name)}**"
        if is_average(name)
        else f"{escape(name)}<br><sub>n = {count:,}</sub>"
        for name, count in datasets.items()
    ]


def markdown(summary: pd.DataFrame, notes: Mapping, differences: Differences = UNKNOWN) -> str:
    """Return summary.md: test sets, validation and control sets, OOD positive, footnotes."""
    table, texts = Lookup(summary), footnotes(notes)
    if differences:
        texts[SIGN] = f"{SIGN}: {meaning(table.first_accuracy()['n_seeds'])}. Bold: the best"
    numbers = {topic: number for number, topic in enumerate(texts, 1)}

    def mark(*topics: str) -> str:
        marks = ", ".join(str(numbers[topic]) for topic in topics if topic in numbers)
        return f"<sup>{marks}</sup>" if marks else ""

    accuracy, shown = table.first_accuracy(), " / ".join(headings(IN_SUMMARY))
    name, n_id = escape(accuracy["id_dataset"]), accuracy["n_id"]

    def figures(label: Label, name: str) -> str:
        split, shown = table.split(name), []
        for metric in IN_SUMMARY:
            text = percent(table.cell(label, name, *metric, split))
            best = table.best(name, metric) if differences else set()
            text = f"**{text}**" if label in best else text
            text += f"<sup>{SIGN}</sup>" * differences.tied(label, best, name, metric, split)
            shown.append(text)
        return " / ".join(shown)

    def named(label: Label, making: str = "") -> list[str]:
        method, variant, score = label
        marks = making if (method, variant) == ("bood", "") else ""
        return [escape(row_name(method, variant)) + marks, escape(score_name(score))]

    def lines(cells: Callable[[Label], list[str]], making: str = "") -> list[list[str]]:
        return [[*named(label, making), *cells(label)] for label in table.labels()]

    tests = table.datasets("test")
    making = mark("encoder", "distances", "ood_features", "images")
    parts = [
        f"**ID {name}: {shown} in percent**{mark('metrics', 'seeds', 'image', SIGN)}, "
        f"ID positive (n_id = {n_id:,}; n = n_ood).",
        markdown_table(
            ["Method", "Score", *_sized(tests),
             f"ID ACC ↑{mark('detector')}<br><sub>n = {n_id:,}</sub>"],
            lines(
                lambda label: [*(figures(label, x) for x in tests),
                               percent(table.accuracy(label))],
                making,
            ),
            left=2,
        ),
    ]  # fmt: skip
    others = table.datasets("validation", "control")
    if others:
        parts += [
            f"**Validation and control sets: {shown} in percent**, ID positive. "
            "Settings are chosen on the validation sets; control sets show by-effects.",
            markdown_table(
                ["Method", "Score", *(
                    f"{head}<br><sub>{table.split(dataset)}</sub>"
                    for head, dataset in zip(_sized(others), others, strict=True)
                )],
                lines(lambda label: [figures(label, name) for name in others]),
                left=2,
            ),
        ]  # fmt: skip

    def flagged(label: Label) -> list[str]:
        wanted = [(dataset, "fpr95", "ood") for dataset in tests]
        wanted += [(AVERAGE, *metric) for metric in AVERAGED]
        return [percent(table.cell(label, *which)) for which in wanted]

    parts += [
        f"**The same scores, OOD positive: FPR95 ↓ in percent**{mark('metrics')}; "
        "AUPR ↑, averaged over the test sets.",
        markdown_table(
            ["Method", "Score", *_sized(tests), *(METRICS[metric].title for metric, _ in AVERAGED)],
            lines(flagged),
            left=2,
        ),
        "\n".join(f"{numbers[topic]}. {escape(text)}." for topic, text in texts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def layout(summary: pd.DataFrame, differences: Differences = UNKNOWN) -> TableLayout:
    """Return the rows of this run on its test sets, the average first, for a paper of one's own."""
    table = Lookup(summary)
    accuracy, labels = table.first_accuracy(), table.labels()
    tests = sorted(table.datasets("test").items(), key=lambda item: not is_average(item[0]))
    names = [name for name, _ in tests]
    tied = meaning(accuracy["n_seeds"])

    def cell(label: Label, name: str, metric: tuple[str, str]) -> Cell:
        shown, best = percent(table.cell(label, name, *metric)), table.best(name, metric)
        same = differences.tied(label, best, name, metric, "test")
        return Cell(shown, bold=label in best, note=tied * same)

    lines, method = [], ""
    for label in labels:
        named = row_name(*label[:2])
        first = [Cell("" if named == method else named), Cell(score_name(label[2]))]
        cells = [cell(label, name, metric) for name in names for metric in IN_SUMMARY]
        own = Cell("" if named == method else percent(table.accuracy(label)))
        lines.append([*first, *cells, own])
        method = named
    head = [("Method", [""]), ("Score", [""])]
    head += [
        (average_title(name) if is_average(name) else name, headings(IN_SUMMARY))
        for name, _ in tests
    ]
    runs = accuracy["n_seeds"]
    sizes = ", ".join(f"{name} {count:,}" for name, count in tests if not is_average(name))
    notes = [
        "One run." if runs == 1 else f"Mean ± standard deviation over {runs} runs.",
        f"In percent, ID positive. Samples: ID {accuracy['n_id']:,}; {sizes}.",
        "Bold: the best of each column.",
    ]
    title = f"OOD detection with ID {accuracy['id_dataset']}"
    return TableLayout(title, [*head, ("ID", [METRICS["id_acc"].heading])], 2, lines, notes)


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    metrics = job.inputs["metrics"]
    groups = dict(metrics.settings.get("groups", ()))
    summary, differences = aggregate(read_metrics(metrics), groups), read_differences(metrics)
    notes = job.settings["notes"]
    with job.draft() as draft:
        (draft.folder / "summary.csv").write_text(csv_text(summary), encoding="utf-8")
        (draft.folder / "summary.md").write_text(
            markdown(summary, notes, differences), encoding="utf-8"
        )
        shown = layout(summary, differences)
        own = f"{latex.PACKAGES}\n{latex.tabular(shown)}\n"
        (draft.folder / "summary.tex").write_text(own, encoding="utf-8")
        (draft.folder / "summary_caption.tex").write_text(latex.caption(shown), encoding="utf-8")
        for table in table_numbers("tables"):
            save_quality(
                draft.folder, compare_with_bood(summary, table), choices_behind(job.settings, table)
            )
        draft.finish(rows={"summary": len(summary)})
