"""Draw the steps before the scores: the paper's figures of pictures, under their numbers there,
contact sheets, distances and losses. What depends on one run shows the first seed.

`captions.json` holds, for every PNG in reading order, its title and caption and, where there are
any, `warnings`: what a reader must know about its numbers.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from numpy import ndarray

from bood_tasks.artifacts.spec import readable
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.titles import row_name
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.reporting.figures import (
    distributions,
    gallery_pictures,
    gallery_planes,
    mosaics,
    style,
)
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.gallery_pictures import first_images

VERSION = 5
OOD_ROWS_PER_SHEET = 4
MUCH_TIED = 0.5


def _examples(dataset: Artifact, label: int, count: int) -> UInt8[ndarray, "n h w 3"]:
    rows = np.flatnonzero(dataset["train/labels"][:] == label)[:count]
    return dataset["train/images"].oindex[rows]


def _curve(artifact: Artifact, term: str) -> distributions.Curve | None:
    """Return (epochs, values) of a column of curve.csv; None where the loss has no such term."""
    curve = pd.read_csv(artifact.folder / "curve.csv")
    if term not in curve or curve[term].isna().all():
        return None
    shown = curve.dropna(subset=term)
    return shown["epoch"].to_numpy(float), shown[term].to_numpy(float)


def drawn_as(names: Mapping[str, list[str]]) -> list[str]:
    """Return the classes as captions call them: with the word that the generator was given, where
    that is another one. `names`: anchors.json."""
    pairs = zip(names["classes"], names["words"], strict=True)
    return [name if name == word else f"{name}, drawn as {word}" for name, word in pairs]


def _draw_contacts(album: Album, job: Job, classes: list[str], called: list[str]) -> None:
    columns, dataset = job.settings["contact_columns"], job.inputs["dataset"]
    inside, outside = job.inputs["id_images"], job.inputs["ood_images"]
    for label, name in enumerate(classes):
        title = called[label]
        bands = {
            "real, training": _examples(dataset, label, columns),
            "decoded\nanchor (ID)": first_images(inside, label, columns),
            "decoded\noutlier\nvectors\n(OOD)": first_images(
                outside, label, OOD_ROWS_PER_SHEET * columns
            ),
        }
        album.add(
            f"contact_{readable(name)}",
            mosaics.contact_sheet(bands, title=title, columns=columns),
            f"Contact sheet: {title}",
            "Real training pictures, decodes of the class anchor, decodes of outlier vectors made "
            "from this class; the first of each by index.",
            formats=["png"],
        )


def _draw_distances(album: Album, job: Job, classes: list[str]) -> None:
    counted, selection = job.inputs["distances"], job.inputs["ood_features"]
    facts = selection.json("ood_features.json")
    known = counted["exact"][:]  # of the others only a bound is known
    figure = distributions.distances(
        counted["steps"][:][known],
        counted["crossed"][:][known],
        job.inputs["features"]["labels"][:][known],
        classes,
        taken=facts["selected"],
        cut=facts["cut"],
        tied=facts["tie_mass"],
        left_out=facts["dropped_misclassified"],
    )
    album.add(
        "distances",
        figure,
        "Distance to the decision boundary",
        "How many steps each training feature needs until its prediction changes. Dashed: the "
        "cut, below which features become outliers; features that tie at the cut are ordered by "
        "margin, then by index. Hatched at 0: wrong from the start. Grey: never crossed.",
        formats=["png", "svg"],
        warnings=find_warnings(facts),
    )


def _draw_losses(album: Album, job: Job) -> None:
    rows, detectors = job.settings["rows"], job.inputs["detectors"]
    panels: dict[str, dict[str, distributions.Curve]] = {
        "encoder: cross-entropy": {"encoder": _curve(job.inputs["encoder"], "loss")},
        "detector: cross-entropy": {},
        "detector: OOD term, without β": {},
    }
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
        formats=["png", "svg"],
    )


def find_warnings(facts: dict) -> list[str]:
    """Return what the selection's counts, ood_features.json, tell a reader to be careful about."""
    found = []
    taken, tied = (sum(facts[key].values()) for key in ("selected", "tie_mass"))
    if taken and tied > MUCH_TIED * taken:
        found.append(
            f"{tied:,} features tie exactly at the selection cut, of {taken:,} selected: margin "
            "and index decide among them, not the step count. Raw features or a smaller "
            "distances.step_size tell more distances apart."
        )
    for key, words in (
        ("skipped_never_crossed", "never crossed within distances.max_steps and were replaced by "
                                  "the next in rank"),
        ("dropped_misclassified", "were wrongly classified from the start and left out"),
    ):  # fmt: skip
        many = sum(facts[key].values())
        if many:
            found.append(f"{many:,} features {words}.")
    empty = [name for name, count in facts["selected"].items() if not count]
    if empty:
        found.append(f"No outlier features at all for {', '.join(empty)}.")
    return found


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    names = job.inputs["anchors"].json("anchors.json")
    classes, called = names["classes"], drawn_as(names)
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        gallery_pictures.draw_decodes(album, job, called)
        gallery_pictures.draw_trajectory(album, job, classes)
        gallery_pictures.draw_strips(album, job)
        gallery_planes.draw_planes(album, job, classes)
        gallery_pictures.draw_outliers(album, job, called)
        gallery_pictures.draw_dreamood(album, job, called)
        gallery_pictures.draw_filter(album, job, classes)
        _draw_contacts(album, job, classes, called)
        _draw_distances(album, job, classes)
        _draw_losses(album, job)
        draft.finish(rows={"figures": album.finish()})
