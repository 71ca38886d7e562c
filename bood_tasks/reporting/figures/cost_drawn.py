"""Cost beside quality: hours of each line against its AUROC and FPR95."""

import statistics
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.catalogue.titles import row_name
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.line_costs import LineCost

PANEL = 3.7  # inches
TICKS = 6  # at most


def front(hours: Sequence[float], values: Sequence[float], *, higher: bool) -> list[int]:
    """Return which lines no other one beats at the same or a lower cost, the cheapest first."""
    found, best = [], -np.inf
    signed = [value if higher else -value for value in values]
    for place in sorted(range(len(hours)), key=lambda k: (hours[k], -signed[k])):
        if signed[place] > best:
            best = signed[place]
            found.append(place)
    return found


def ticks(least: float, most: float) -> list[tuple[float, str]]:
    """Return places of a logarithmic axis of hours and their names: round numbers of a unit."""
    units = (("s", 1 / 3600), ("min", 1 / 60), ("h", 1.0), ("h", 100.0), ("h", 10_000.0))
    found = [
        (count * hours, f"{count * round(max(hours, 1)):g} {unit}")
        for unit, hours in units
        for count in (1, 2, 3, 5, 10, 15, 20, 30, 40, 50)
        if least * 0.9 <= count * hours <= most * 1.1
    ]
    if len(found) < 2:
        found = [(each, f"{60 * each:.3g} min") for each in sorted({least, most})]
    kept = found[:1]
    for place in found[1:]:
        if np.log(place[0] / kept[-1][0]) > np.log(1.3 * most / least) / TICKS:
            kept.append(place)
    return kept


def draw(costs: Sequence[LineCost]) -> Figure:
    """Return a panel for each metric; a row's scores have its mark, grey steps join the lines that
    none beats at the same cost. Every line must have its hours."""
    figure = Figure(figsize=(2 * PANEL, PANEL + 0.9), layout="constrained")
    axes, marks = figure.subplots(1, 2), {}
    rows = list(dict.fromkeys(tuple(cost.line.label[:2]) for cost in costs))
    hours = [cost.hours for cost in costs]
    devices = sorted(set().union(*(cost.devices for cost in costs)))
    on = f", on {' and '.join(devices)}" if devices else ""
    for ax, metric in zip(axes, ("auroc", "fpr95"), strict=True):
        values = [100 * statistics.fmean(getattr(cost.line, metric)) for cost in costs]
        higher = METRICS[metric].higher_is_better
        best = front(hours, values, higher=higher)
        x, y = [hours[k] for k in best], [values[k] for k in best]
        ax.step([*x, max(hours)], [*y, y[-1]], where="post", color=style.GREY, lw=1, zorder=0)
        for number, row in enumerate(rows):
            color, marker, filled = style.class_style(number)
            own = [k for k, cost in enumerate(costs) if tuple(cost.line.label[:2]) == row]
            (marks[row_name(*row)],) = ax.plot(
                [hours[k] for k in own], [values[k] for k in own], marker, ms=6, color=color,
                mfc=color if filled else "none", alpha=0.85,
            )  # fmt: skip
        ax.set_xscale("log")
        places = ticks(min(hours), max(hours))
        ax.set_xticks([place for place, _ in places], [name for _, name in places])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set(xlabel=f"time of one seed{on}", ylabel=f"{METRICS[metric].heading}, %")
        ax.grid(axis="y", color="#dddddd", lw=0.5)
    figure.legend(marks.values(), marks, loc="outside lower center", ncols=4, fontsize=8)
    return figure
