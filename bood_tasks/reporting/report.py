"""One HTML page of tables, figures, cost, choices and provenance that needs nothing but itself."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import jinja2
import pandas as pd

from bood_tasks.artifacts.spec import ROOT
from bood_tasks.artifacts.store import Artifact
from bood_tasks.artifacts.usage import Cost, duration, measured, size
from bood_tasks.catalogue.metrics import IN_SUMMARY, headings
from bood_tasks.catalogue.products import PRODUCTS
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.tables.costs import cost_layout
from bood_tasks.reporting.tables.footnotes import footnotes
from bood_tasks.reporting.tables.frames import read_csv, records
from bood_tasks.reporting.tables.goe_tables import goe_layout
from bood_tasks.reporting.tables.layout import TableLayout
from bood_tasks.reporting.tables.paper_tables import bood_layout
from bood_tasks.reporting.tables.summary import AVERAGE, Label, Lookup, percent

VERSION = 5
TEMPLATE = Path(__file__).with_suffix(".html.j2")
FEW_SAMPLES = 200
TRIVIAL = 0.95  # AUROC of the best pixel statistic
FOLDED = "contact_"  # a sheet per class would bury the rest
UNKNOWN = "?"


def _table(
    table: Lookup,
    title: str,
    datasets: Mapping[str, int],
    cells: Callable[[Label], list],
    *,
    more: tuple[tuple[str, str], ...] = (),
) -> dict:
    """Return heads and lines of cells: a text, or several shown one below the other."""
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
    """Return the run's own tables: test sets, the other convention, validation and control sets."""
    tests, others = table.datasets("test"), table.datasets("validation", "control")
    shown = [
        _table(
            table,
            "",
            tests,
            lambda label: [
                *(table.shown(label, name) for name in tests),
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
                f"Validation and control sets, ID positive: {' and '.join(headings(IN_SUMMARY))}",
                others,
                lambda label: [table.shown(label, name) for name in others],
            )
        )
    return shown


def find_warnings(table: Lookup, results: pd.DataFrame) -> list[str]:
    """Return what the table's own counts tell a reader to be careful about.

    `results`: the rows of metrics.csv.
    """
    found = []
    seeds = max(row["n_seeds"] for row in table.rows)
    if seeds == 1:
        found.append("One seed: differences between rows may be chance.")
    elif seeds < 3:
        found.append(f"Only {seeds} seeds: the deviations are rough.")
    few = results[(results["ood_dataset"] != "") & (results["n_ood"] < FEW_SAMPLES)]
    if len(few):
        counts = dict(zip(few["ood_dataset"], few["n_ood"], strict=True))
        sets = ", ".join(f"{name} ({count})" for name, count in counts.items())
        found.append(f"Few samples, so coarse figures: {sets}.")
    return found


def find_pixel_warnings(table: Lookup, pixels: Mapping[str, Mapping]) -> list[str]:
    """Return what pixels alone can tell, the rows that tell less, and pictures that are no test.

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


def paper_tables(artifacts: Iterable[Artifact]) -> list[dict]:
    """Return the papers' tables in these artifacts beside ours, BOOD's before GOE's."""
    found = {}
    for artifact in artifacts:
        for file in artifact.files:
            if re.fullmatch(r"table\d+\.csv", file):
                rows = records(read_csv(artifact.folder / file))
                cost = "quantity" in rows[0]
                found[file] = cost_layout(rows) if cost else bood_layout(rows, convention="id")
            elif re.fullmatch(r"goe_table\d+\.csv", file):
                rows = records(read_csv(artifact.folder / file))
                corrected = [row for row in rows if row["profile"] == "corrected"]
                found[file] = goe_layout(corrected, [])
    names = sorted(found, key=lambda file: (file.startswith("goe"), file))
    return [_blocks(found[file]) | {"open": file in names[:1]} for file in names]


def _blocks(table: TableLayout) -> dict:
    """Group a table's lines by method, so that its name stands once, beside them all."""
    blocks: list[list] = []
    for line in table.lines:
        if line[0].text:
            blocks.append([])
        blocks[-1].append(line)
    return {"table": table, "marks": table.marks(), "blocks": blocks}


def read_lines(sets: Iterable[Mapping]) -> list[list[str]]:
    """Return a line for each data set (its dataset.json): samples by split, classes, what was left
    out and what was changed on the way."""
    lines = []
    for facts in sets:
        read = facts["read"]
        classes = []
        for split, counts in read["classes"].items():
            least, most = (min(counts.values()), max(counts.values())) if counts else (0, 0)
            if len(counts) > 1:
                each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
                classes.append(f"{split}: {len(counts):,} of {each}")
        out = [f"{count:,} {reason}" for reason, count in read["left_out"].items()]
        out += [f"{read['unreadable']:,} unreadable"] * bool(read["unreadable"])
        out += [f"of {n:,} published ({split})" for split, n in read["published"].items()]
        lines.append(
            [
                facts["name"],
                ", ".join(f"{split} {count:,}" for split, count in facts["counts"].items()),
                "; ".join(classes),
                "; ".join(out),
                "; ".join(f"{count:,} {how}" for how, count in read["converted"].items()),
            ]
        )
    return lines


def cost_lines(stages: Mapping[str, Cost]) -> list[list[str]]:
    """Return what each stage took, the sum last; a sum leaves out what is unknown."""
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
    summary: pd.DataFrame,
    results: pd.DataFrame,
    notes: Mapping,
    *,
    pixels: Mapping[str, Mapping],
    papers: list[dict],
    stages: Mapping[str, Cost],
    pictures: list[dict],
    warnings: list[str],
    config: Mapping,
    provenance: list[dict],
    read: list[list[str]],
) -> str:
    """Return the page.

    `summary`, `results`: summary.csv and metrics.csv. `read`: see read_lines. `pictures` hold
    file, title, caption and their PNG bytes as `data`.
    """
    table = Lookup(summary)
    accuracy = table.first_accuracy()
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        id_name=accuracy["id_dataset"],
        spread="one run" if accuracy["n_seeds"] == 1
        else f"mean ± standard deviation over {accuracy['n_seeds']} runs",
        shown=" and, below it, ".join(headings(IN_SUMMARY)),
        tables=_summary(table, accuracy),
        warnings=find_warnings(table, results) + find_pixel_warnings(table, pixels) + warnings,
        papers=papers,
        costs=cost_lines(stages) if stages else [],
        notes=list(footnotes(notes).values()),
        read=read,
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
    inputs, pictures, warnings = job.inputs, [], []
    for album in _holding("figures", inputs):
        captions = album.json("captions.json")
        warnings += captions["warnings"]
        pictures += [
            item | {"data": (album.folder / item["file"]).read_bytes()}
            for item in captions["figures"]
        ]
    page = render(
        read_csv(inputs["tables"].folder / "summary.csv"),
        read_csv(inputs["metrics"].folder / "metrics.csv"),
        inputs["tables"].settings["notes"],
        pixels=inputs["pixel_statistics"].json("pixel_statistics.json"),
        papers=paper_tables(_holding("tables", inputs)),
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
        read=read_lines(item.json("dataset.json") for item in inputs["datasets"]),
    )
    with job.draft() as draft:
        (draft.folder / "report.html").write_text(page, encoding="utf-8")
        draft.finish(rows={"figures": len(pictures)})
