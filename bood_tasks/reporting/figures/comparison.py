"""How the rows compare: their ranks over data sets, what each costs beside what it gives, and how
far the outliers that they saw lie from ID.

Leaves the critical-difference diagram, if there are sets and rows enough, the figure of cost beside
quality, if the jobs' times are known, with cost.csv, and the figure of distances, if rows saw
outliers and a plain classifier is beside them, with outlier_distance.csv.
"""

import statistics
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from bood_tasks.catalogue.metrics import METRICS, group_average
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.reporting import line_costs, ranks
from bood_tasks.reporting.figures import cost_drawn, distance_drawn, ranks_drawn, style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.findings import Contender, contenders
from bood_tasks.reporting.tables.apart import read_differences
from bood_tasks.reporting.tables.frames import csv_text, read_csv, read_metrics, records

VERSION = 1
LINE = 0.17  # inches a line of text
WIDTH = 9.0


def draw_ranks(album: Album, results: pd.DataFrame) -> None:
    """Add the critical-difference diagrams, one for each metric; nothing of too few sets."""
    found = {metric: ranks.rank(results, metric) for metric in ("auroc", "fpr95")}
    if not all(found.values()):
        return
    heights = [ranks_drawn.lines_of(each) * LINE for each in found.values()]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(found), 1, height_ratios=heights)
    for ax, (metric, each) in zip(axes, found.items(), strict=True):
        ranks_drawn.draw(ax, each, METRICS[metric].title)
    album.add(
        "critical_difference", figure, "Ranks over the test sets",
        "Mean rank of each row, 1 the best; a bar joins rows that do not differ by more than chance"
        " (Nemenyi, 5 %). A test set is a block, its figure the mean over seeds. "
        + ranks.said(results),
    )  # fmt: skip


def draw_costs(album: Album, job: Job, lines: Sequence[Contender]) -> None:
    """Write cost.csv and add the figure of the lines whose hours are known, if any."""
    hours = line_costs.measured_hours(job.settings["made"])
    differences = read_differences(job.inputs["metrics"])
    costs = line_costs.line_costs(lines, job.settings["rows"], hours, differences)
    text = csv_text([line_costs.cells(cost) for cost in costs])
    (album.folder / "cost.csv").write_text(text, encoding="utf-8")
    known = [cost for cost in costs if cost.hours]
    if known:
        album.add(
            "cost", cost_drawn.draw(known), "Cost beside quality",
            "Time of one seed with all that a row rests on, shared jobs in each; averages over the "
            "test sets. One mark a row, its scores apart; no row beats those on the grey line at "
            f"their cost. {line_costs.said(costs)}",
        )  # fmt: skip


def draw_distances(album: Album, job: Job, lines: Sequence[Contender]) -> None:
    """Add the figures of outliers' distances against what they give, sets from near to far."""
    path = job.inputs["outlier_distance"].folder / "outlier_distance.csv"
    measured, differences = read_csv(path), read_differences(job.inputs["metrics"])
    pixels = job.inputs["pixels"].json("pixel_statistics.json")
    told = {name: facts["auroc"] for name, facts in pixels.items() if "auroc" in facts}
    measured["pixels"] = measured["dataset"].map(told).fillna(measured["pixels"])
    (album.folder / path.name).write_text(csv_text(measured), encoding="utf-8")
    found = distance_drawn.sources(measured, lines)
    groups = dict(job.inputs["metrics"].settings.get("groups", ()))
    own = {
        item["dataset"]: {
            name: item[name] for name in distance_drawn.MEASURES if item[name] is not None
        }
        for item in records(measured[measured["kind"] == "ood"])
    }
    if not found or not differences:
        return
    columns = columns_of(job.inputs["metrics"].settings["test"], own, groups)
    for metric in ("auroc", "fpr95"):
        figure = distance_drawn.draw(found, columns, own, differences, metric)
        title = METRICS[metric].title
        album.add(
            "outlier_distance" + "_fpr95" * (metric == "fpr95"), figure,
            f"Which outliers help, and where: {title}",
            "One mark a row that saw outliers: across, where at most 2,000 of them lie as the "
            "plain classifier and the pixels tell (distances: their median over that of ID test "
            f"pictures; confidence: mean); up, its {title} less plain's by the same score, with "
            "the 95 % interval of the difference. Sets, or groups of them, stand from near to far "
            "by their own neighbours' distance; dotted: where the set itself lies. Distances of "
            "the first seed. Rows that make outliers of features alone are not here.",
        )  # fmt: skip


def columns_of(
    tests: Sequence[str],
    places: Mapping[str, Mapping[str, float]],
    groups: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """Return the test sets, or the averages over groups of them, from near to far by their own
    distance (`places`, of each set by measure); in their order where that is not known."""
    parts = {name: (group_average(name), sets) for name, sets in groups.items()}
    parts = parts or {name: (name, [name]) for name in tests}

    def distance(name: str) -> float:
        each = [places.get(one, {}).get("knn") for one in parts[name][1]]
        return 0.0 if None in each else statistics.fmean(each)

    return {name: parts[name][0] for name in sorted(parts, key=distance)}


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    results = read_metrics(job.inputs["metrics"])
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        draw_ranks(album, results)
        draw_costs(album, job, contenders(results))
        if "outlier_distance" in job.inputs:
            draw_distances(album, job, contenders(results))
        draft.finish(rows={"figures": album.finish()})
