"""The BOOD paper's Figure 4 for the gallery: features in a plane and some ways across the boundary.

Everything is drawn at unit length: the cosine classifier reads directions alone, and outlier
vectors are stored at the generator's scale.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor

from bood_tasks.artifacts.store import Artifact
from bood_tasks.jobs.job import Job
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.class_names import ClassNames
from bood_tasks.reporting.figures.planes import (
    Plane,
    comparison_plane,
    perturbation_paths,
    principal_plane,
    project,
)
from bood_tasks.reporting.figures.style import MARKERS
from bood_tasks.synthesis.cosine import predict
from bood_tasks.synthesis.crossing import first_outside, walk, way_out
from bood_tasks.synthesis.overshoot import own_margins
from bood_tasks.synthesis.step_size import AUTO, find_step_size, stepping_of
from bood_tasks.synthesis.stepping import Stepping, in_space

POINTS_PER_CLASS = 150
WAYS_PER_CLASS = 8
WAYS_OF_ALL_CLASSES = 2  # each
COMPARED = (
    " Left as this run made them, right the same features by other settings: c counts steps after "
    "the crossing, q is the quantile of the class's own margins at which the outlier lies beyond "
    "the boundary, by a last partial step."
)
Way = Callable[[int], Float[Tensor, "t d"]]  # of an outlier by its place


def most_switching(
    labels: Int[ndarray, " m"], reached: Int[ndarray, " m"], count: int
) -> list[int]:
    """Return the two classes that exchange the most outliers, and the one that adds the most.

    `reached` holds each outlier's predicted class, `count` is the number of classes. A third
    class that exchanges none is left out; ties go to the first.
    """
    switches = np.zeros((count, count), int)
    np.add.at(switches, (labels, reached), 1)
    both = switches + switches.T
    pair = [int(i) for i in np.unravel_index(np.triu(both + 1, 1).argmax(), both.shape)]
    more = both[pair].sum(0)
    more[pair] = 0
    return sorted([*pair, int(more.argmax())] if more.any() else pair)


def _first_of_each(
    labels: Int[ndarray, " n"], shown: Sequence[int], count: int
) -> Int64[ndarray, " m"]:
    return np.concatenate([np.flatnonzero(labels == label)[:count] for label in shown])


def way_to_outlier(
    place: int,
    made: Artifact,
    features: Artifact,
    anchors: Float[Tensor, "v d"],
    classes: Sequence[str],
    stepping: Stepping | None,
) -> Float[Tensor, "t d"]:
    """Return an outlier's feature and its updates; without `stepping`, of another perturbation or
    sampler, feature and outlier."""
    how, row = made.settings, int(made["rows"][place])
    feature = torch.from_numpy(features["features"][row : row + 1])
    if stepping is None:
        return torch.cat([feature, torch.from_numpy(made["vectors"][place : place + 1])])
    label, target = int(made["labels"][place]), None
    if "overshoot" in how:
        target = made.json("ood_features.json")["overshoot"][classes[label]]
    z = in_space(feature, how["feature_space"])
    steps = int(made["steps"][place])
    return way_out(z, label, anchors, stepping, how, steps=steps, target=target)


def _way_otherwise(
    place: int,
    made: Artifact,
    features: Artifact,
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    how: Mapping,
    targets: Float[ndarray, " v"] | None,
) -> Float[Tensor, "t d"]:
    """Return the same feature's updates by other settings, `how`."""
    row, label = int(made["rows"][place]), int(made["labels"][place])
    z = in_space(torch.from_numpy(features["features"][row : row + 1]), stepping.feature_space)
    if targets is not None:
        target = float(targets[label])
        return way_out(z, label, anchors, stepping, how, steps=0, target=target)
    path = walk(z, label, anchors, stepping, count=stepping.max_steps + how["extra_steps"])
    crossed_at = first_outside(path, label, anchors)
    end = stepping.max_steps if crossed_at is None else crossed_at
    return path[: end + how["extra_steps"] + 1]


def _told(how: Mapping, stepping: Stepping) -> str:
    beyond = f"c = {how['extra_steps']}" if "extra_steps" in how else f"q = {how['overshoot']:g}"
    found = " found" if how["step_size"] == AUTO else ""
    return f"α = {stepping.step_size:.3g}{found}, {beyond}"


def ways_compared(job: Job, anchors: Float[Tensor, "v d"]) -> tuple[dict[str, Way], str]:
    """Return, by the title of its panel, what gives an outlier's way: as the run made it and,
    where it takes steps, by the settings `beside`: published beside scale-free ones, or the other
    way round. Then what a caption says of the comparison: why there is none, where the encoder puts
    too few features into their classes for a scale."""
    made, features = job.inputs["ood_features"], job.inputs["features"]
    how, beside = made.settings, job.settings.get("beside")
    steps = how.get("perturb") == "adversarial"
    stepping = stepping_of(how, job.inputs["distances"]) if steps else None
    given = {"made": made, "features": features, "anchors": anchors}
    classes = job.inputs["anchors"].json("anchors.json")["classes"]
    own = partial(way_to_outlier, **given, classes=classes, stepping=stepping)
    if beside is None:
        return {"": own}, ""
    labels = features["labels"][:]
    try:
        found, targets = _scales(job, anchors, labels, classes, beside)
    except ValueError as error:
        return {"": own}, f" Nothing stands beside it: {error}."
    other = Stepping.of(beside, found)
    return {
        f"this run: {_told(how, stepping)}": own,
        f"for comparison: {_told(beside, other)}": partial(
            _way_otherwise, **given, stepping=other, how=beside, targets=targets
        ),
    }, COMPARED


def _scales(
    job: Job,
    anchors: Float[Tensor, "v d"],
    labels: Int[ndarray, " n"],
    classes: Sequence[str],
    beside: Mapping,
) -> tuple[float | None, Float[ndarray, " v"] | None]:
    """Return the step size and the margins beyond the boundary that settings ask for, None where
    they give them as numbers. Raises ValueError where no feature tells them."""
    found, targets = None, None
    if beside["step_size"] == AUTO:
        everything = torch.from_numpy(job.inputs["features"]["features"][:])
        found = find_step_size(everything, torch.from_numpy(labels), anchors, beside).step_size
    if "overshoot" in beside:
        margin = job.inputs["distances"]["margin"][:]
        targets = own_margins(margin, labels, classes, beside["overshoot"])
    return found, targets


def _unit(z: Float[Tensor, "n d"]) -> Float[ndarray, "n d"]:
    return F.normalize(z.double(), dim=1).numpy()


def _figure(
    job: Job,
    classes: Sequence[str],
    shown: Sequence[int],
    outliers: Int64[ndarray, " m"],
    find_plane: Callable[[Float[ndarray, "n d"]], Plane],
    axis_names: tuple[str, str],
    ways: Mapping[str, Way],
) -> Figure:
    features = job.inputs["features"]
    labels = features["labels"][:]
    rows = np.sort(_first_of_each(labels, shown, POINTS_PER_CLASS))
    points = _unit(torch.from_numpy(features["features"].oindex[rows]))
    plane = find_plane(points)
    panels = {
        title: [project(_unit(way(int(place))), plane) for place in outliers]
        for title, way in ways.items()
    }
    return perturbation_paths(
        project(points, plane),
        np.searchsorted(shown, labels[rows]),
        [classes[label] for label in shown],
        panels,
        sides=plane.sides,
        axis_names=axis_names,
    )


def draw_planes(album: Album, job: Job, names: ClassNames) -> None:
    """Figure 4, among the classes that exchange the most outliers, and of all classes."""
    made, classes = job.inputs["ood_features"], names.classes
    anchors = torch.from_numpy(job.inputs["anchors"]["anchors"][:])
    labels = made["labels"][:]
    reached = predict(torch.from_numpy(made["vectors"][:]), anchors).numpy()
    ways, compared = ways_compared(job, anchors)

    shown = most_switching(labels, reached, len(classes))
    among = np.flatnonzero(np.isin(labels, shown) & np.isin(reached, shown))
    few = [classes[label] for label in shown]
    across = f"across it, to {few[2]}'s" if len(few) == 3 else "principal component beside it"
    album.add(
        "figure4_boundary",
        _figure(
            job,
            classes,
            shown,
            among[_first_of_each(labels[among], shown, WAYS_PER_CLASS)],
            lambda points: comparison_plane(anchors[shown].double().numpy(), points),
            (f"from the anchor of {few[0]} to {few[1]}'s", across),
            ways,
        ),
        "Features near the boundary and their ways across it",
        f"{', '.join(few)}: the classes that exchange the most outliers. The first "
        f"{POINTS_PER_CLASS} training features of each, and of the selected features that reach "
        f"another of these classes the first {WAYS_PER_CLASS} of each, with their ways. All at "
        "unit length. Heavy line: where the cosine classifier changes between these classes; each "
        "point lies on the side of the one it prefers." + compared + names.told(few),
    )
    every = list(range(min(len(classes), len(MARKERS))))
    whose = f"The first {len(every)} of {len(classes)} classes"
    if len(every) == len(classes):
        whose = "All classes"
    album.add(
        "figure4_all_classes",
        _figure(
            job,
            classes,
            every,
            _first_of_each(labels, every, WAYS_OF_ALL_CLASSES),
            principal_plane,
            ("first principal component", "second principal component"),
            ways,
        ),
        "The same in the plane of the principal components",
        f"{whose}: the first {POINTS_PER_CLASS} training features of each, and the ways of its "
        f"first {WAYS_OF_ALL_CLASSES} selected features. Two dimensions of many: a "
        "feature's class does not follow from its place here."
        + compared
        + names.told(classes[: len(every)]),
    )
