"""One HTML page of tables, choices, figures and provenance that needs nothing but itself."""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2

from bood_tasks.footnotes import footnotes
from bood_tasks.metrics import read_rows
from bood_tasks.stage import read_job, run
from bood_tasks.tables import AVERAGE, Lookup, percent, read_table, row_name, score_name

VERSION = 3
TEMPLATE = Path(__file__).parent / "data" / "report.html.j2"
FEW_SAMPLES = 200
FOLDED = "contact_"  # a sheet per class would bury the rest


def _table(
    table: Lookup,
    title: str,
    datasets: Mapping[str, int],
    cells: Callable[[tuple], list],
    *,
    more: tuple[tuple[str, str], ...] = (),
) -> dict:
    """Heads with sizes, and lines of cells: a text, or a pair shown one below the other."""
    sized = [
        ("Average", "") if name == AVERAGE else (name, f"n = {count:,}")
        for name, count in datasets.items()
    ]
    return {
        "title": title,
        "heads": [("Method", ""), ("Score", ""), *sized, *more],
        "lines": [
            [row_name(*label[:2]), score_name(label[2]), *cells(label)] for label in table.labels()
        ],
    }


def find_warnings(table: Lookup, figures: list[dict]) -> list[str]:
    """What the table's own counts tell a reader to be careful about.

    `figures` are the rows of metrics.csv.
    """
    found = []
    seeds = max(row["n_seeds"] for row in table.rows)
    if seeds == 1:
        found.append("One seed: differences between rows may be chance.")
    elif seeds < 3:
        found.append(f"Only {seeds} seeds: the deviations are rough.")
    few = {
        row["ood_dataset"]: row["n_ood"]
        for row in figures
        if row["ood_dataset"] and row["n_ood"] < FEW_SAMPLES
    }
    if few:
        sets = ", ".join(f"{name} ({count})" for name, count in few.items())
        found.append(f"Few samples, so coarse figures: {sets}.")
    return found


def render(
    rows: list[dict],
    figures: list[dict],
    notes: Mapping,
    *,
    pictures: list[dict],
    warnings: list[str],
    config: Mapping,
    provenance: list[dict],
) -> str:
    """Return the page; `pictures` hold file, title, caption and their PNG bytes as `data`."""
    table = Lookup(rows)
    accuracy = next(row for row in rows if row["metric"] == "id_acc" and row["split"] == "test")
    tests, others = table.datasets("test"), table.datasets("validation", "control")
    shown = [
        _table(
            table,
            "",
            tests,
            lambda label: [
                *(table.pair(label, name) for name in tests),
                percent(table.accuracy(label)),
            ],
            more=(("ID accuracy", f"n = {accuracy['n_id']:,}"),),
        ),
        _table(
            table,
            "The same scores, OOD positive: FPR95 ↓ in percent",
            tests,
            lambda label: [percent(table.cell(label, name, "fpr95", "ood")) for name in tests],
        ),
    ]
    if others:
        shown.insert(
            1,
            _table(
                table,
                "Validation and control sets: FPR95 ↓ and AUROC ↑",
                others,
                lambda label: [table.pair(label, name) for name in others],
            ),
        )
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        id_name=accuracy["id_dataset"],
        spread="one run" if accuracy["n_seeds"] == 1
        else f"mean ± standard deviation over {accuracy['n_seeds']} runs",
        tables=shown,
        warnings=find_warnings(table, figures) + warnings,
        notes=list(footnotes(notes).values()),
        figures=[
            picture
            | {
                "data": base64.b64encode(picture["data"]).decode(),
                "folded": picture["file"].startswith(FOLDED),
            }
            for picture in pictures
        ],
        provenance=provenance,
        stages=len({item["stage"] for item in provenance}),
        config=json.dumps(config, indent=1, ensure_ascii=False),
    )  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    metrics, tables = job.inputs["metrics"], job.inputs["tables"]
    pictures, warnings = [], []
    for album in (job.inputs["gallery"], job.inputs["figures"]):
        captions = album.json("captions.json")
        warnings += captions["warnings"]
        pictures += [
            item | {"data": (album.folder / item["file"]).read_bytes()}
            for item in captions["figures"]
        ]
    page = render(
        read_table(tables.folder / "table1.csv"),
        read_rows(metrics.folder / "metrics.csv"),
        tables.settings["notes"],
        pictures=pictures,
        warnings=warnings,
        config=job.settings["config"],
        provenance=job.settings["provenance"],
    )
    with job.draft() as draft:
        (draft.folder / "report.html").write_text(page, encoding="utf-8")
        draft.finish(rows={"figures": len(pictures)})


if __name__ == "__main__":
    run(main)
