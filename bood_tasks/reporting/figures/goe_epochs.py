"""GOE's figure 4: the metrics after each epoch, by the outliers that a row saw.

Leaves goe_figure4_<score>_<metric> and epochs.csv: every epoch of every row and seed.
"""

import numpy as np
import pandas as pd

from bood_tasks.catalogue.metrics import IN_GOE_CURVES, titled
from bood_tasks.catalogue.titles import score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.figures import curves, style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.curves import Curve, interval
from bood_tasks.reporting.tables.frames import csv_text, read_csv
from bood_tasks.reporting.tables.summary import AVERAGE

VERSION = 2
KEYS = ["outliers", "seed", "score", "ood_dataset", "metric", "convention", "epoch"]


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    parts = []
    for artifact, label in zip(job.inputs["epochs"], job.settings["rows"], strict=True):
        part = read_csv(artifact.folder / "epochs.csv")
        part.insert(0, "outliers", label["outliers"])
        part.insert(1, "seed", label["seed"])
        parts.append(part)
    rows = pd.concat(parts)
    sets, kinds, scores, seeds = (
        rows[key].unique().tolist() for key in ("ood_dataset", "outliers", "score", "seed")
    )
    values = rows.set_index(KEYS)["value"].to_dict()
    epochs = rows.groupby("outliers")["epoch"].max()

    def curve(kind: str, score: str, names: list[str], metric: tuple[str, str]) -> Curve:
        shown = np.arange(1, epochs[kind] + 1)
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
            for metric, which in titled(IN_GOE_CURVES).items():
                shown = {name: [name] for name in sets} | {AVERAGE: sets}
                panels = {
                    title: {kind: curve(kind, score, names, which) for kind in kinds}
                    for title, names in shown.items()
                }
                album.add(
                    f"goe_figure4_{score}_{metric.lower()}",
                    curves.over_epochs(panels, ylabel=f"{metric}, %"),
                    f"{score_name(score)} after each epoch: {metric}",
                    "By the outliers that a row saw; FPR95 with OOD positive; bands: 95 % "
                    f"intervals of the mean over {len(seeds)} seeds (Student's t).",
                    formats=["png", "svg"],
                )
        (draft.folder / "epochs.csv").write_text(csv_text(rows), encoding="utf-8")
        draft.finish(rows={"figures": album.finish()})
