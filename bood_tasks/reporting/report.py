"""One HTML page of tables, figures, cost, choices and provenance that needs nothing but itself."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import jinja2

from bood_tasks.artifacts.spec import ROOT
from bood_tasks.artifacts.store import Artifact
from bood_tasks.artifacts.usage import Cost, duration, measured, size
from bood_tasks.catalogue.products import PRODUCTS
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.tables import goe_tables
from bood_tasks.reporting.tables.costs import cost_sheet
from bood_tasks.reporting.tables.footnotes import footnotes
from bood_tasks.reporting.tables.paper_tables import quality_sheet
from bood_tasks.reporting.tables.published import read_csv
from bood_tasks.reporting.tables.sheet import Sheet
from bood_tasks.reporting.tables.summary import AVERAGE, Lookup, percent, read_table
from bood_tasks.scoring.metrics import read_rows

VERSION = 4
TEMPLATE = Path(__file__).with_suffix(".html.j2")
FEW_SAMPLES = 200
TRIVIAL = 0.95  # AUROC of the best pixel statistic
FOLDED = "contact_"  # a sheet per class would bury the rest


UNKNOWN = "?"


def _table(
    table: Lookup,
    title: str,
    datasets: Mapping[str, int],
    cells: Callable[[tuple], list],
    *,
    more: tuple[tuple[str, str], ...] = (),
) -> dict:
    """Heads and lines of cells: a text, or a pair shown one below the other."""
    sized = [
        ("Average", "") if name == AVERAGE else (name, f"n = {count:,}")
        for name, count in datasets.items()
    ]
    return {
        "title": title,
        "heads": [("Method", "Score"), *sized, *more],
        "lines": [
            [(row_name(*label[:2]), score_name(label[2])), *cells(label)]
            for label in table.labels()
        ],
    }


def _summary(table: Lookup, accuracy: Mapping) -> list[dict]:
    """The run's own tables: test sets, validation and control sets, the other convention."""
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
        shown.append(
            _table(
                table,
                "Validation and control sets, ID positive: FPR95 ↓ and AUROC ↑",
                others,
                lambda label: [table.pair(label, name) for name in others],
            )
        )
    return shown


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


def find_pixel_warnings(table: Lookup, pixels: Mapping[str, Mapping]) -> list[str]:
    """What pixels alone can tell, the rows that tell less, and pictures that are no test at all.

    `pixels` is pixel_statistics.json.
    """
    found = []
    shown = [name for name in table.datasets("test", "validation", "control") if name in pixels]
    trivial = [
        f"{name} ({pixels[name]['statistic']}, AUROC {100 * pixels[name]['auroc']:.1f})"
        for name in shown
        if pixels[name]["auroc"] >= TRIVIAL
    ]
    if trivial:
        found.append(
            "One statistic of the pixels tells these sets from ID, so a detector need not have "
            f"learnt more: {', '.join(trivial)}."
        )
    for name in shown:
        best, below = pixels[name], []
        for label in table.labels():
            row = table.cell(label, name, "auroc", "", table.split(name))
            if row and row["mean"] < best["auroc"]:
                below.append(f"{row_name(*label[:2])}, {score_name(label[2])} ({percent(row)})")
        if below:
            found.append(
                f"On {name}, the pixels' {best['statistic']} has an AUROC of "
                f"{100 * best['auroc']:.1f}. Below that: {'; '.join(below)}."
            )
    for name, fact in pixels.items():
        if "auroc" not in fact:
            if fact["in_training"]:
                found.append(
                    f"{fact['in_training']:,} ID test pictures ({name}) are exact copies of "
                    "training pictures: detectors have seen them."
                )
        elif fact["in_training"] or fact["in_test"]:
            found.append(
                f"{name} holds exact copies of ID pictures: {fact['in_training']:,} of the "
                f"training split, {fact['in_test']:,} of the test split, among {fact['n']:,}."
            )
    return found


def paper_sheets(artifacts: Iterable[Artifact]) -> list[dict]:
    """The papers' tables in these artifacts beside ours, BOOD's before GOE's, for the template."""
    found = {}
    for artifact in artifacts:
        for file in artifact.files:
            if re.fullmatch(r"table\d\.csv", file):
                rows = read_csv(artifact.folder / file)
                cost = "quantity" in rows[0]
                found[file] = cost_sheet(rows) if cost else quality_sheet(rows, convention="id")
            elif re.fullmatch(r"goe_table\d\.csv", file):
                found[file] = goe_tables.sheet(goe_tables.read_cells(artifact.folder / file), [])
    names = sorted(found, key=lambda file: (file.startswith("goe"), file))
    return [_blocks(found[file]) | {"open": file in names[:1]} for file in names]


def _blocks(sheet: Sheet) -> dict:
    """A sheet whose lines are grouped by method, so that its name stands once, beside them all."""
    blocks: list[list] = []
    for line in sheet.lines:
        if line[0].text:
            blocks.append([])
        blocks[-1].append(line)
    return {"sheet": sheet, "marks": sheet.marks(), "blocks": blocks}


def cost_lines(stages: Mapping[str, Cost]) -> list[list[str]]:
    """What each stage took, the sum last; a sum leaves out what is unknown."""
    lines = [
        [
            stage,
            f"{cost.jobs:,}",
            UNKNOWN if cost.items is None else f"{cost.items:,}",
            UNKNOWN if cost.hours is None else duration(3600 * cost.hours),
            size(cost.disk),
            ", ".join(sorted(cost.notes)),
        ]
        for stage, cost in stages.items()
    ]
    jobs, hours, held = (
        sum(getattr(cost, name) or 0 for cost in stages.values())
        for name in ("jobs", "hours", "disk")
    )
    return [*lines, ["sum", f"{jobs:,}", "", duration(3600 * hours), size(held), ""]]


def render(
    rows: list[dict],
    figures: list[dict],
    notes: Mapping,
    *,
    pixels: Mapping[str, Mapping],
    sheets: list[dict],
    stages: Mapping[str, Cost],
    pictures: list[dict],
    warnings: list[str],
    config: Mapping,
    provenance: list[dict],
) -> str:
    """Return the page; `pictures` hold file, title, caption and their PNG bytes as `data`."""
    table = Lookup(rows)
    accuracy = next(row for row in rows if row["metric"] == "id_acc" and row["split"] == "test")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        id_name=accuracy["id_dataset"],
        spread="one run" if accuracy["n_seeds"] == 1
        else f"mean ± standard deviation over {accuracy['n_seeds']} runs",
        tables=_summary(table, accuracy),
        warnings=find_warnings(table, figures) + find_pixel_warnings(table, pixels) + warnings,
        sheets=sheets,
        costs=cost_lines(stages) if stages else [],
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


def _holding(what: str, inputs: Mapping) -> list[Artifact]:
    """Return those inputs that are products which hold tables or figures."""
    return [
        inputs[kind]
        for kind, product in PRODUCTS.items()
        if product.holds == what and kind in inputs
    ]


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    given, pictures, warnings = job.inputs, [], []
    for album in _holding("figures", given):
        captions = album.json("captions.json")
        warnings += captions["warnings"]
        pictures += [
            item | {"data": (album.folder / item["file"]).read_bytes()}
            for item in captions["figures"]
        ]
    page = render(
        read_table(given["tables"].folder / "summary.csv"),
        read_rows(given["metrics"].folder / "metrics.csv"),
        given["tables"].settings["notes"],
        pixels=given["pixel_statistics"].json("pixel_statistics.json"),
        sheets=paper_sheets(_holding("tables", given)),
        # No result depends on how long a job ran, so those here are asked, not declared as inputs.
        stages=measured(
            (
                item["stage"],
                Path(ROOT, item["stage"], item["name"], item["digest"], "manifest.json"),
            )
            for item in job.settings["provenance"]
        ),
        pictures=pictures,
        warnings=warnings,
        config=job.settings["config"],
        provenance=job.settings["provenance"],
    )
    with job.draft() as draft:
        (draft.folder / "report.html").write_text(page, encoding="utf-8")
        draft.finish(rows={"figures": len(pictures)})
