"""The critical-difference diagram (Demšar 2006, figure 1): mean ranks, and bars over those that do
not differ."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.ranks import Ranks
from bood_tasks.reporting.tables.summary import Label

STEP = 1.0  # between two names, in the height of a line


def name_of(label: Label) -> str:
    return f"{row_name(*label[:2])}, {score_name(label[2])}"


def lines_of(ranks: Ranks) -> float:
    """Return the height that a diagram needs, in lines of text."""
    return (len(ranks.mean) + 1) // 2 * STEP + len(_stacked(ranks.cliques())) * 0.4 + 3.5


def _stacked(cliques: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Return the bars by the level that each stands on: those of one level do not meet."""
    levels: list[list[tuple[float, float]]] = []
    for bar in cliques:
        level = next((x for x in levels if x[-1][1] < bar[0]), None)
        if level is None:
            levels.append([bar])
        else:
            level.append(bar)
    return levels


def draw(ax: Axes, ranks: Ranks, title: str) -> None:
    """Draw one diagram: the best rank at the left, its row's name above all others there."""
    count, ordered = len(ranks.mean), sorted(ranks.mean.items(), key=lambda item: item[1])
    levels = _stacked(ranks.cliques())
    margin = 0.02 * (count - 1)
    ax.set_axis_off()
    ax.plot([1, count], [0, 0], color=style.BLACK, lw=1)
    step = max(1, round((count - 1) / 8))
    for tick in sorted({*range(1, count + 1, step), count}):
        if count - step < tick < count:
            continue
        ax.plot([tick, tick], [0, 0.25], color=style.BLACK, lw=1)
        ax.text(tick, 0.35, f"{tick}", ha="center", va="bottom")
    width = min(ranks.critical, count - 1)
    ax.plot([1, 1 + width], [1.7, 1.7], color=style.BLACK, lw=1.4, marker="|")
    known = f"critical difference {ranks.critical:.1f}"
    ax.text(1, 1.9, f"{title}: {known}", ha="left", va="bottom")
    for number, level in enumerate(levels, 1):
        for first, last in level:
            ends = [first - margin / 2, last + margin / 2]
            ax.plot(ends, [-0.4 * number] * 2, color=style.BLUE, lw=3, solid_capstyle="butt")
    below, half = 0.4 * len(levels) + 1, (count + 1) // 2
    for place, (label, rank) in enumerate(ordered):
        left = place < half
        line = place if left else count - 1 - place
        depth, side = -below - STEP * line, 1 - margin if left else count + margin
        ax.plot([rank, rank, side], [0, depth, depth], color=style.GREY, lw=0.7, zorder=0)
        ax.text(
            side - margin / 2 if left else side + margin / 2, depth,
            f"{name_of(label)}  {rank:.1f}" if left else f"{rank:.1f}  {name_of(label)}",
            ha="right" if left else "left", va="center", fontsize=8,
        )  # fmt: skip
    ax.set_xlim(1 - 0.75 * count, count + 0.75 * count)
    ax.set_ylim(-below - STEP * half, 2.8)
