"""The tables that people read, from metrics.csv: mean and deviation over seeds, in percent.

summary.csv is tidy, fractions at full precision; summary.md shows it with the choices that decide
the numbers as footnotes. Tables 1, 2 and 7 set the same figures beside the paper's.
"""

from collections.abc import Callable, Mapping

from bood_tasks.catalogue.products import table_numbers
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.tables.footnotes import footnotes
from bood_tasks.reporting.tables.paper_tables import save_quality
from bood_tasks.reporting.tables.published import compare
from bood_tasks.reporting.tables.summary import (
    AVERAGE,
    Lookup,
    Row,
    aggregate,
    percent,
    save_summary,
)
from bood_tasks.scoring.metrics import read_rows

VERSION = 3


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _table(head: list[str], lines: list[list[str]], left: int) -> str:
    rule = [":--"] * left + ["--:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def _sized(datasets: Mapping[str, int]) -> list[str]:
    return [
        "**Average**" if name == AVERAGE else f"{_escape(name)}<br><sub>n = {count:,}</sub>"
        for name, count in datasets.items()
    ]


def markdown(rows: list[Row], notes: Mapping) -> str:
    """Return summary.md: test sets, validation and control sets, OOD positive, footnotes."""
    table, texts = Lookup(rows), footnotes(notes)
    numbers = {topic: number for number, topic in enumerate(texts, 1)}

    def mark(*topics: str) -> str:
        given = ", ".join(str(numbers[topic]) for topic in topics if topic in numbers)
        return f"<sup>{given}</sup>" if given else ""

    accuracy = next(row for row in rows if row["metric"] == "id_acc" and row["split"] == "test")
    name, n_id = _escape(accuracy["id_dataset"]), accuracy["n_id"]

    def named(label: tuple, making: str = "") -> list[str]:
        method, variant, score = label
        own = making if (method, variant) == ("bood", "") else ""
        return [_escape(row_name(method, variant)) + own, _escape(score_name(score))]

    def lines(cells: Callable[[tuple], list[str]], making: str = "") -> list[list[str]]:
        return [[*named(label, making), *cells(label)] for label in table.labels()]

    tests = table.datasets("test")
    making = mark("encoder", "distances", "ood_features", "images")
    parts = [
        f"**ID {name}: FPR95 ↓ / AUROC ↑ in percent**{mark('metrics', 'seeds', 'image')}, "
        f"ID positive (n_id = {n_id:,}; n = n_ood).",
        _table(
            ["Method", "Score", *_sized(tests),
             f"ID ACC ↑{mark('detector')}<br><sub>n = {n_id:,}</sub>"],
            lines(
                lambda label: [*(" / ".join(table.pair(label, x)) for x in tests),
                               percent(table.accuracy(label))],
                making,
            ),
            left=2,
        ),
    ]  # fmt: skip
    others = table.datasets("validation", "control")
    if others:
        parts += [
            "**Validation and control sets: FPR95 ↓ / AUROC ↑ in percent**, ID positive. "
            "Settings are chosen on the validation sets; control sets show by-effects.",
            _table(
                ["Method", "Score", *(
                    f"{head}<br><sub>{table.split(dataset)}</sub>"
                    for head, dataset in zip(_sized(others), others, strict=True)
                )],
                lines(lambda label: [" / ".join(table.pair(label, name)) for name in others]),
                left=2,
            ),
        ]  # fmt: skip

    def flagged(label: tuple) -> list[str]:
        wanted = [(dataset, "fpr95", "ood") for dataset in tests]
        wanted += [(AVERAGE, "aupr_in", ""), (AVERAGE, "aupr_out", "")]
        return [percent(table.cell(label, *figure)) for figure in wanted]

    parts += [
        f"**The same scores, OOD positive: FPR95 ↓ in percent**{mark('metrics')}; "
        "AUPR ↑, averaged over the test sets.",
        _table(["Method", "Score", *_sized(tests), "AUPR-IN", "AUPR-OUT"], lines(flagged), left=2),
        "\n".join(f"{numbers[topic]}. {_escape(text)}." for topic, text in texts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    rows = aggregate(read_rows(job.inputs["metrics"].folder / "metrics.csv"))
    notes = job.settings["notes"]
    with job.draft() as draft:
        save_summary(rows, draft.folder / "summary.csv")
        text = markdown(rows, notes)
        (draft.folder / "summary.md").write_text(text, encoding="utf-8")
        for table in table_numbers("tables"):
            save_quality(draft.folder, compare(rows, table), list(footnotes(notes).values()))
        draft.finish(rows={"summary": len(rows)})
