"""Which features become outliers: the nearest to the boundary, or random ones (BOOD 3.2.1).

Used by ood_features.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from bood_tasks.jobs import seeds

HISTOGRAM_BINS = 20
Select = Literal["boundary", "random"]
Scope = Literal["per_class", "global"]
Misclassified = Literal["keep", "drop"]
Uncrossed = Literal["skip", "keep"]


@dataclass
class Selection:
    """The chosen rows, sorted by class, then by rank, and what was passed over, per class.

    `cut` is the largest d chosen, `tie_mass` the number of rows at exactly that d which could
    have been chosen; both are empty for a random choice.
    """

    rows: Int64[np.ndarray, " m"]
    selected: dict[str, int]
    dropped_misclassified: dict[str, int]
    skipped_never_crossed: dict[str, int]
    cut: dict[str, int]
    tie_mass: dict[str, int]


def select_rows(
    labels: Int[np.ndarray, " n"],
    steps: Int[np.ndarray, " n"],
    crossed: Bool[np.ndarray, " n"],
    margin: Float[np.ndarray, " n"],
    classes: Sequence[str],
    *,
    select: Select,
    rate: float,
    scope: Scope,
    misclassified: Misclassified,
    seed: int,
    uncrossed: Uncrossed = "skip",
) -> Selection:
    """Return round(rate × N_y) rows of each class, N_y counting all of its rows.

    `boundary` ranks by (d, |initial margin|, index), `random` by a seeded draw; `global` ranks
    all classes together and takes round(rate × n). Rows that never crossed are skipped for the
    next in rank by both, so that the two differ in nothing else, unless `uncrossed` is keep: then
    they rank by their d = K. `drop` leaves out those that are wrong from the start (d = 0). round
    is Python's: halves go to the even neighbour.

    Raises ValueError for a class that ends without a row.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate must be in (0, 1], got {rate}; write 5 % as 0.05")
    members = {name: np.flatnonzero(labels == y) for y, name in enumerate(classes)}
    if select == "boundary":
        ranked = np.lexsort((np.arange(len(labels)), np.abs(margin), steps))  # last key first
    else:
        draws = np.empty(len(labels))
        for name, rows in members.items():
            draws[rows] = seeds.generator(seed, "ood_features", "select", name).random(len(rows))
        ranked = np.argsort(draws, kind="stable")
    wrong = crossed & (steps == 0)
    allowed = np.full(len(labels), True) if misclassified == "keep" else ~wrong
    able = crossed if uncrossed == "skip" else np.full(len(labels), True)

    pools = {name: ranked[labels[ranked] == y] for y, name in enumerate(classes)}
    if scope == "global":
        pools = {"all classes": ranked}
    chosen, skipped = np.full(len(labels), False), np.full(len(labels), False)
    for name, pool in pools.items():
        wanted = round(rate * len(pool))
        queue = pool[allowed[pool]]
        queue = queue[: np.searchsorted(np.cumsum(able[queue]), wanted) + 1 if wanted else 0]
        chosen[queue], skipped[queue] = able[queue], ~able[queue]
        if skipped[pool].any() or chosen[pool].sum() < wanted:
            print(
                f"warning: {name}: {skipped[pool].sum()} rows that never crossed the boundary "
                f"were skipped, {chosen[pool].sum()} of {wanted} wanted rows selected",
                file=sys.stderr,
            )
    for name, rows in members.items():
        if not chosen[rows].any():
            raise ValueError(
                f"every class must have a row to perturb, got 0 of {len(rows)} for {name} at rate "
                f"{rate}: {wrong[rows].sum()} misclassified ({misclassified}), "
                f"{(~crossed[rows]).sum()} never crossed; raise ood_features.rate or "
                "distances.max_steps, train the encoder longer, or set ood_features.misclassified: "
                "keep, ood_features.uncrossed: keep or ood_features.scope: per_class"
            )

    def per_class(marked: Bool[np.ndarray, " n"]) -> dict[str, int]:
        return {name: int(marked[rows].sum()) for name, rows in members.items()}

    cut, tie_mass = {}, {}
    if select == "boundary":
        reach = np.where(chosen, steps, -1)
        cut = {
            name: int(reach.max() if scope == "global" else reach[rows].max())
            for name, rows in members.items()
        }
        cut_of_row = np.array([cut[name] for name in classes])[labels]
        tie_mass = per_class(allowed & able & (steps == cut_of_row))
    rows = ranked[chosen[ranked]]
    return Selection(
        rows=rows[np.argsort(labels[rows], kind="stable")],
        selected=per_class(chosen),
        dropped_misclassified=per_class(~allowed),
        skipped_never_crossed=per_class(skipped),
        cut=cut,
        tie_mass=tie_mass,
    )


def describe_selection(
    steps: Int[np.ndarray, " n"], crossed: Bool[np.ndarray, " n"], selection: Selection
) -> list[str]:
    """Return the lines of the log: the histogram of d, the cut and how many rows tie at it."""
    width = int(steps.max()) // HISTOGRAM_BINS + 1
    lines = ["distances d to the boundary, in steps:"]
    for low, count in enumerate(np.bincount(steps // width)):
        if count:
            span = f"{low * width}" if width == 1 else f"{low * width}-{(low + 1) * width - 1}"
            lines.append(f"  d {span}: {count} rows ({count / len(steps):.1%})")
    lines.append(f"  {(~crossed).sum()} of these rows never crossed")
    for name, count in selection.selected.items():
        dropped = selection.dropped_misclassified[name]
        line = f"{name}: {count} selected, {dropped} misclassified dropped"
        if selection.cut:
            line += f", cut at d = {selection.cut[name]}, where {selection.tie_mass[name]} rows tie"
        lines.append(line)
    return lines
