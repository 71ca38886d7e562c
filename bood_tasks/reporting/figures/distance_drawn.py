"""Which outliers help, and where: their distance from ID against what training on them gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from scipy.stats import spearmanr

from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.catalogue.titles import row_name
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.findings import REFERENCE, Contender, reference
from bood_tasks.reporting.tables.apart import Difference, Differences
from bood_tasks.reporting.tables.frames import records
from bood_tasks.reporting.tables.summary import Label

MEASURES = {  # columns of outlier_distance.csv as axes
    "knn": "k-th neighbour's\ndistance, ID = 1",
    "mahalanobis": "Mahalanobis\ndistance, ID = 1",
    "confidence": "confidence of the\nplain classifier",
    "pixels": "AUROC of the pixels\nagainst ID",
}
DECADE = 10.0  # an axis that spans one is logarithmic
FEW_ROWS = 4  # below which no correlation is told
WIDTH, HEIGHT = 2.6, 1.9  # inches a panel


@dataclass(frozen=True)
class Source:
    """One row that saw outliers: where they lie, by measure, and its line in the table."""

    row: tuple[str, str]
    places: Mapping[str, float]
    line: Label
    than: Label  # plain by the same score, where it has that


def sources(measured: pd.DataFrame, lines: Sequence[Contender]) -> list[Source]:
    """Return the rows with outliers whose lines can be held against plain, by a score that both
    have: energy before others."""
    plain, found = reference(lines), []
    if plain is None:
        return []
    labels = [tuple(line.label) for line in lines]
    of_plain = {label[2]: label for label in labels if label[:2] == tuple(plain.label[:2])}
    for item in records(measured[measured["kind"] == "outliers"]):
        row = item["method"], item["variant"]
        own = [label for label in labels if label[:2] == row]
        shared = [label for label in own if label[2] in of_plain]
        shared.sort(key=lambda label: label[2] != REFERENCE[2])
        if not own:
            continue
        line = (shared or own)[0]
        places = {name: item[name] for name in MEASURES if item[name] is not None}
        found.append(Source(row, places, line, of_plain.get(line[2], tuple(plain.label))))
    return found


def draw(
    found: Sequence[Source],
    columns: Mapping[str, str],
    own_places: Mapping[str, Mapping[str, float]],
    differences: Differences,
    metric: str,
) -> Figure:
    """Return a row of panels for each set or group, a column for each measure.

    `columns`: the data set, or average over a group, by what it is called. `own_places`: where each
    set itself lies, by measure: the dotted line.
    """
    names = [name for name in MEASURES if any(name in source.places for source in found)]
    size = WIDTH * len(names) + 0.5, HEIGHT * len(columns) + 1.1
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(columns), len(names), squeeze=False, sharey="row", sharex="col")
    marks = {}
    for line, (title, dataset) in zip(axes, columns.items(), strict=True):
        gains = [differences.find(x.line, x.than, dataset, metric) for x in found]
        for ax, name in zip(line, names, strict=True):
            ax.axhline(0, color=style.GREY, lw=0.8, zorder=0)
            if name in own_places.get(title, {}):
                ax.axvline(own_places[title][name], color=style.BLACK, ls=":", lw=1, zorder=0)
            pairs = []
            for number, (source, gain) in enumerate(zip(found, gains, strict=True)):
                if gain is None or name not in source.places:
                    continue
                pairs.append((source.places[name], gain.value))
                mark = _mark(ax, source.places[name], gain, number)
                marks.setdefault(row_name(*source.row), mark)
            seen = [place for place, _ in pairs]
            if seen and min(seen) > 0 and max(seen) > DECADE * min(seen):
                ax.set_xscale("log")
                ax.xaxis.set_major_formatter("{x:g}")
                ax.xaxis.set_minor_formatter(NullFormatter())
            sides = [*zip(*pairs, strict=True)]
            if len(pairs) >= FEW_ROWS and all(len({*side}) > 1 for side in sides):
                told = f"rank correlation {spearmanr(*sides).statistic:.2f}"
                ax.set_title(told, fontsize=7.5, color=style.BLACK, loc="right", pad=3)
            ax.grid(axis="y", color="#dddddd", lw=0.5)
        line[0].set_ylabel(f"{title}\nchange of {METRICS[metric].title}, points")
    for ax, name in zip(axes[-1], names, strict=True):
        ax.set_xlabel(MEASURES[name])
    figure.legend(marks.values(), marks, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def _mark(ax, place: float, gain: Difference, number: int):
    color, marker, filled = style.class_style(number)
    ax.plot([place] * 2, [100 * gain.low, 100 * gain.high], color=color, lw=0.9, alpha=0.7)
    face = color if filled else "white"
    (mark,) = ax.plot(
        [place], [100 * gain.value], marker, ms=6, color=color, mfc=face, ls="none"
    )  # fmt: skip
    return mark
