"""One HTML page of tables, figures, cost, choices and provenance that needs nothing but itself."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import jinja2
import pandas as pd

from bood_tasks import __version__
from bood_tasks.artifacts.spec import ROOT
from bood_tasks.artifacts.store import Artifact
from bood_tasks.artifacts.usage import Cost, Run, duration, measured, ran, size
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.metrics import IN_SUMMARY, METRICS, group_average, headings, is_average
from bood_tasks.catalogue.products import PRODUCTS
from bood_tasks.catalogue.samplers import STEP_SIZE_FOUND
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.catalogue.terms import METRICS as METRIC_TERMS
from bood_tasks.catalogue.terms import WORDS, meaning_of_row, meaning_of_score, meaning_of_set
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.cautions import find_untrained
from bood_tasks.reporting.compared_tables import costs_table, differences_table
from bood_tasks.reporting.findings import contenders, findings
from bood_tasks.reporting.line_costs import LineCost, line_costs, measured_hours, said
from bood_tasks.reporting.own_tables import meaning_of_line, own_tables, read_intervals
from bood_tasks.reporting.tables.apart import UNKNOWN, Differences, read_differences
from bood_tasks.reporting.tables.costs import cost_layout
from bood_tasks.reporting.tables.footnotes import footnotes
from bood_tasks.reporting.tables.frames import read_csv, read_metrics, records
from bood_tasks.reporting.tables.goe_tables import goe_layout
from bood_tasks.reporting.tables.layout import TableLayout
from bood_tasks.reporting.tables.leaderboard import leaderboard
from bood_tasks.reporting.tables.paper_tables import bood_layout
from bood_tasks.reporting.tables.summary import Lookup
from bood_tasks.scoring.colour import find_colour_warnings

VERSION = 9
TEMPLATE = Path(__file__).with_suffix(".html.j2")
FEW_SAMPLES = 200
TRIVIAL = 0.95  # AUROC of the best pixel statistic
FOLDED = "contact_"  # a sheet per class would bury the rest
UNMEASURED = "?"


def _words(
    table: Lookup,
    meanings: Mapping[str, str],
    outliers: Mapping[str, str],
    papers: list[dict],
    told: Mapping[str, str],
) -> list[tuple[str, str]]:
    """Return each term of the tables and what it means, in order of reading."""
    labels = table.labels()
    rows = {row_name(*label[:2]): meaning_of_line(label, outliers, told) for label in labels}
    scores = {score_name(label[2]): meaning_of_score(label[2], told) for label in labels}
    metrics = {entry.title: METRIC_TERMS[name] for name, entry in METRICS.items()}
    named = {
        cell.text
        for item in papers
        for line in item["table"].lines
        for cell in line[: item["table"].left]
    }
    theirs = {row_name(name, ""): meaning_of_row(name) for name in METHODS}
    theirs |= {score_name(name): meaning_of_score(name) for name in SCORES}
    theirs = {word: meaning for word, meaning in theirs.items() if word in named}
    found = (WORDS, metrics, rows, scores, theirs, meanings)  # a row and a score may share a name
    pairs = dict.fromkeys(pair for part in found for pair in part.items())
    return [(word, meaning) for word, meaning in pairs if meaning]


def find_warnings(
    table: Lookup, results: pd.DataFrame, pixels: Mapping[str, Mapping]
) -> dict[str, list[str]]:
    """Return what to be careful about: of the whole table by "", else by the set that it concerns.

    `results`: the rows of metrics.csv; `pixels`: pixel_statistics.json.
    """
    found: dict[str, list[str]] = {"": []}
    seeds = max(row["n_seeds"] for row in table.rows)
    if seeds == 1:
        found[""].append("One seed: differences between rows may be chance.")
    elif seeds < 3:
        found[""].append(f"Only {seeds} seeds: the deviations are rough.")
    few = results[(results["ood_dataset"] != "") & (results["n_ood"] < FEW_SAMPLES)]
    for name in few["ood_dataset"].unique():
        found.setdefault(name, []).append("few samples, so coarse figures.")
    for name, fact in pixels.items():
        if "auroc" not in fact:
            if fact["in_training"]:
                found[""].append(
                    f"{fact['in_training']:,} ID test pictures ({name}) are exact copies of "
                    "training pictures: detectors have seen them."
                )
            continue
        texts = found.setdefault(name, [])
        if fact["auroc"] >= TRIVIAL:
            texts.append(
                f"one statistic of the pixels ({fact['statistic']}) tells it from ID with an AUROC "
                f"of {100 * fact['auroc']:.1f}, so a detector need not have learnt more."
            )
        if fact["in_training"] or fact["in_test"]:
            texts.append(
                f"it holds exact copies of ID pictures: {fact['in_training']:,} of the training "
                f"split, {fact['in_test']:,} of the test split, among {fact['n']:,}."
            )
    return found


def paper_tables(artifacts: Iterable[Artifact]) -> list[dict]:
    """Return the papers' tables in these artifacts beside ours, BOOD's before GOE's.

    None where nothing of ours was measured on a paper's own data: differences would prove nothing,
    and bury what was measured. results/tables has them all the same.
    """
    read = {
        file: records(read_csv(artifact.folder / file))
        for artifact in artifacts
        for file in artifact.files
        if re.fullmatch(r"(goe_)?table\d+\.csv", file)
    }
    if not any(row.get("comparable") for rows in read.values() for row in rows):
        return []
    found = {}
    for file in sorted(read, key=lambda file: (file.startswith("goe"), file)):
        rows = read[file]
        if file.startswith("goe"):
            found[file] = goe_layout([row for row in rows if row["profile"] == "corrected"], [])
        elif "quantity" in rows[0]:
            found[file] = cost_layout(rows)
        else:
            found[file] = bood_layout(rows, convention="id")
    return [_blocks(layout) for layout in found.values()]


def leaderboards(table: Lookup, config: Mapping) -> list[dict]:
    """Return OpenOOD's leaderboard of the ID data set beside ours, if the run tests its sets."""
    name = config["id"]
    kind = config.get("datasets", {}).get(name, {}).get("kind")
    groups = config.get("metrics", {}).get("groups", {})
    found = leaderboard(table, kind if kind in CATALOGUE else name, groups)
    return [_blocks(found)] if found else []


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
            UNMEASURED if cost.items is None else f"{cost.items:,}",
            UNMEASURED if cost.hours is None else duration(3600 * cost.hours),
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
    intervals: pd.DataFrame,
    papers: list[dict],
    stages: Mapping[str, Cost],
    run: Run,
    pictures: list[dict],
    config: Mapping,
    outliers: Mapping[str, str],
    provenance: list[dict],
    read: list[list[str]],
    differences: Differences = UNKNOWN,
    costs: Sequence[LineCost] = (),
    told: Mapping[str, str] = MappingProxyType({}),
    chosen: Iterable[str] = (),
    cautions: Iterable[str] = (),
) -> str:
    """Return the page.

    `summary`, `results`, `intervals`: summary.csv, metrics.csv, intervals.csv. `read`: see
    read_lines. `pictures` hold file, title, caption, warnings and their PNG bytes as `data`.
    `outliers`, `differences`: see findings.findings. `costs`: of each line, best first.
    `told`: what methods and scores of one's own say of themselves. `chosen`: what `auto` chose.
    `cautions`: more to be careful about.
    """
    table = Lookup(summary)
    warnings = find_warnings(table, results, pixels)
    accuracy = table.first_accuracy()
    meanings = {name: meaning_of_set(item) for name, item in config.get("datasets", {}).items()}
    seen = {
        name: meanings.get(name, "")
        for name in (accuracy["id_dataset"], *table.datasets("test", "validation", "control"))
        if not is_average(name)
    }
    groups = config.get("metrics", {}).get("groups", {})
    for group, names in groups.items():
        meanings[group_average(group)] = f"The plain mean over {' and '.join(names)}."
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page.filters["zip"] = zip
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        id_name=accuracy["id_dataset"],
        spread="one run" if accuracy["n_seeds"] == 1
        else f"mean ± standard deviation over {accuracy['n_seeds']} runs",
        arrows=headings(IN_SUMMARY),
        metrics=[(METRICS[name].title, METRIC_TERMS[name]) for name, _ in IN_SUMMARY],
        run=run,
        findings=findings(results, outliers, pixels, differences, [*groups], said(costs)),
        tables=own_tables(
            table, accuracy, meanings, outliers, read_intervals(intervals), warnings, told,
            differences,
        ),
        compared=differences_table(contenders(results), differences),
        line_costs=costs_table(costs),
        ends=len(intervals) > 0,
        words=_words(table, seen, outliers, papers, told),
        words_of=WORDS,
        version=__version__,
        duration=duration,
        day=lambda when: datetime.fromtimestamp(when, UTC).strftime("%d %B %Y, %H:%M UTC"),
        warnings=[*warnings[""], *cautions],
        papers=papers,
        costs=cost_lines(stages) if stages else [],
        notes=[*footnotes(notes).values(), *(f"Chosen by auto, as {line}" for line in chosen)],
        read=read,
        figures=[
            picture
            | {
                "data": base64.b64encode(picture["data"]).decode(),
                "folded": picture["file"].startswith(FOLDED),
                "warnings": picture.get("warnings", []),
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


def step_sizes(distances: Iterable[Artifact]) -> list[str]:
    """Return a line for each step size that a job found: what for, and its value."""
    found = [(item.json(STEP_SIZE_FOUND), item.settings) for item in distances]
    return [
        f"the median of {told['sampled']:,} {how['feature_space']} features crosses after "
        f"{told['median_steps']} steps (seed {how['seed']}): "
        f"distances.step_size = {told['step_size']:.4g}"
        for told, how in sorted(found, key=lambda pair: pair[1]["seed"])
    ]


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    inputs, pictures = job.inputs, []
    shown = job.settings["config"]
    facts = [item.json("dataset.json") for item in inputs["datasets"]]
    for album in _holding("figures", inputs):
        pictures += [
            item | {"data": (album.folder / item["file"]).read_bytes()}
            for item in album.json("captions.json")["figures"]
        ]
    summary = read_csv(inputs["tables"].folder / "summary.csv")
    pixels = inputs["pixel_statistics"].json("pixel_statistics.json")
    table, own = Lookup(summary), next((x for x in facts if x["name"] == shown["id"]), None)
    cautions = find_colour_warnings(pixels, shown["id"], job.settings.get("grey_outliers", []))
    if own and {"classes", "counts"} <= set(own):
        trained = job.settings.get("trained", {})
        cautions += find_untrained(table, trained, len(own["classes"]), own["counts"]["train"])
    made = [
        (item["stage"], Path(ROOT, item["stage"], item["name"], item["digest"], "manifest.json"))
        for item in job.settings["provenance"]
    ]
    results, differences = read_metrics(inputs["metrics"]), read_differences(inputs["metrics"])
    took: list[LineCost] = []
    if "comparison" in inputs:
        behind = inputs["comparison"].settings
        hours = measured_hours(behind["made"])
        took = line_costs(contenders(results), behind["rows"], hours, differences)
    page = render(
        summary,
        results,
        inputs["tables"].settings["notes"],
        intervals=read_csv(inputs["metrics"].folder / "intervals.csv"),
        differences=differences,
        costs=took,
        pixels=pixels,
        papers=paper_tables(_holding("tables", inputs)) + leaderboards(table, shown),
        # No result depends on how long a job ran, so those here are asked, not declared as inputs.
        stages=measured(made),
        run=ran(made),
        pictures=pictures,
        cautions=cautions,
        config=shown,
        outliers=job.settings["outliers"],
        provenance=job.settings["provenance"],
        read=read_lines(facts),
        chosen=[*job.settings.get("chosen", []), *step_sizes(inputs.get("distances", ()))],
        told=job.settings.get("told", {}),
    )
    with job.draft() as draft:
        (draft.folder / "report.html").write_text(page, encoding="utf-8")
        draft.finish(rows={"figures": len(pictures)})
