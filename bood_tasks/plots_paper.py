"""The BOOD paper's figures that plots.py and sheets.py do not draw: arrays in, a figure out.

Like there, what colour tells apart, a line style, marker, hatch or place tells apart too. Draw
inside `plots.house_style()`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy import ndarray

from bood_tasks.plots import BLACK, BLUE, CYCLE, DPI, GREY, VERMILION
from bood_tasks.sheets import SMALLEST_TILE, Images, lay_out, mosaic

LETTER = 8  # pixels of a wide letter at the house size
LARGEST_TILE = 128
MARKERS = "o^sDvP<>*h"  # ten, seven colours: 70 pairs before one returns
DECADE = 10  # settings that span this factor have a logarithmic axis
PANEL = 2.2  # inches
GRID = 301

# --- pictures (Figures 1, 3, 7, 8) ---


def strips(
    images: UInt8[ndarray, "r n h w 3"],
    values: Sequence[float],
    names: Sequence[str],
    *,
    symbol: str,
    default: float,
    title: str,
) -> Figure:
    """Figure 3: a row of decodes per value of a setting, a column per feature.

    `symbol` is the setting as the paper writes it (c, α); the row of its default says so.
    """
    labels = [
        f"{symbol} = {value:g}" + ("\n(default)" if value == default else "") for value in values
    ]
    size = max(images.shape[2:4])
    wanted = max(SMALLEST_TILE, LETTER * max(map(len, names)))
    side = size * -(-wanted // size)  # a whole factor fills the tile
    return lay_out(
        [
            (label, [mosaic(image[None], columns=1, side=side) for image in row])
            for label, row in zip(labels, images, strict=True)
        ],
        names,
        title=title,
        margin=24 + LETTER * max(len(line) for label in labels for line in label.split("\n")),
        apart=6,
    )


def _shrink(images: Images, side: int) -> Images:
    """Means of square blocks, so that a picture fits its tile without aliasing."""
    n, h, w, _ = images.shape
    block = -(-max(h, w) // side)
    if block == 1:
        return images
    h, w = h // block, w // block
    blocks = images[:, : h * block, : w * block].reshape(n, h, block, w, block, 3)
    return blocks.mean((2, 4)).round().astype(np.uint8)


def class_grids(
    classes: Mapping[str, Sequence[Images]],
    headings: Sequence[str],
    *,
    title: str,
    columns: int,
) -> Figure:
    """Figures 1, 7 and 8: a band per class, in it a grid of pictures under each heading."""
    largest = max(max(images.shape[1:3]) for grids in classes.values() for images in grids)
    side = min(LARGEST_TILE, max(SMALLEST_TILE, largest))
    return lay_out(
        [
            (name, [mosaic(_shrink(images, side), columns=columns, side=side) for images in grids])
            for name, grids in classes.items()
        ],
        headings,
        title=title,
        margin=24 + LETTER * max(map(len, classes)),
        apart=24,
    )


# --- features in a plane (Figure 4) ---


def perturbation_paths(
    points: Float[ndarray, "n 2"],
    labels: Int[ndarray, " n"],
    classes: Sequence[str],
    paths: Sequence[Float[ndarray, "_ 2"]],
    *,
    boundary: Float[ndarray, "b 2"],
    outliers: Float[ndarray, "m 2"],
    sides: Float[ndarray, "v 2"] | None,
    axis_names: tuple[str, str],
) -> Figure:
    """Figure 4: features by class, some selected ones, their ways across the boundary, outliers.

    With a comparison plane's `sides` (one per class, see projection.py) the background shows which
    of these classes the cosine classifier prefers, which holds for every point drawn, and the
    heavy line is the decision boundary. Without (a principal plane) there is no background: there
    the class does not follow from the place.
    """
    figure = Figure(figsize=(8, 5.4), layout="compressed")
    ax = figure.subplots()
    everything = np.concatenate([points, boundary, outliers, *paths])
    low, high = everything.min(0), everything.max(0)
    half = 0.57 * (high - low).max()  # a square: one scale for all directions
    (left, bottom), (right, top) = (low + high) / 2 - half, (low + high) / 2 + half
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.set_xlabel(axis_names[0])
    ax.set_ylabel(axis_names[1])
    if sides is not None:
        _shade_regions(ax, sides, classes)
    for index, name in enumerate(classes):
        color, marker = _class_look(index)
        own = points[labels == index]
        ax.scatter(*own.T, s=16, color=color, marker=marker, alpha=0.6, lw=0, label=name)
    for path in paths:
        ax.plot(*path.T, color=BLACK, lw=0.8, marker=".", ms=3, label="_path")
        way = {"arrowstyle": "-|>", "color": BLACK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", path[-1], path[-2], arrowprops=way)
    ring = {"facecolor": "none", "edgecolor": BLACK, "lw": 1.1}
    ax.scatter(*boundary.T, s=52, marker="o", label="selected features", **ring)
    ax.scatter(*outliers.T, s=42, marker="x", color=BLACK, lw=1.5, label="outlier features")
    handles, names = ax.get_legend_handles_labels()
    if paths:
        handles.append(Line2D([], [], color=BLACK, lw=0.8, marker=".", ms=3))
        names.append("perturbation path")
    figure.legend(handles, names, loc="outside right upper", ncols=-(-len(names) // 20))
    return figure


def _class_look(index: int) -> tuple[str, str]:
    """Colour and marker; black is left to what is not a class."""
    return CYCLE[1 + index % (len(CYCLE) - 1)], MARKERS[index % len(MARKERS)]


def _shade_regions(ax, sides: Float[ndarray, "v 2"], classes: Sequence[str]) -> None:
    x, y = (np.linspace(*limits, GRID) for limits in (ax.get_xlim(), ax.get_ylim()))
    products = np.stack(np.meshgrid(x, y), -1) @ sides.T  # (GRID, GRID, v)
    for index, name in enumerate(classes):
        lead = products[..., index] - np.delete(products, index, -1).max(-1)
        if lead.max() <= 0:
            continue  # out of sight
        color, _ = _class_look(index)
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


# --- metrics against a setting (Figures 5 and 6) ---


@dataclass(frozen=True)
class Sweep:
    """What one setting does: `mean` and `std` over seeds of each metric, as fractions, at each of
    the setting's values in rising order. `std` is NaN for a single seed: no error bar."""

    values: Float[ndarray, " k"]
    mean: Mapping[str, Float[ndarray, " k"]]
    std: Mapping[str, Float[ndarray, " k"]]
    default: float


def sweeps(panels: Mapping[str, Sweep], *, baseline: Mapping[str, float], against: str) -> Figure:
    """Figures 5 and 6: a column per setting, a row per metric, in percent.

    Dotted: the baseline, named `against`, unless it is empty. Grey: the setting's default. Error
    bars: one standard deviation over seeds. A setting whose positive values span a decade has a
    logarithmic axis.
    """
    metrics = list(next(iter(panels.values())).mean)
    size = ((PANEL + 0.3) * len(panels) + 0.6, 1.9 * len(metrics) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(metrics), len(panels), sharex="col", sharey="row", squeeze=False)
    lines = {}
    for row, metric in enumerate(metrics):
        axes[row, 0].set_ylabel(f"{metric}, %")
        for ax, sweep in zip(axes[row], panels.values(), strict=True):
            lines["default"] = ax.axvline(sweep.default, color=GREY, lw=4, alpha=0.4)
            if baseline:
                floor = 100 * baseline[metric]
                lines[against] = ax.axhline(floor, color=BLACK, ls=":", lw=1.4)
            ax.errorbar(
                sweep.values,
                100 * sweep.mean[metric],
                yerr=100 * sweep.std[metric],
                color=(BLUE, VERMILION)[row % 2],
                ls=("-", "--")[row % 2],
                marker=("o", "s")[row % 2],
                ms=5,
                capsize=3,
            )
            ax.grid(axis="y", color="#dddddd", lw=0.5)
    for ax, (name, sweep) in zip(axes[-1], panels.items(), strict=True):
        ax.set_xlabel(name)
        places, ticks = sweep.values, [f"{value:g}" for value in sweep.values]
        if places[0] > 0 and places[-1] >= DECADE * places[0]:
            ax.set_xscale("log")
            places = np.log(places)
        nearest = np.diff(places).min(initial=np.inf) / max(np.ptp(places), 1e-12)
        crowded = nearest * PANEL * DPI < LETTER * max(map(len, ticks))
        ax.set_xticks(sweep.values, ticks, rotation=90 if crowded else 0)
        ax.xaxis.set_minor_locator(NullLocator())
    figure.align_labels()
    figure.legend(lines.values(), lines, loc="outside upper center", ncols=min(2, len(panels)))
    return figure


# --- what pixels alone can tell (method: section 9) ---


def pixel_control(
    pixels: Mapping[str, tuple[str, float]], detectors: Mapping[str, Mapping[str, float]]
) -> Figure:
    """AUROC of the best pixel statistic (name and value) and of detectors, per test set.

    The bar begins at chance; a detector's mark inside it does not beat the pixels.
    """
    figure = Figure(figsize=(7.2, 1.3 + 0.62 * len(pixels)), layout="constrained")
    ax = figure.subplots()
    places = np.arange(len(pixels))
    ax.barh(
        places,
        [100 * area - 50 for _, area in pixels.values()],
        left=50,
        height=0.62,
        color="#eeeeee",
        edgecolor=GREY,
        hatch="////",
        label="best pixel statistic",
    )
    apart = np.linspace(-0.24, 0.24, len(detectors)) if len(detectors) > 1 else [0]
    for index, (name, areas) in enumerate(detectors.items()):
        color, marker = _class_look(index)
        ax.scatter(
            [100 * areas[dataset] for dataset in pixels],
            places + apart[index],
            s=38,
            color=color,
            marker=marker,
            edgecolor=BLACK,
            lw=0.6,
            zorder=3,
            label=name,
        )
    ax.axvline(50, color=BLACK, lw=1)
    ax.set_yticks(places, [f"{name}\n({statistic})" for name, (statistic, _) in pixels.items()])
    ax.invert_yaxis()
    ax.set_xlim(right=101)
    ax.set_xlabel("AUROC, % (50: chance)")
    ax.grid(axis="x", color="#dddddd", lw=0.5)
    ax.set_axisbelow(True)
    figure.legend(loc="outside right upper")
    return figure
