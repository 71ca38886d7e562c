"""Draw the losses of a configuration's trainings: of the encoder, if it has one, and of each row's
detector, of the first seed.
"""

import pandas as pd

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.titles import row_name
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.reporting.figures import distributions, style
from bood_tasks.reporting.figures.album import Album

VERSION = 1


def _curve(artifact: Artifact, term: str) -> distributions.Curve | None:
    """Return (epochs, values) of a column of curve.csv; None where the loss has no such term."""
    curve = pd.read_csv(artifact.folder / "curve.csv")
    if term not in curve or curve[term].isna().all():
        return None
    shown = curve.dropna(subset=term)
    return shown["epoch"].to_numpy(float), shown[term].to_numpy(float)


def _draw(album: Album, job: Job) -> None:
    rows, detectors = job.settings["rows"], job.inputs["detectors"]
    panels: dict[str, dict[str, distributions.Curve]] = {
        "detector: cross-entropy": {},
        "detector: OOD term, without β": {},
    }
    if "encoder" in job.inputs:
        curve = _curve(job.inputs["encoder"], "loss")
        panels = {"encoder: cross-entropy": {"encoder": curve}} | panels
    for row, detector in zip(rows, detectors, strict=True):
        name = row_name(row["method"], row["variant"])
        for term, panel in (("ce", "detector: cross-entropy"),
                            ("ood", "detector: OOD term, without β")):  # fmt: skip
            curve = _curve(detector, term)
            if curve is None and term == "ce":
                curve = _curve(detector, "loss")
            if curve is not None:
                panels[panel][name] = curve
    album.add(
        "losses",
        distributions.losses({title: lines for title, lines in panels.items() if lines}),
        "Training losses",
        f"Seed {job.settings['seed']}; means of neighbouring steps.",
    )


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        _draw(album, job)
        draft.finish(rows={"figures": album.finish()})
