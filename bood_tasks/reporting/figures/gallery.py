"""Draw the steps before the scores: the paper's figures of pictures, under their numbers there,
contact sheets and distances. What depends on one run shows the first seed.

`captions.json` holds, for every PNG in reading order, its title and caption and, where there are
any, `warnings`: what a reader must know about its numbers.
"""

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from bood_tasks.artifacts.spec import readable
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.samplers import STEP_SIZE_FOUND
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.reporting.figures import (
    distributions,
    gallery_pictures,
    gallery_planes,
    mosaics,
    style,
)
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.class_names import ClassNames
from bood_tasks.reporting.figures.gallery_pictures import first_images
from bood_tasks.synthesis.step_size import AUTO

VERSION = 7
OOD_ROWS_PER_SHEET = 4
MUCH_TIED = 0.5


def _examples(dataset: Artifact, label: int, count: int) -> UInt8[ndarray, "n h w 3"]:
    rows = np.flatnonzero(dataset["train/labels"][:] == label)[:count]
    return dataset["train/images"].oindex[rows]


def _draw_contacts(album: Album, job: Job, names: ClassNames) -> None:
    columns, dataset = job.settings["contact_columns"], job.inputs["dataset"]
    inside, outside = job.inputs["id_images"], job.inputs["ood_images"]
    for label, (name, title) in enumerate(zip(names.classes, names.called, strict=True)):
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
            "from this class; the first of each by index." + names.told([name]),
            vector=False,
        )


def _draw_distances(album: Album, job: Job, names: ClassNames) -> None:
    counted, selection = job.inputs["distances"], job.inputs["ood_features"]
    facts = selection.json("ood_features.json")
    known = counted["exact"][:]  # of the others only a bound is known, beyond the cut
    figure = distributions.distances(
        counted["steps"][:],
        counted["crossed"][:],
        known,
        job.inputs["features"]["labels"][:],
        names.classes,
        taken=facts["selected"],
        cut=facts["cut"],
        tied=facts["tie_mass"],
        left_out=facts["dropped_misclassified"],
    )
    told = "How many steps each training feature needs until its prediction changes."
    if counted.settings.get("step_size") == AUTO:
        found = counted.json(STEP_SIZE_FOUND)
        told += (
            f" The step size α = {found['step_size']:.4g} was found so that the median of "
            f"{found['sampled']:,} features crosses after {found['median_steps']} steps."
        )
    if any(cut is not None for cut in facts["cut"].values()):
        told += (
            " Dashed: the cut, the most steps of any feature that was taken as an outlier's start; "
            "none beyond it was, and of those that tie at it the ones of the smallest margin, then "
            "index."
        )
    else:
        told += " Which features were taken as outliers' starts did not follow from it."
    if not known.all():
        told += f" {np.count_nonzero(~known):,} features beyond the cut were not counted: no bars."
    told += " Hatched at 0: wrong from the start. Grey: never crossed."
    album.add(
        "distances",
        figure,
        "Distance to the decision boundary",
        told + names.told(names.classes),
        warnings=find_warnings(facts),
    )


def find_warnings(facts: dict) -> list[str]:
    """Return what the selection's counts, ood_features.json, tell a reader to be careful about."""
    found = []
    taken, tied = (sum(facts[key].values()) for key in ("selected", "tie_mass"))
    if taken and tied > MUCH_TIED * taken:
        found.append(
            f"{tied:,} features tie exactly at the selection cut, of {taken:,} selected: margin "
            "and index decide among them, not the step count. Raw features or a smaller "
            "distances.step_size (or auto) tell more distances apart."
        )
    for key, words in (
        ("skipped_never_crossed", "never crossed within distances.max_steps and were replaced by "
                                  "the next in rank"),
        ("dropped_misclassified", "were wrongly classified from the start and left out"),
        ("short_of_overshoot", "stay nearer to the boundary than ood_features.overshoot asks; "
                               "lower it, or raise distances.max_steps"),
    ):  # fmt: skip
        many = sum(facts.get(key, {}).values())
        if many:
            found.append(f"{many:,} features {words}.")
    empty = [name for name, count in facts["selected"].items() if not count]
    if empty:
        found.append(f"No outlier features at all for {', '.join(empty)}.")
    return found


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    names = ClassNames.of(job.inputs["anchors"].json("anchors.json"))
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        gallery_pictures.draw_decodes(album, job, names)
        gallery_pictures.draw_trajectory(album, job, names)
        gallery_pictures.draw_strips(album, job, names)
        gallery_planes.draw_planes(album, job, names)
        gallery_pictures.draw_outliers(album, job, names)
        gallery_pictures.draw_dreamood(album, job, names)
        gallery_pictures.draw_filter(album, job, names)
        _draw_contacts(album, job, names)
        _draw_distances(album, job, names)
        draft.finish(rows={"figures": album.finish()})
