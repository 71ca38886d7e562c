"""Distributions: distances, scores, ROC curves, losses."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from bood_tasks.reporting.figures.style import (
    BLACK,
    BLUE,
    CYCLE,
    DASHES,
    GREY,
    SKY,
    VERMILION,
    class_style,
    panel_grid,
)
from bood_tasks.scoring.roc import auroc, roc_counts

MOST_PANELS_OF_CLASSES = 12
# --- scores ---

Scored = Mapping[str, tuple[Float[ndarray, " n"], Float[ndarray, " m"]]]
# --- losses ---

Curve = tuple[Float[ndarray, " n"], Float[ndarray, " n"]]


# --- distances ---


def distances(
    steps: Int[ndarray, " n"],
    crossed: Bool[ndarray, " n"],
    counted: Bool[ndarray, " n"],
    labels: Int[ndarray, " n"],
    classes: Sequence[str],
    *,
    taken: Mapping[str, int],
    cut: Mapping[str, int],
    tied: Mapping[str, int],
    left_out: Mapping[str, int],
) -> Figure:
    """Histograms of step counts, one panel a class (one for all if there are many).

    Rows that never crossed stand apart at the right; of rows that are not `counted` only a bound is
    known: they have no bar. The cut is the largest step count taken, `tied` the rows that have
    exactly it, `left_out` the wrongly classified rows dropped.
    """
    reach = int(steps[crossed & counted].max(initial=1))
    width = max(1, -(-(reach + 1) // 40))
    edges = np.arange(0, reach + 1 + width, width) - 0.5
    apart = edges[-1] + max(2, 0.06 * reach)
    if len(classes) <= MOST_PANELS_OF_CLASSES:
        panels = {name: (labels == index, [name]) for index, name in enumerate(classes)}
    else:
        panels = {f"all {len(classes)} classes": (np.ones(len(labels), bool), list(classes))}
    figure, axes = panel_grid(len(panels), 4, width=2.55 if len(panels) > 1 else 6, height=2.3)
    for ax, (title, (rows, names)) in zip(axes, panels.items(), strict=True):
        shown = rows & counted
        _distance_panel(ax, steps[shown], crossed[shown], edges, apart)
        cuts = sorted({cut[name] for name in names if cut.get(name) is not None})
        told = f"{title}: {sum(taken.get(name, 0) for name in names):,} of {rows.sum():,} taken"
        if cuts:
            ax.axvline(cuts[-1] + 0.5, color=VERMILION, ls="--", lw=1.4)
            at = str(cuts[0]) if len(cuts) == 1 else f"{cuts[0]} … {cuts[-1]}"
            told += f"\ncut at d = {at}, {sum(tied.get(name, 0) for name in names):,} tie there"
        dropped = sum(left_out.get(name, 0) for name in names)
        beyond = rows.sum() - shown.sum()
        told += "\n" + ", ".join(
            filter(None, (f"{dropped:,} at d = 0 left out" if dropped else "",
                          f"{beyond:,} not counted" if beyond else ""))
        )  # fmt: skip
        ax.set_title(told, loc="left", fontsize=8)
    figure.supxlabel("steps until the prediction changes, d", fontsize=9)
    figure.supylabel("features", fontsize=9)
    return figure


def _distance_panel(ax, steps: ndarray, crossed: ndarray, edges: ndarray, apart: float) -> None:
    ax.hist(steps[crossed & (steps > 0)], edges, color=SKY, edgecolor=BLACK, lw=0.4)
    ax.hist(steps[steps == 0], edges, color="white", edgecolor=BLACK, lw=0.4, hatch="////")
    never = int(np.count_nonzero(~crossed))
    width = edges[1] - edges[0]
    ax.bar(apart, never, width=max(1.0, width), color=GREY, edgecolor=BLACK, hatch="xx", lw=0.4)
    if never:
        ax.annotate(f"{never:,}", (apart, never), ha="center", va="bottom", fontsize=7)
    even = MaxNLocator(nbins=4, integer=True).tick_values(0, edges[-1])
    ticks = [tick for tick in even if 0 <= tick <= 0.78 * apart]  # leave room for "never"
    ax.set_xticks([*ticks, apart], [*(f"{tick:g}" for tick in ticks), "never"])
    ax.set_xlim(edges[0] - 0.5, apart + max(1.0, width))


def _breadth(names: Collection[str]) -> float:
    """Inches that the longest of the names takes at the house's size of type."""
    return 0.3 + 0.072 * max(map(len, names))


def score_histograms(scored: Scored, *, dataset: str, id_name: str) -> Figure:
    """A ridge per row of the table: ID filled, OOD hatched, right of the line 95 % of ID.

    Scores have scales of their own, so each row's are shifted and scaled alike for both sets: 0
    accepts 95 % of ID, 1 is the ID median. What lies outside -4 ... 4 is counted in the outermost
    bins. One axes for all rows: matplotlib takes longer over an axes than over what is in it.
    """
    edges = np.linspace(-4, 4, 81)
    names, height = _breadth(scored), 0.5 * len(scored) + 1.25
    width = names + 6
    figure = Figure(figsize=(width, height))
    ax = figure.subplots()
    # Laid out by hand: matplotlib's solver takes longer than the drawing.
    figure.subplots_adjust(
        left=names / width, right=1 - 0.75 / width, bottom=0.5 / height, top=1 - 0.35 / height
    )
    aurocs = []
    for row, (inside, outside) in enumerate(scored.values()):
        zero, one = np.quantile(inside, [0.05, 0.5], method="lower").astype(float)
        unit = one - zero if one > zero else 1.0
        shares = [
            np.histogram(np.clip((scores - zero) / unit, -4, 4), edges)[0] / len(scores)
            for scores in (inside, outside)
        ]
        for share, look in zip(
            shares,
            (
                {"color": SKY, "edgecolor": BLUE, "lw": 0.6, "label": f"ID {id_name}"},
                {"facecolor": "none", "edgecolor": VERMILION, "hatch": "////", "lw": 1.0,
                 "label": f"OOD {dataset}"},
            ),
            strict=True,
        ):  # fmt: skip
            tops = 0.85 * share / max(part.max() for part in shares) - row
            ax.stairs(tops, edges, baseline=-row, fill=True, **look)
        aurocs.append(f"{100 * auroc(inside, outside):.1f}")
    places = -np.arange(len(scored))
    ax.set(xlim=(-4, 4), ylim=(0.1 - len(scored), 1.0))
    ax.set_yticks(places, list(scored))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color=BLACK, ls="--", lw=1)
    for place, told in zip(places, aurocs, strict=True):
        ax.annotate(told, (1.01, place), xycoords=("axes fraction", "data"))
    ax.annotate("AUROC, %", (1.01, 0.8), xycoords=("axes fraction", "data"), fontsize=8)
    ax.set_xlabel("score, larger = more like ID (0, dashed: accepts 95 % of ID; 1: ID median)")
    figure.legend(*(part[:2] for part in ax.get_legend_handles_labels()), loc="upper right",
                  ncols=2)  # fmt: skip
    return figure


def roc_curves(datasets: Mapping[str, Scored]) -> Figure:
    """A panel per test set, in it a line per row of the table, ID positive.

    FPR95 is where a line meets the dotted one.
    """
    rows = list(next(iter(datasets.values())))
    columns = min(2 if len(datasets) <= 4 else 3, len(datasets))
    lines = -(-len(datasets) // columns)
    panels, legend = 3.2 * columns + 0.5, _breadth(rows) + 0.5
    width, height = panels + legend, max(2.6 * lines, 0.2 * len(rows)) + 0.5
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    figure.subplots_adjust(
        left=0.6 / width, right=panels / width, bottom=0.5 / height, top=1 - 0.3 / height,
        wspace=0.1, hspace=0.2,
    )  # fmt: skip
    looks = [(CYCLE[i % len(CYCLE)], DASHES[(i + i // len(CYCLE)) % len(DASHES)])
             for i in range(len(rows))]  # fmt: skip
    for place, unused in enumerate(axes[len(datasets) :], len(datasets)):
        unused.set_axis_off()
        axes[place - columns].tick_params(labelbottom=True)  # it is the lowest of its column
    for ax, (dataset, scored) in zip(axes, datasets.items(), strict=False):
        for (color, dash), (inside, outside) in zip(looks, scored.values(), strict=True):
            hits, alarms = (np.append(0, counts) for counts in roc_counts(inside, outside))
            kept = np.unique(np.linspace(0, len(hits) - 1, min(len(hits), 400)).astype(int))
            shares = 100 * alarms[kept] / len(outside), 100 * hits[kept] / len(inside)
            ax.plot(*shares, color=color, ls=dash, lw=1.4)
        ax.axhline(95, color=GREY, ls=":", lw=1)
        ax.grid(color="#dddddd", lw=0.5)
        ax.set_title(dataset, loc="left")
    axes[0].set(xlim=(-2, 102), ylim=(-2, 102), xticks=range(0, 101, 25), yticks=range(0, 101, 25))
    figure.text(0.5 * panels / width, 0.08 / height, "OOD accepted, %", ha="center")
    figure.text(0.12 / width, 0.5, "ID accepted, %", rotation=90, va="center")
    figure.legend(axes[0].get_lines()[: len(rows)], rows, loc="upper left",
                  bbox_to_anchor=(panels / width, 1))  # fmt: skip
    return figure


def _smooth(curve: Curve, points: int = 80) -> Curve:
    """Means of neighbouring steps, so that at most `points` remain."""
    groups = np.array_split(np.arange(len(curve[0])), min(points, len(curve[0])))
    return tuple(np.array([part[group].mean() for group in groups]) for part in curve)


def losses(panels: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """A panel per kind of loss, in it a line per network over its training epochs."""
    figure, axes = panel_grid(len(panels), 3, width=3.3, height=3.0)
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    looks = {name: (CYCLE[i % len(CYCLE)], DASHES[i % len(DASHES)]) for i, name in enumerate(names)}
    drawn = {}
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for name, curve in lines.items():
            color, dash = looks[name]
            (drawn[name],) = ax.plot(*_smooth(curve), color=color, ls=dash, lw=1.4)
        ax.set_title(title, loc="left")
        ax.set_xlabel("epoch")
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("loss, nats")
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=4)
    return figure


# --- what pixels alone can tell (method: section 9) ---


def pixel_control(
    pixels: Mapping[str, tuple[str, float]], detectors: Mapping[str, Mapping[str, float]]
) -> Figure:
    """AUROC of the best pixel statistic (name and value) and of detectors, per test set.

    The bar begins at chance; a detector's mark inside it does not beat the pixels.
    """
    height = max(1.3 + 0.62 * len(pixels), 0.6 + 0.2 * len(detectors))  # the legend's
    figure = Figure(figsize=(7.2, height), layout="constrained")
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
        color, marker, filled = class_style(index)
        ax.scatter(
            [100 * areas[dataset] for dataset in pixels],
            places + apart[index],
            s=38,
            facecolor=color if filled else "white",
            marker=marker,
            edgecolor=BLACK if filled else color,
            lw=0.6 if filled else 1.5,
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
