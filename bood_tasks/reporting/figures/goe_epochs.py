"""GOE's figure 4: the figures after each epoch, by the outliers that a row saw.

Leaves goe_figure4_<score>_<metric> and epochs.csv: every epoch of every row and seed.
"""

import csv

import numpy as np

from bood_tasks.catalogue.titles import score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.figures import curves as plots_goe
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.curves import Curve, interval
from bood_tasks.reporting.figures.goe_sweeps import METRICS
from bood_tasks.scoring.epochs import COLUMNS

VERSION = 2
AVERAGE = "average"


def read_epochs(artifact) -> list[dict]:
    """Return the rows of epochs.csv with numbers as numbers."""
    with (artifact.folder / "epochs.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return [row | {"epoch": int(row["epoch"]), "value": float(row["value"])} for row in rows]


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    rows = [
        row | label
        for artifact, label in zip(job.inputs["epochs"], settings["rows"], strict=True)
        for row in read_epochs(artifact)
    ]
    sets = list(dict.fromkeys(row["ood_dataset"] for row in rows))
    kinds = list(dict.fromkeys(row["outliers"] for row in rows))
    scores = list(dict.fromkeys(row["score"] for row in rows))
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    values = {
        (row["outliers"], row["seed"], row["score"], row["ood_dataset"], row["metric"],
         row["convention"], row["epoch"]): row["value"]
        for row in rows
    }  # fmt: skip

    def curve(kind: str, score: str, names: list[str], metric: tuple[str, str]) -> Curve:
        count = max(row["epoch"] for row in rows if row["outliers"] == kind)
        shown = np.arange(1, count + 1)
        found = [
            interval(
                np.mean([values[kind, seed, score, name, *metric, epoch] for name in names])
                for seed in seeds
            )
            for epoch in shown
        ]
        return Curve(shown.astype(float), np.array(found))

    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        for score in scores:
            for metric, place in METRICS.items():
                shown = {name: [name] for name in sets} | {AVERAGE: sets}
                panels = {
                    title: {kind: curve(kind, score, names, place) for kind in kinds}
                    for title, names in shown.items()
                }
                album.add(
                    f"goe_figure4_{score}_{metric.lower()}",
                    plots_goe.epochs(panels, ylabel=f"{metric}, %"),
                    f"{score_name(score)} after each epoch: {metric}",
                    "By the outliers that a row saw; FPR95 with OOD positive; bands: 95 % "
                    f"intervals of the mean over {len(seeds)} seeds (Student's t).",
                    formats=["png", "svg"],
                )
        with (draft.folder / "epochs.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, ("outliers", "seed", *COLUMNS), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        draft.finish(rows={"figures": album.finish()})
