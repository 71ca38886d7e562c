"""Planes in which features are drawn (the paper's Figure 4). One plane serves points, paths and
outliers alike: make it once, project each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy import ndarray
from sklearn.decomposition import PCA

from bood_tasks.reporting.figures.style import BLACK, class_style

SOLVER = "covariance_eigh"  # exact and without random numbers; scikit-learn fixes the signs
GRID = 301


@dataclass(frozen=True)
class Plane:
    """Two orthonormal directions and the point that is drawn at (0, 0).

    `sides`, if any, compare classes: of p = project(z), the class with the largest p · side is
    the one of these classes whose anchor has the largest cosine with z.
    """

    axes: Float[ndarray, "2 d"]
    origin: Float[ndarray, " d"]
    sides: Float[ndarray, "v 2"] | None


def principal_plane(features: Float[ndarray, "n d"]) -> Plane:
    """Return the plane of the two principal components of the features, any number of classes.

    No `sides`: a feature lies off this plane, so its class does not follow from its place in it.
    """
    found = PCA(2, svd_solver=SOLVER).fit(features)
    return Plane(found.components_, found.mean_, sides=None)


def comparison_plane(anchors: Float[ndarray, "v d"], features: Float[ndarray, "n d"]) -> Plane:
    """Return the plane in which two or three classes are told apart exactly.

    The cosine classifier (Eq. 2) compares classes i and j by z · (Â_i - Â_j), Â unit anchors: a
    linear function that only the part of z along Â_i - Â_j changes. Three anchors differ in two
    directions, the plane. Two differ in one, the first axis: z's signed distance to their
    boundary; the second is the first principal component of `features` without that direction
    (otherwise `features` are not looked at). So each point has its class's side whatever its
    distance from the plane, among these classes: the whole classifier may prefer another one.
    """
    if len(anchors) not in (2, 3):
        raise ValueError(
            f"anchors must be of 2 or 3 classes, got {len(anchors)}; "
            "the principal plane shows any number"
        )
    unit = anchors / np.linalg.norm(anchors, axis=1, keepdims=True)
    directions = unit[1:] - unit[0]
    if len(anchors) == 2:
        first = directions[0] / np.linalg.norm(directions)
        rest = features - np.outer(features @ first, first)
        second = PCA(1, svd_solver=SOLVER).fit(rest).components_
        directions = np.concatenate([directions, second])
    columns, triangle = np.linalg.qr(directions.T)
    axes = (columns * np.sign(np.diagonal(triangle))).T  # QR leaves the signs open
    return Plane(axes, np.zeros(anchors.shape[1]), sides=unit @ axes.T)


def project(z: Float[ndarray, "n d"], plane: Plane) -> Float[ndarray, "n 2"]:
    """Return the coordinates of each row in the plane, lengths kept."""
    return (z - plane.origin) @ plane.axes.T


# --- features in a plane (Figure 4) ---


def perturbation_paths(
    points: Float[ndarray, "n 2"],
    labels: Int[ndarray, " n"],
    classes: Sequence[str],
    panels: Mapping[str, Sequence[Float[ndarray, "_ 2"]]],
    *,
    sides: Float[ndarray, "v 2"] | None,
    axis_names: tuple[str, str],
) -> Figure:
    """Figure 4: features by class, some selected ones, their ways across the boundary, outliers.

    `panels`: title and ways, each from the selected feature to its outlier; side by side, with the
    same points in the same limits. With a comparison plane's `sides` (one per class) the background
    shows which of these classes the cosine classifier prefers, which holds for every point drawn,
    and the heavy line is the decision boundary. Without (a principal plane) there is no
    background: there the class does not follow from the place.
    """
    figure = Figure(figsize=(3 + 5 * len(panels), 5.4), layout="compressed")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    everything = np.concatenate([points, *(way for ways in panels.values() for way in ways)])
    low, high = everything.min(0), everything.max(0)
    half = 0.57 * (high - low).max()  # a square: one scale for all directions
    (left, bottom), (right, top) = (low + high) / 2 - half, (low + high) / 2 + half
    axes[0].set_ylabel(axis_names[1])
    for ax, (title, paths) in zip(axes, panels.items(), strict=True):
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        ax.set_title(title, color=BLACK)
        ax.set_xlabel(axis_names[0])
        if sides is not None:
            _shade_regions(ax, sides, classes)
        for index, name in enumerate(classes):
            color, marker, filled = class_style(index)
            own = points[labels == index]
            look = {"color": color, "lw": 0} if filled else {"fc": "none", "ec": color}
            ax.scatter(*own.T, s=16, marker=marker, alpha=0.6, **look, label=name)
        _draw_ways(ax, paths)
    handles, names = axes[0].get_legend_handles_labels()
    if any(panels.values()):
        handles.append(Line2D([], [], color=BLACK, lw=0.8, marker=".", ms=3))
        names.append("perturbation path")
    figure.legend(handles, names, loc="outside right upper", ncols=-(-len(names) // 20))
    return figure


def _draw_ways(ax, paths: Sequence[Float[ndarray, "_ 2"]]) -> None:
    for path in paths:
        ax.plot(*path.T, color=BLACK, lw=0.8, marker=".", ms=3, label="_path")
        way = {"arrowstyle": "-|>", "color": BLACK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
        if len(path) > 1:
            ax.annotate("", path[-1], path[-2], arrowprops=way)
    starts, ends = (np.array([path[place] for path in paths]).reshape(-1, 2) for place in (0, -1))
    ring = {"facecolor": "none", "edgecolor": BLACK, "lw": 1.1}
    ax.scatter(*starts.T, s=52, marker="o", label="selected features", **ring)
    ax.scatter(*ends.T, s=42, marker="x", color=BLACK, lw=1.5, label="outlier features")


def _shade_regions(ax, sides: Float[ndarray, "v 2"], classes: Sequence[str]) -> None:
    x, y = (np.linspace(*limits, GRID) for limits in (ax.get_xlim(), ax.get_ylim()))
    products = np.stack(np.meshgrid(x, y), -1) @ sides.T  # (GRID, GRID, v)
    for index, name in enumerate(classes):
        lead = products[..., index] - np.delete(products, index, -1).max(-1)
        if lead.max() <= 0:
            continue  # out of sight
        color, *_ = class_style(index)
        ax.contourf(x, y, lead, [0, lead.max() + 1], colors=[color], alpha=0.13)
        if lead.min() < 0:
            ax.contour(x, y, lead, [0], colors=[BLACK], linewidths=1.8)
        lead[1:-1, 1:-1] = -np.inf  # the name stands at the frame, where the class leads most
        # Rounded, so that of equal places the first one wins, a corner.
        row, column = np.unravel_index(lead.round(9).argmax(), lead.shape)
        ax.annotate(
            name,
            (x[column], y[row]),
            (6 if column < GRID / 2 else -6, 6 if row < GRID / 2 else -6),
            textcoords="offset points",
            ha="left" if column < GRID / 2 else "right",
            va="bottom" if row < GRID / 2 else "top",
            fontweight="bold",
            bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.5},
        )
