"""Curves over a setting or over epochs: arrays in, a figure out, readable in black and white."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy import ndarray
from scipy.special import stdtrit  # of scipy.stats' t: importing that takes 2 s

from bood_tasks.reporting.figures.mosaics import LETTER
from bood_tasks.reporting.figures.style import BLACK, BLUE, CYCLE, DASHES, DPI, GREY, VERMILION

LEVEL = 0.95
CURVE_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DECADE = 10  # settings that span this factor have a logarithmic axis
PANEL = 2.2  # inches
CURVE_PANEL = 3.4
EPOCHS_NAMED = 6  # on an axis, at most
MARKS = 12  # on a curve over epochs, about


def interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Return the mean and both ends of its 95 % interval by Student's t; NaN ends for one value."""
    values = np.array(list(values))
    mean, count = values.mean(), len(values)
    if count < 2:
        return float(mean), float("nan"), float("nan")
    half = stdtrit(count - 1, (1 + LEVEL) / 2) * values.std(ddof=1) / np.sqrt(count)
    return float(mean), float(mean - half), float(mean + half)


@dataclass(frozen=True)
class Curve:
    """A score over one setting: mean and both ends of its interval at each value, as fractions.

    `values` rise. Ends are NaN where there is no interval.
    """

    values: Float[ndarray, " k"]
    found: Float[ndarray, "k 3"]


def _color(number: int) -> str:
    return CYCLE[1 + number % (len(CYCLE) - 1)]


def _drawn(ax, positions: ndarray, curve: Curve, number: int, label: str, every: int = 1):
    color = _color(number)
    mean, low, high = 100 * curve.found.T
    ax.fill_between(positions, *np.clip([low, high], 0, 100), color=color, alpha=0.18, lw=0)
    (line,) = ax.plot(
        positions, mean, color=color, ls=DASHES[number % len(DASHES)],
        marker=CURVE_MARKERS[number % len(CURVE_MARKERS)], ms=5, markevery=every, label=label,
    )  # fmt: skip
    return line


def over_setting(
    panels: Mapping[str, Mapping[str, Curve]],
    *,
    symbol: str,
    floors: Mapping[str, Mapping[str, float]],
    against: str,
    default: float,
) -> Figure:
    """Draw GOE's figures 2 and 3: a panel for each metric, a curve for each score.

    Values that span a decade stand at equal steps, each with its number: they may include 0. The
    baseline's means are thin lines of the score's own style; grey: the setting's default.
    """
    figure = Figure(figsize=(CURVE_PANEL * len(panels) + 0.4, 3.1), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    lines = {}
    for ax, (metric, found) in zip(axes, panels.items(), strict=True):
        values = next(iter(found.values())).values
        span = values[-1] / max(values[values > 0].min(initial=np.inf), 1e-12)
        even = span >= DECADE or values[0] == 0
        positions = np.arange(len(values)) if even else values
        at = positions[np.flatnonzero(values == default)]
        lines["default"] = ax.axvline(at[0], color=GREY, lw=5, alpha=0.35)
        for number, (score, curve) in enumerate(found.items()):
            lines[score] = _drawn(ax, positions, curve, number, score)
            if score in floors.get(metric, {}):
                name = f"{against}, {score}"
                lines[name] = ax.axhline(
                    100 * floors[metric][score], color=_color(number), lw=1,
                    ls=DASHES[number % len(DASHES)],
                )  # fmt: skip
        names = [f"{value:g}" for value in values]
        crowded = CURVE_PANEL * DPI / len(names) < LETTER * max(map(len, names))
        ax.set_xticks(positions, names, rotation=90 if crowded else 0)
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(symbol)
        ax.set_ylabel(f"{metric}, %")
        ax.grid(axis="y", color="#dddddd", lw=0.5)
    figure.legend(lines.values(), lines, loc="outside upper center", ncols=3)
    return figure


def over_epochs(
    panels: Mapping[str, Mapping[str, Curve]], *, ylabel: str, columns: int = 3
) -> Figure:
    """Draw GOE's figures 4 and 5: curves over the epochs, by kind or by number of outliers."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.7 * columns + 0.4, 2.3 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    lines = {}
    for place, unused in enumerate(axes[len(panels) :], len(panels)):
        unused.set_axis_off()
        axes[place - columns].tick_params(labelbottom=True)  # it is the lowest of its column
    for ax, (name, found) in zip(axes, panels.items(), strict=False):
        for number, (label, curve) in enumerate(found.items()):
            every = 1 + len(curve.values) // MARKS
            lines[label] = _drawn(ax, curve.values, curve, number, label, every)
        ax.set_title(name, color=BLACK)
        ax.xaxis.set_major_locator(MaxNLocator(EPOCHS_NAMED, integer=True))
        ax.grid(axis="y", color="#dddddd", lw=0.5)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    ncols = min(columns + 1, len(lines))
    figure.legend(lines.values(), lines, loc="outside upper center", ncols=ncols)
    return figure


# --- metrics against a setting (Figures 5 and 6) ---


@dataclass(frozen=True)
class Sweep:
    """Metrics over one setting: `mean` and `std` over seeds at each value, as fractions.

    `values` rise. `std` is NaN for a single seed: no error bar.
    """

    values: Float[ndarray, " k"]
    mean: Mapping[str, Float[ndarray, " k"]]
    std: Mapping[str, Float[ndarray, " k"]]
    default: float


def over_settings(
    panels: Mapping[str, Sweep], *, baseline: Mapping[str, float], against: str
) -> Figure:
    """Draw figures 5 and 6: a column per setting, a row per metric, in percent.

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
        positions, ticks = sweep.values, [f"{value:g}" for value in sweep.values]
        if positions[0] > 0 and positions[-1] >= DECADE * positions[0]:
            ax.set_xscale("log")
            positions = np.log(positions)
        nearest = np.diff(positions).min(initial=np.inf) / max(np.ptp(positions), 1e-12)
        crowded = nearest * PANEL * DPI < LETTER * max(map(len, ticks))
        ax.set_xticks(sweep.values, ticks, rotation=90 if crowded else 0)
        ax.xaxis.set_minor_locator(NullLocator())
    figure.align_labels()
    figure.legend(lines.values(), lines, loc="outside upper center", ncols=min(2, len(panels)))
    return figure
