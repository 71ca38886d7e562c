"""GOE's figures 4 and 5: the metrics after each epoch, by the kind of outliers that a row saw, or
by their number. Epoch 0 is the classifier that the rows start from.

Leaves goe_figure4_<score>_<metric>, or goe_figure5 (AUROC, as GOE's) and goe_figure5_fpr95, and
epochs.csv: every epoch of every row and seed.
"""

from collections.abc import Iterable, Mapping

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

VERSION = 3
KEYS = ["outliers", "seed", "score", "ood_dataset", "metric", "convention", "epoch"]
METRICS = titled(IN_GOE_CURVES)


class Followed:
    """What epochs.csv of all rows and seeds holds, as curves."""

    def __init__(self, rows: pd.DataFrame):
        self.sets, self.kinds, self.scores, self.seeds = (
            rows[key].unique().tolist() for key in ("ood_dataset", "outliers", "score", "seed")
        )
        self.values = rows.set_index(KEYS)["value"].to_dict()
        self.epochs = rows.groupby("outliers")["epoch"].unique()

    def curve(self, kind: str, score: str, names: list[str], metric: tuple[str, str]) -> Curve:
        """Return a metric's mean over test sets, with its interval over seeds, at each epoch."""
        shown = np.sort(self.epochs[kind])
        found = [
            interval(
                np.mean([self.values[kind, seed, score, name, *metric, epoch] for name in names])
                for seed in self.seeds
            )
            for epoch in shown
        ]
        return Curve(shown.astype(float), np.array(found))

    def by_kind(self) -> Iterable[tuple[str, str, str, Mapping]]:
        """Yield figure 4: name, title, metric and panels, one for each test set."""
        shown = {name: [name] for name in self.sets} | {AVERAGE: self.sets}
        for score in self.scores:
            for metric, which in METRICS.items():
                panels = {
                    title: {kind: self.curve(kind, score, names, which) for kind in self.kinds}
                    for title, names in shown.items()
                }
                title = f"{score_name(score)} after each epoch: {metric}"
                yield f"goe_figure4_{score}_{metric.lower()}", title, metric, panels

    def by_count(self) -> Iterable[tuple[str, str, str, Mapping]]:
        """Yield figure 5: name, title, metric and panels, one for each score."""
        for metric, which in METRICS.items():
            panels = {
                score_name(score): {
                    f"{kind} outliers": self.curve(kind, score, self.sets, which)
                    for kind in self.kinds
                }
                for score in self.scores
            }
            name = "goe_figure5" if metric == "AUROC" else f"goe_figure5_{metric.lower()}"
            yield name, f"Number of outliers, after each epoch: {metric}", metric, panels


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    parts = []
    for artifact, label in zip(job.inputs["epochs"], job.settings["rows"], strict=True):
        part = read_csv(artifact.folder / "epochs.csv")
        part.insert(0, "outliers", label["outliers"])
        part.insert(1, "seed", label["seed"])
        parts.append(part)
    rows = pd.concat(parts)
    found, of_kinds = Followed(rows), job.settings["figure"] == "figure4"
    shown, by = (
        (found.by_kind(), "outliers that a row saw")
        if of_kinds
        else (found.by_count(), "number of outliers; averages over the test sets")
    )
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        for name, title, metric, panels in shown:
            album.add(
                name,
                curves.over_epochs(panels, ylabel=f"{metric}, %"),
                title,
                f"By the {by}; epoch 0 is the network before; FPR95 with OOD positive; bands: 95 % "
                f"intervals of the mean over {len(found.seeds)} seeds (Student's t).",
            )
        (draft.folder / "epochs.csv").write_text(csv_text(rows), encoding="utf-8")
        draft.finish(rows={"figures": album.finish()})
