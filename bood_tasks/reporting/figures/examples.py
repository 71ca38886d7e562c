"""Draw what a detector saw and where it errs most: pictures of every set, the most confident
mistakes, and which classes it takes for which. Of one row and the first seed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib.figure import Figure
from numpy import ndarray

from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.mosaics import class_grids
from bood_tasks.scoring.roc import LEVEL, first_threshold

VERSION = 2
MOST_NUMBERED = 20  # classes whose names and counts stand in the matrix


def spread(count: int, shown: int) -> Int[ndarray, " k"]:
    """Return at most `shown` rows, evenly over all, rising."""
    return np.unique(np.linspace(0, count - 1, min(shown, count)).round().astype(np.int64))


def extremes(scores: Float[ndarray, " n"], shown: int, *, largest: bool) -> Int[ndarray, " k"]:
    """Return the rows of the `shown` largest or smallest scores, the most extreme first."""
    order = np.argsort(-scores if largest else scores, kind="stable")
    return order[:shown]


def confusion(
    labels: Int[ndarray, " n"], predicted: Int[ndarray, " n"], classes: int
) -> Int[ndarray, "c c"]:
    """Return how many samples of each class (row) were put into each (column)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def draw_classes(
    counts: Int[ndarray, "c c"], rejected: Float[ndarray, " c"], classes: Sequence[str]
) -> Figure:
    """Draw the shares of each class that were put into each, and beside them each class's
    accuracy and the share of it that is rejected where 95 % of all ID are accepted.

    Of more classes than MOST_NUMBERED the matrix has no names, and the bars are those of the
    classes that are rejected most.
    """
    number = len(classes)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    every = np.arange(number)
    shown = every if number <= MOST_NUMBERED else extremes(rejected, MOST_NUMBERED, largest=True)
    side = max(2.4, 1.6 + 0.36 * len(shown))
    figure = Figure(figsize=(1.9 * side + 1, side), layout="constrained")
    matrix, bars = figure.subplots(1, 2, width_ratios=[1.15, 1])
    matrix.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    matrix.set(xlabel="put into", ylabel="class")
    if number > MOST_NUMBERED:
        matrix.set(xlabel="put into, by number", ylabel="class, by number")
    else:
        matrix.set_xticks(every, classes, rotation=45, ha="right")
        matrix.set_yticks(every, classes)
        for row, column in np.argwhere(counts):
            share = shares[row, column]
            matrix.text(
                column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7,
                color="white" if share > 0.5 else style.BLACK,
            )  # fmt: skip
    places = np.arange(len(shown))
    bars.barh(places - 0.2, 100 * np.diag(shares)[shown], 0.38, color=style.SKY, label="accuracy")
    bars.barh(places + 0.2, 100 * rejected[shown], 0.38, color=style.VERMILION, hatch="///",
              label=f"rejected, where {100 * LEVEL:.0f} % of all ID are accepted")  # fmt: skip
    bars.set(xlim=(0, 100), xlabel="percent of the class")
    bars.set_yticks(places, [classes[k] for k in shown])
    bars.invert_yaxis()
    figure.legend(*bars.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def worst_pair(counts: Int[ndarray, "c c"], classes: Sequence[str]) -> str:
    """Say which class is most often taken for which; an empty text if none ever is."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    if not wrong[row, column]:
        return "No class was ever taken for another"
    share = 100 * wrong[row, column] / counts[row].sum()
    return f"Most often {classes[row]} is taken for {classes[column]} ({share:.0f} % of it)"


def _rows_of(images, rows: Int[ndarray, " k"]) -> UInt8[ndarray, "k h w 3"]:
    """Return rows of a zarr array, which reads rising ones, in any order."""
    rising, back = np.unique(rows, return_inverse=True)
    return images.oindex[rising][back]


def _add_sheet(album: Album, job: Job, name: str, bands: dict, title: str, caption: str) -> None:
    """Add a sheet of a band of pictures for each label."""
    grids = {label: [images] for label, images in bands.items()}
    sheet = class_grids(grids, [""], title="", columns=job.settings["columns"])
    album.add(name, sheet, title, caption)


def _draw_pictures(album: Album, job: Job) -> None:
    """What ID, outliers and test sets look like."""
    name, columns = job.settings["id"], job.settings["columns"]
    own, *tests = job.inputs["datasets"]
    bands = {f"{name} (ID)": own["train/images"]}
    for source, artifact in zip(
        job.settings["outliers"], job.inputs.get("outliers", ()), strict=True
    ):
        held = "test/images" if "test/images" in artifact else "images"
        bands[f"{source} (outliers)"] = artifact[held]
    for test, artifact in zip(job.settings["test"], tests, strict=True):
        bands[f"{test} (OOD)"] = artifact["test/images"]
    shown = {
        label: _rows_of(images, spread(images.shape[0], columns)) for label, images in bands.items()
    }
    _add_sheet(
        album, job, "pictures", shown, "What is told apart",
        f"{columns} pictures of each set, evenly over it: ID as it is trained on, the outliers "
        "that training shows beside it, and the OOD sets that it is tested on.",
    )  # fmt: skip


def _draw_mistakes(album: Album, job: Job, told: str) -> None:
    """The OOD pictures that look most like ID, and the ID pictures that look least like it."""
    name, columns = job.settings["id"], job.settings["columns"]
    own, *tests = job.inputs["datasets"]
    scores = job.inputs["scores"]
    inside = scores[f"{name}/test/score"][:]
    threshold, bands = first_threshold(inside, LEVEL), {}
    for test, artifact in zip(job.settings["test"], tests, strict=True):
        found = scores[f"{test}/test/score"][:]
        rows = extremes(found, columns, largest=True)
        share = 100 * np.mean(found >= threshold)
        bands[f"{test}: {share:.0f} % accepted"] = _rows_of(artifact["test/images"], rows)
    rows = extremes(inside, columns, largest=False)
    share = 100 * np.mean(inside < threshold)
    bands[f"{name}: {share:.0f} % rejected"] = _rows_of(own["test/images"], rows)
    _add_sheet(
        album, job, "mistakes", bands, "The most confident mistakes",
        f"{told}: of each OOD set the pictures that look most like ID to it, the surest first; in "
        "the last row the ID test pictures that look least like ID.",
    )  # fmt: skip


def _draw_classes(album: Album, job: Job, told: str) -> None:
    name, outputs = job.settings["id"], job.inputs["outputs"]
    classes = job.inputs["datasets"][0].json("dataset.json")["classes"]
    labels, logits = (outputs[f"{name}/test/{part}"][:] for part in ("labels", "logits"))
    counts = confusion(labels, logits.argmax(1), len(classes))
    inside = job.inputs["scores"][f"{name}/test/score"][:]
    lost: Bool[ndarray, " n"] = inside < first_threshold(inside, LEVEL)
    rejected = np.bincount(labels, lost, len(classes)) / np.maximum(
        np.bincount(labels, minlength=len(classes)), 1
    )
    album.add(
        "classes",
        draw_classes(counts, rejected, classes),
        "Class by class",
        f"{told}, on the ID test pictures, in percent of each class. {worst_pair(counts, classes)}."
        f" Rejected most is {classes[int(rejected.argmax())]} ({100 * rejected.max():.0f} %)."
        + (
            f" Bars: the {MOST_NUMBERED} of {len(classes)} classes that are rejected most."
            if len(classes) > MOST_NUMBERED
            else ""
        ),
    )


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    row = job.settings["row"]
    told = f"{row_name(row['method'], row['variant'])} by {score_name(row['score'])}"
    told = f"{told}, seed {row['seed']}"
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        _draw_pictures(album, job)
        _draw_mistakes(album, job, told)
        _draw_classes(album, job, told)
        draft.finish(rows={"figures": album.finish()})
