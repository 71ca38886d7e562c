"""Pictures of what lies on the way to the scores: contact sheets, the way across the boundary,
distances, losses. Everything that depends on one run shows the first seed.

`captions.json` holds, for every PNG in reading order, its title and caption, and `warnings`: what
a reader must know about the numbers.
"""

import csv

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from bood_tasks import plots, sheets
from bood_tasks.album import Album
from bood_tasks.spec import readable
from bood_tasks.stage import Job, read_job, run
from bood_tasks.store import Artifact
from bood_tasks.tables import row_name

VERSION = 2
OOD_ROWS_PER_SHEET = 4
CLASSES_IN_OVERVIEW = 20
MUCH_TIED = 0.5


def _first(shards: list[Artifact], label: int, count: int) -> UInt8[ndarray, "n h w 3"]:
    """The first `count` images of a class by item index; shards are in the order of theirs."""
    found: list[tuple[int, ndarray]] = []
    for shard in shards:
        if len(found) >= count:
            break
        rows = np.flatnonzero(shard["labels"][:] == label)
        items = shard["item"][:][rows]
        for place in np.argsort(items)[:count]:
            found.append((int(items[place]), shard["images"][int(rows[place])]))
    found.sort(key=lambda pair: pair[0])
    return np.stack([image for _, image in found[:count]])


def _examples(dataset: Artifact, label: int, count: int) -> UInt8[ndarray, "n h w 3"]:
    rows = np.flatnonzero(dataset["train/labels"][:] == label)[:count]
    return dataset["train/images"].oindex[rows]


def _curve(artifact: Artifact, term: str) -> plots.Curve | None:
    """(epochs, values) of one column of curve.csv, or None where the loss has no such term."""
    with (artifact.folder / "curve.csv").open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row.get(term)]
    if not rows:
        return None
    return tuple(np.array([float(row[key]) for row in rows]) for key in ("epoch", term))


def _draw_contacts(album: Album, job: Job, classes: list[str]) -> None:
    columns, dataset = job.settings["contact_columns"], job.inputs["dataset"]
    inside, outside = job.inputs["id_images"], job.inputs["ood_images"]
    shown = min(len(classes), CLASSES_IN_OVERVIEW)
    left = max(1, columns // 2)
    overview = {
        classes[label]: (_first(inside, label, left), _first(outside, label, columns))
        for label in range(shown)
    }
    what = "" if shown == len(classes) else f" (the first {shown} of {len(classes)} classes)"
    album.add(
        "contact_all",
        sheets.contact_overview(overview, title="", columns=(left, columns)),
        "ID decodes beside OOD decodes",
        "Left: the generator's pictures of each class's own anchor. Right: its pictures of that "
        f"class's outlier vectors{what}. The first ones by index, not chosen.",
        formats=["png"],
    )
    for label, name in enumerate(classes):
        bands = {
            "real, training": _examples(dataset, label, columns),
            "decoded\nanchor (ID)": _first(inside, label, columns),
            "decoded\noutlier\nvectors\n(OOD)": _first(
                outside, label, OOD_ROWS_PER_SHEET * columns
            ),
        }
        album.add(
            f"contact_{readable(name)}",
            sheets.contact_sheet(bands, title=name, columns=columns),
            f"Contact sheet: {name}",
            "Real training pictures, decodes of the class anchor, decodes of outlier vectors made "
            "from this class; the first of each by index.",
            formats=["png"],
        )


def _draw_trajectory(album: Album, job: Job, classes: list[str]) -> None:
    walk = job.inputs["trajectory"]
    facts = walk.json("trajectory.json")
    figure = plots.trajectory(
        walk["images"][:],
        walk["probabilities"][:],
        walk["predictions"][:],
        classes,
        source=classes.index(facts["class"]),
        crossed_at=facts["crossed_at"],
        step_size=facts["step_size"],
        columns=job.settings["contact_columns"],
    )
    album.add(
        "trajectory",
        figure,
        "One feature perturbed step by step",
        f"A {facts['class']} (training row {facts['row']:,}) walks across the decision boundary "
        f"and crosses it at step {facts['crossed_at']}; each picture is decoded from the same "
        "noise. Bars: the cosine classifier's probabilities.",
        formats=["png"],
    )


def _draw_distances(album: Album, job: Job, classes: list[str]) -> None:
    counted, selection = job.inputs["distances"], job.inputs["ood_features"]
    facts = selection.json("ood_features.json")
    known = counted["exact"][:]  # of the others only a bound is known
    figure = plots.distances(
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
    )


def _draw_losses(album: Album, job: Job) -> None:
    rows, detectors = job.settings["rows"], job.inputs["detectors"]
    panels: dict[str, dict[str, plots.Curve]] = {
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
        plots.losses({title: lines for title, lines in panels.items() if lines}),
        "Training losses",
        f"Seed {job.settings['seed']}; means of neighbouring steps.",
        formats=["png", "svg"],
    )


def find_warnings(facts: dict) -> list[str]:
    """What the selection's own counts (ood_features.json) tell a reader to be careful about."""
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
    classes = job.inputs["anchors"].json("anchors.json")["classes"]
    with job.draft() as draft, plots.house_style():
        album = Album(draft.folder)
        _draw_contacts(album, job, classes)
        _draw_trajectory(album, job, classes)
        _draw_distances(album, job, classes)
        _draw_losses(album, job)
        facts = job.inputs["ood_features"].json("ood_features.json")
        draft.finish(rows={"figures": album.finish(find_warnings(facts))})


if __name__ == "__main__":
    run(main)
