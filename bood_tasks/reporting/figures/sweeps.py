"""Figures 5 and 6: what one setting of a row does to FPR95 and AUROC, all others held.

Leaves a figure for each group of settings that the paper shows together and one for any other
setting, and sweeps.csv: every value at every point, per seed.
"""

import shutil
from collections.abc import Mapping

import numpy as np

from bood_tasks.catalogue.metrics import IN_BOOD_CURVES, titled
from bood_tasks.catalogue.products import CURVES
from bood_tasks.catalogue.titles import row_name, score_name, setting_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.figures import curves, style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.curves import Sweep
from bood_tasks.reporting.tables.frames import read_metrics
from bood_tasks.reporting.tables.summary import AVERAGE, Lookup, aggregate

VERSION = 1
METRICS = titled(IN_BOOD_CURVES)


def curve(
    table: Lookup, row: tuple[str, str], points: Mapping[float, str], default: float
) -> Sweep:
    """Return one setting's curve; `points`: {value: variant} in rising order of values,
    `row`: method and score."""
    method, score = row
    means, spreads = {}, {}
    for name, metric in METRICS.items():
        cells = [
            table.cell((method, variant, score), AVERAGE, *metric) for variant in points.values()
        ]
        means[name] = np.array([cell["mean"] for cell in cells])
        spreads[name] = np.array([np.nan if cell["std"] is None else cell["std"] for cell in cells])
    return Sweep(np.array(list(points), float), means, spreads, default)


def grouped(settings: list[str]) -> dict[str, list[str]]:
    """Return the settings of each figure: the paper's groups, then each other one alone."""
    figures = {name: [key for key in group if key in settings] for name, group in CURVES.items()}
    shown = {key for group in CURVES.values() for key in group}
    others = {f"sweep_{key.replace('.', '_')}": [key] for key in settings if key not in shown}
    return {name: group for name, group in (figures | others).items() if group}


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    path = job.inputs["metrics"].folder / "metrics.csv"
    table = Lookup(aggregate(read_metrics(job.inputs["metrics"])))
    labels = table.labels()
    method, _, score = labels[-1]
    baseline = next((label for label in labels if label[0] != method), None)
    floor, against = {}, ""
    if baseline:
        floor = {name: table.cell(baseline, AVERAGE, *m)["mean"] for name, m in METRICS.items()}
        against = f"{row_name(*baseline[:2])}, {score_name(baseline[2])}"
    panels = {
        setting_name(setting): curve(
            table, (method, score), dict(points), job.settings["defaults"][setting]
        )
        for setting, points in job.settings["sweeps"].items()
    }
    with job.draft() as draft, style.house_style():
        shutil.copyfile(path, draft.folder / "sweeps.csv")
        album = Album(draft.folder)
        for name, settings in grouped(list(job.settings["sweeps"])).items():
            shown = [setting_name(setting) for setting in settings]
            album.add(
                name,
                curves.over_settings(
                    {title: panels[title] for title in shown}, baseline=floor, against=against
                ),
                f"Effect of {', '.join(shown)}",
                f"{row_name(method, '')}: averages over the test sets, FPR95 with ID positive. "
                + seeds_and_size(job.settings["notes"]),
            )
        draft.finish(rows={"figures": album.finish()})


def seeds_and_size(notes: Mapping) -> str:
    """Say how much stands behind each point."""
    seeds, count = notes["seeds"], notes["images"]["per_class"]
    runs = f"seed {seeds[0]}: no deviation known" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return f"{count} images a class, {runs}."
