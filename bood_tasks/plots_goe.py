"""The drawings of GOE's figures: arrays in, a figure out, readable in black and white."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy import ndarray

from bood_tasks.plots import BLACK, CYCLE, DASHES, GREY

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PANEL = 3.4
DECADE = 10


@dataclass(frozen=True)
class Curve:
    """Values of a setting in rising order; for each the mean and both ends of its interval, as
    fractions. Ends are NaN where there is none."""

    values: Float[ndarray, " k"]
    found: Float[ndarray, "k 3"]


def _drawn(ax, places: ndarray, curve: Curve, number: int, label: str):
    color = CYCLE[1 + number % (len(CYCLE) - 1)]
    mean, low, high = 100 * curve.found.T
    ax.fill_between(places, *np.clip([low, high], 0, 100), color=color, alpha=0.18, lw=0)
    (line,) = ax.plot(
        places, mean, color=color, ls=DASHES[number % len(DASHES)],
        marker=MARKERS[number % len(MARKERS)], ms=5, label=label,
    )  # fmt: skip
    return line


def curves(
    panels: Mapping[str, Mapping[str, Curve]],
    *,
    symbol: str,
    floors: Mapping[str, Mapping[str, float]],
    against: str,
    default: float,
) -> Figure:
    """A panel for each metric, a curve for each score, over one setting.

    Values that span a decade stand at equal steps, each with its number: they may include 0. The
    baseline's means are thin lines of the score's own style; grey: the setting's default.
    """
    figure = Figure(figsize=(PANEL * len(panels) + 0.4, 3.1), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    lines = {}
    for ax, (metric, found) in zip(axes, panels.items(), strict=True):
        values = next(iter(found.values())).values
        span = values[-1] / max(values[values > 0].min(initial=np.inf), 1e-12)
        even = span >= DECADE or values[0] == 0
        places = np.arange(len(values)) if even else values
        at = places[np.flatnonzero(values == default)]
        lines["default"] = ax.axvline(at[0], color=GREY, lw=5, alpha=0.35)
        for number, (score, curve) in enumerate(found.items()):
            lines[score] = _drawn(ax, places, curve, number, score)
            if score in floors.get(metric, {}):
                name = f"{against}, {score}"
                lines[name] = ax.axhline(
                    100 * floors[metric][score], color=CYCLE[1 + number], lw=1,
                    ls=DASHES[number % len(DASHES)],
                )  # fmt: skip
        ax.set_xticks(places, [f"{value:g}" for value in values])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(symbol)
        ax.set_ylabel(f"{metric}, %")
        ax.grid(axis="y", color="#dddddd", lw=0.5)
    figure.legend(lines.values(), lines, loc="outside upper center", ncols=3)
    return figure


def epochs(panels: Mapping[str, Mapping[str, Curve]], *, ylabel: str, columns: int = 3) -> Figure:
    """A panel for each test set, a curve for each kind of outliers, over the epochs."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.7 * columns + 0.4, 2.3 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    lines = {}
    for unused in axes[len(panels) :]:
        unused.set_axis_off()
    for ax, (name, found) in zip(axes, panels.items(), strict=False):
        for number, (label, curve) in enumerate(found.items()):
            lines[label] = _drawn(ax, curve.values, curve, number, label)
        ax.set_title(name, color=BLACK)
        ax.set_xticks(curve.values, [f"{value:g}" for value in curve.values])
        ax.grid(axis="y", color="#dddddd", lw=0.5)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    figure.legend(lines.values(), lines, loc="outside upper center", ncols=min(4, len(lines)))
    return figure
