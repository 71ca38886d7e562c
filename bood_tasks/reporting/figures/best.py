"""How far validation can be trusted: what it chooses, and how validation and test order the rows.

Leaves a figure and best.csv: every row and score, the best on validation first, with its figures
there and on the test sets and the probability that it differs from the first by chance.
"""

import csv
from collections.abc import Sequence

from matplotlib.figure import Figure

from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.choice import (
    BY,
    Candidate,
    candidates,
    chance,
    mean,
    sentences,
    spread,
    worth,
)
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.tables.frames import read_metrics

VERSION = 1


def draw(found: Sequence[Candidate], by: str) -> Figure:
    """Return a panel for each metric: every row and score, on validation and on test."""
    figure, axes = style.panel_grid(len(BY), 2, width=3.6, height=3.3)
    best = worth(found, by)
    for ax, metric in zip(axes, BY, strict=True):
        sides = [[getattr(x, part)[metric] for x in found] for part in ("validation", "test")]
        x, y = ([100 * mean(seeds) for seeds in side] for side in sides)
        dx, dy = ([100 * (spread(seeds) or 0) for seeds in side] for side in sides)
        ax.errorbar(x, y, dy, dx, fmt="o", ms=3.5, lw=0.6, color=style.GREY, zorder=1)
        marks = ((found[0], "chosen on validation", "D", style.VERMILION),
                 (best.hindsight[metric], "best in hindsight", "o", style.BLUE))  # fmt: skip
        for item, label, marker, color in marks:
            place = found.index(item)
            ax.plot(x[place], y[place], marker, ms=8, mfc="none", mew=1.6, color=color, label=label)
        ends = min(x + y), max(x + y)
        ax.plot(ends, ends, ":", lw=0.8, color=style.GREY, zorder=0)
        ax.set(title=METRICS[metric].heading, xlabel="validation sets, %", ylabel="test sets, %")
    axes[0].legend(loc="best", fontsize=8)
    return figure


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    by = BY[0]
    found = candidates(read_metrics(job.inputs["metrics"]), by=by)
    with job.draft() as draft, style.house_style():
        with (draft.folder / "best.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            parts = [(part, metric) for part in ("validation", "test") for metric in BY]
            heads = [f"{part}_{metric}{end}" for part, metric in parts for end in ("", "_std")]
            writer.writerow(["method", "variant", "score", *heads, "chance"])
            for item in found:
                values = [getattr(item, part)[metric] for part, metric in parts]
                cells = [x for seeds in values for x in (mean(seeds), spread(seeds))]
                by_chance = chance(found[0], item, by)
                writer.writerow([*item.label, *(_cell(x) for x in (*cells, by_chance))])
        album = Album(draft.folder)
        album.add(
            "best",
            draw(found, by),
            "How far validation can be trusted",
            " ".join(sentences(found, by))
            + " Each point is a row with a score, the mean over sets and seeds; bars: one "
            "deviation over seeds. On the dotted line validation and test agree.",
        )
        draft.finish(rows={"figures": album.finish(), "best": len(found)})


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
