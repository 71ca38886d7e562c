"""The BOOD paper's figures of decodes for the gallery: 1, 2, 3, 7 and 8, drawn from artifacts.

Pictures are always the first by index, so nobody chose them.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

from bood_tasks.artifacts.store import Artifact
from bood_tasks.jobs.job import Job
from bood_tasks.reporting.figures import mosaics
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.class_names import ClassNames

CLASSES_IN_GRIDS = 20
ROWS_OF_OUTLIERS = 2


def first_images(shards: Sequence[Artifact], label: int, count: int) -> UInt8[ndarray, "n h w 3"]:
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


def pictures_of(
    shards: Sequence[Artifact], rows: Int64[ndarray, " r"]
) -> UInt8[ndarray, "r h w 3"]:
    """The pictures of these row numbers, counted over all shards in order."""
    ends = np.cumsum([shard["labels"].shape[0] for shard in shards])
    found = np.empty((len(rows), *shards[0]["images"].shape[1:]), np.uint8)
    for number, row in enumerate(rows):
        place = int(np.searchsorted(ends, row, side="right"))
        before = int(ends[place - 1]) if place else 0
        found[number] = shards[place]["images"][int(row) - before]
    return found


# --- decodes by class (Figures 1, 7, 8) ---


def _add_grids(
    album: Album,
    name: str,
    names: ClassNames,
    parts: dict[str, Sequence[Artifact]],
    *,
    rows: int,
    columns: int,
    title: str,
    caption: str,
) -> None:
    """A grid per class and part: heading → image shards."""
    shown = names.classes[:CLASSES_IN_GRIDS]
    grids = {
        names.called[label]: [
            first_images(shards, label, rows * columns) for shards in parts.values()
        ]
        for label in range(len(shown))
    }
    count = len(names.classes)
    fewer = "" if len(shown) == count else f" The first {len(shown)} of {count} classes."
    album.add(
        name,
        mosaics.class_grids(grids, list(parts), title="", columns=columns),
        title,
        f"{caption}{fewer} The first pictures of each class by index, not chosen."
        + names.told(shown),
    )


def draw_decodes(album: Album, job: Job, names: ClassNames) -> None:
    """Figure 1: ID decodes beside OOD decodes."""
    _add_grids(
        album,
        "figure1_id_and_ood",
        names,
        {
            "decoded class anchors (ID)": job.inputs["id_images"],
            "decoded outlier vectors (OOD)": job.inputs["ood_images"],
        },
        rows=1,
        columns=max(1, job.settings["contact_columns"] // 2),
        title="ID decodes beside OOD decodes",
        caption="Left: the generator's pictures of each class's own anchor. Right: its pictures "
        "of that class's outlier vectors.",
    )


def draw_outliers(album: Album, job: Job, names: ClassNames) -> None:
    """Figure 7: more OOD decodes."""
    _add_grids(
        album,
        "figure7_ood",
        names,
        {"": job.inputs["ood_images"]},
        rows=ROWS_OF_OUTLIERS,
        columns=job.settings["contact_columns"],
        title="OOD decodes",
        caption="The generator's pictures of the outlier vectors made from each class.",
    )


def draw_dreamood(album: Album, job: Job, names: ClassNames) -> None:
    """Figure 8: DreamOOD's outliers beside BOOD's, if a row of the table is DreamOOD's."""
    if "dreamood_images" not in job.inputs:
        return
    _add_grids(
        album,
        "figure8_dreamood_and_bood",
        names,
        {"DreamOOD": job.inputs["dreamood_images"], "BOOD": job.inputs["ood_images"]},
        rows=1,
        columns=max(1, job.settings["contact_columns"] // 2),
        title="OOD decodes of DreamOOD and of BOOD",
        caption="Decoded outlier vectors of each class: left DreamOOD's, right BOOD's; the same "
        "generator, and noise that depends on class and index alone.",
    )


def draw_filter(album: Album, job: Job, names: ClassNames) -> None:
    """What the outlier filter keeps and drops of each class, if there is one."""
    if "outlier_filter" not in job.inputs:
        return
    made, shards = job.inputs["outlier_filter"], job.inputs["ood_images"]
    counts, columns = made.json("outlier_filter.json"), job.settings["contact_columns"]
    labels = np.concatenate([shard["labels"][:] for shard in shards])
    kept = np.isin(np.arange(len(labels)), made["rows"][:])
    side = max(mosaics.SMALLEST_TILE, *shards[0]["images"].shape[1:3])
    bands, shown = [], names.classes[:CLASSES_IN_GRIDS]
    for label, name in enumerate(shown):
        parts = [np.flatnonzero((labels == label) & which)[:columns] for which in (kept, ~kept)]
        many = f"{counts['kept'][name]:,} kept,\n{counts['dropped'][name]:,} dropped"
        tiles = [mosaics.mosaic(pictures_of(shards, rows), columns=columns, side=side)
                 for rows in parts]  # fmt: skip
        bands.append((f"{name}:\n{many}", tiles))
    dropped, every = (
        sum(sum(counts[key].values()) for key in keys)
        for keys in (("dropped",), ("dropped", "kept"))
    )
    told = ", ".join(f"{name} {counts['dropped'][name]:,} of "
                     f"{counts['dropped'][name] + counts['kept'][name]:,}"
                     for name in shown)  # fmt: skip
    album.add(
        "outlier_filter",
        mosaics.lay_out(bands, ["kept", "dropped"], title="", margin=110, apart=24),
        "What the outlier filter drops",
        "The first pictures of each class by index that the filter keeps, and the first that it "
        "drops: an ID classifier's largest softmax probability of them is above "
        f"{counts['max_confidence']:g}. Dropped: {dropped:,} of {every:,}; {told}."
        + names.told(shown),
    )


# --- decodes along the way (Figures 2 and 3) ---


def draw_trajectory(album: Album, job: Job, names: ClassNames) -> None:
    """Figure 2: one feature step by step."""
    way = job.inputs["trajectory"]
    facts, classes = way.json("trajectory.json"), names.classes
    figure = mosaics.trajectory(
        way["images"][:],
        way["probabilities"][:],
        way["predictions"][:],
        classes,
        source=classes.index(facts["class"]),
        crossed_at=facts["crossed_at"],
        step_size=facts["step_size"],
        columns=job.settings["contact_columns"],
    )
    album.add(
        "figure2_trajectory",
        figure,
        "One feature perturbed step by step",
        f"A {facts['class']} (training row {facts['row']:,}) walks across the decision boundary "
        f"and crosses it at step {facts['crossed_at']}; each picture is decoded from the same "
        "noise. Picture and bars come from two networks: the generator draws the feature, the "
        "cosine classifier gives it its probabilities, so a picture need not change where they do."
        + names.told([facts["class"]]),
    )


def draw_strips(album: Album, job: Job, names: ClassNames) -> None:
    """Figure 3: what c and α do to a few decodes."""
    made = job.inputs["strips"]
    facts = made.json("strips.json")
    alpha = facts["step_size"]["default"]
    if "overshoot" in facts:
        far = facts["overshoot"]["default"]
        beyond = (
            "by_overshoot", "overshoot", "q",
            "q: the quantile of the class's own margins at which the outlier lies beyond the "
            f"boundary, at the step size α = {alpha:.3g}",
        )  # fmt: skip
        held = f"each at quantile q = {far:g} of its class's own margins beyond the boundary"
    else:
        beyond = (
            "by_extra_steps", "extra_steps", "c",
            f"c: steps after the crossing, at the step size α = {alpha:.3g}",
        )  # fmt: skip
        held = f"with c = {facts['extra_steps']['default']} steps after the crossing"
    by_size = ("by_step_size", "step_size", "α", f"α: the step size, {held}")
    for array, key, symbol, what in (beyond, by_size):
        told = facts[key]
        figure = mosaics.strips(
            made[array][:],
            told["values"],
            facts["classes"],
            symbol=symbol,
            default=told["default"],
            title="",
        )
        # A list per α, of steps or null; one list for all c.
        blank = None in np.ravel(np.array(told["crossed_at"], dtype=object)).tolist()
        album.add(
            f"figure3_{key}",
            figure,
            f"The effect of {symbol}",
            f"{what}. A column is one feature, the nearest to the boundary of its class, always "
            "decoded from the same noise."
            + (f" Blank: not crossed within {facts['max_steps']} steps." if blank else "")
            + names.told(facts["classes"]),
        )
