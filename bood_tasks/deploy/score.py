"""`bood score`: a detector's scores, decisions and classes, one row an item.

Rows are written block by block. An item that cannot be read is named, and the others go on.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.items import STDIN, Item
from bood_tasks.deploy.page import Extremes, write_page
from bood_tasks.deploy.tables import Table, open_output, require_output

ITEMS_AT_ONCE = 256  # read, scored and written together
SECONDS_BETWEEN_LINES = 10.0
Told = tuple[np.floating, str, str]  # score, decision, class


@dataclass
class Said:
    """What a scoring has found: `scores` of all that could be read, why the others could not."""

    scores: list[np.ndarray] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)

    def all_scores(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.float32), *self.scores])


def _reporting(total: int, kind: str) -> Callable[[int], None]:
    """Return what says now and then how far it is: `rich` may not be there, nor take its time."""
    last = time.monotonic()

    def report(done: int) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"score: {done:,} of {total:,} {kind}", file=sys.stderr, flush=True)

    return report


def scored(
    detector: Detector,
    items: Sequence[Item],
    said: Said,
    *,
    tpr: float,
    threshold: float | None = None,
) -> Iterator[list[tuple[Item, str | Told]]]:
    """Yield block by block, in their order, the items and what the detector says of each, or why
    it cannot be read; `said` sums it up."""
    report = _reporting(len(items), detector.kind)
    for start in range(0, len(items), ITEMS_AT_ONCE):
        block = items[start : start + ITEMS_AT_ONCE]
        found = detector.read([item.content for item in block], said.converted)
        good = [row for row in found if not isinstance(row, str)]
        told: Iterator[Told] = iter(())
        if good:
            verdict = detector.judge(good, tpr=tpr, threshold=threshold)
            said.scores.append(verdict.scores)
            said.decisions.update(verdict.decisions.tolist())
            told = zip(verdict.scores, verdict.decisions, verdict.classes, strict=True)
        rows = []
        for item, row in zip(block, found, strict=True):
            if isinstance(row, str):
                said.unreadable.append(_named(item, row))
            rows.append((item, said.unreadable[-1] if isinstance(row, str) else next(told)))
        yield rows
        report(start + len(block))


def _named(item: Item, why: str) -> str:
    """Return a reason that begins with the item's name: of bytes and texts a reader knows none."""
    return why if isinstance(item.content, Path) else f"{item.name}: {why.partition(': ')[2]}"


def score(
    detector: Detector,
    items: Sequence[Item],
    out: Path,
    *,
    kind: str,
    tpr: float,
    threshold: float | None = None,
    page: Path | None = None,
) -> Said:
    """Write a table of what a detector says of items, and, if asked for, a `page` of the most and
    the least ID ones. Raises ValueError for an output that may not be written."""
    for option, path in (("--out", out), ("--html", page)):
        if path is not None and str(path) != STDIN:
            require_output(path, items, option)
    at = detector.chosen(tpr, threshold)
    shown = None if at is None else str(np.float32(at))  # as short as float32 allows
    said, extremes = Said(), Extremes()
    with ExitStack() as stack:
        table = Table(stack.enter_context(open_output(out)), kind, shown)
        for rows in scored(detector, items, said, tpr=tpr, threshold=threshold):
            for item, found in rows:
                if isinstance(found, str):
                    table.unreadable(item.name, found)
                    continue
                value, decision, label = found
                table.add(item.name, value, str(decision), str(label))
                extremes.add(item, float(value), str(decision), str(label))
            table.flush()
    if page is not None:
        write_page(page, detector, extremes, said.all_scores(), at, said.unreadable)
    return said


def summary(detector: Detector, said: Said, tpr: float, threshold: float | None) -> list[str]:
    """Return what a scoring is told by: how many, and by which threshold."""
    count, at = said.decisions.total(), detector.chosen(tpr, threshold)
    if at is None:
        try:
            detector.threshold(tpr)
        except ValueError as error:
            return [f"{count} {detector.kind}, scored and not decided: {error}"]
    accepts = (
        "as given" if threshold is not None else f"accepts {tpr:.4g} of {detector.calibration}"
    )
    told = f"{said.decisions['ID']} ID and {said.decisions['OOD']} OOD"
    lines = [
        f"{count} {detector.kind}, {told}; {detector.score} >= {np.float32(at)!s} is ID, {accepts}"
    ]
    return lines + [f"{number:,} {how}" for how, number in sorted(said.converted.items())]
