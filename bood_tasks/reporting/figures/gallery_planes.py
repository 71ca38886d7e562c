"""The BOOD paper's Figure 4 for the gallery: features in a plane and some ways across the boundary.

Everything is drawn at unit length: the cosine classifier reads directions alone, and outlier
vectors are stored at the generator's scale.
"""

from collections.abc import Callable, Sequence

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
from bood_tasks.synthesis.crossing import walk
from bood_tasks.synthesis.stepping import Stepping, in_space

POINTS_PER_CLASS = 150
WAYS_PER_CLASS = 8
WAYS_OF_ALL_CLASSES = 2  # each


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
    made: Artifact, place: int, features: Artifact, anchors: Float[Tensor, "v d"]
) -> Float[Tensor, "t d"]:
    """Return an outlier's feature and its updates; of other perturbations feature and outlier."""
    how, row = made.settings, int(made["rows"][place])
    feature = torch.from_numpy(features["features"][row : row + 1])
    if how.get("perturb") != "adversarial":
        return torch.cat([feature, torch.from_numpy(made["vectors"][place : place + 1])])
    return walk(
        in_space(feature, how["feature_space"]),
        int(made["labels"][place]),
        anchors,
        Stepping.of(how),
        count=int(made["steps"][place]) + how["extra_steps"],
    )


def _unit(z: Float[Tensor, "n d"]) -> Float[ndarray, "n d"]:
    return F.normalize(z.double(), dim=1).numpy()


def _figure(
    job: Job,
    classes: Sequence[str],
    anchors: Float[Tensor, "v d"],
    shown: Sequence[int],
    outliers: Int64[ndarray, " m"],
    find_plane: Callable[[Float[ndarray, "n d"]], Plane],
    axis_names: tuple[str, str],
) -> Figure:
    features, made = job.inputs["features"], job.inputs["ood_features"]
    labels = features["labels"][:]
    rows = np.sort(_first_of_each(labels, shown, POINTS_PER_CLASS))
    points = _unit(torch.from_numpy(features["features"].oindex[rows]))
    plane = find_plane(points)
    ways = [
        project(_unit(way_to_outlier(made, int(place), features, anchors)), plane)
        for place in outliers
    ]
    return perturbation_paths(
        project(points, plane),
        np.searchsorted(shown, labels[rows]),
        [classes[label] for label in shown],
        ways,
        boundary=np.array([way[0] for way in ways]).reshape(-1, 2),
        outliers=np.array([way[-1] for way in ways]).reshape(-1, 2),
        sides=plane.sides,
        axis_names=axis_names,
    )


def draw_planes(album: Album, job: Job, names: ClassNames) -> None:
    """Figure 4, among the classes that exchange the most outliers, and of all classes."""
    made, classes = job.inputs["ood_features"], names.classes
    anchors = torch.from_numpy(job.inputs["anchors"]["anchors"][:])
    labels = made["labels"][:]
    reached = predict(torch.from_numpy(made["vectors"][:]), anchors).numpy()

    shown = most_switching(labels, reached, len(classes))
    among = np.flatnonzero(np.isin(labels, shown) & np.isin(reached, shown))
    few = [classes[label] for label in shown]
    across = f"across it, to {few[2]}'s" if len(few) == 3 else "principal component beside it"
    album.add(
        "figure4_boundary",
        _figure(
            job,
            classes,
            anchors,
            shown,
            among[_first_of_each(labels[among], shown, WAYS_PER_CLASS)],
            lambda points: comparison_plane(anchors[shown].double().numpy(), points),
            (f"from the anchor of {few[0]} to {few[1]}'s", across),
        ),
        "Features near the boundary and their ways across it",
        f"{', '.join(few)}: the classes that exchange the most outliers. The first "
        f"{POINTS_PER_CLASS} training features of each, and of the selected features that reach "
        f"another of these classes the first {WAYS_PER_CLASS} of each, with their ways. All at "
        "unit length. Heavy line: where the cosine classifier changes between these classes; each "
        "point lies on the side of the one it prefers." + names.told(few),
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
            anchors,
            every,
            _first_of_each(labels, every, WAYS_OF_ALL_CLASSES),
            principal_plane,
            ("first principal component", "second principal component"),
        ),
        "The same in the plane of the principal components",
        f"{whose}: the first {POINTS_PER_CLASS} training features of each, and the ways of its "
        f"first {WAYS_OF_ALL_CLASSES} selected features. Two dimensions of many: a "
        "feature's class does not follow from its place here." + names.told(classes[: len(every)]),
    )
