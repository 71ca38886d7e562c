"""Progress with rate and time left: a live bar at a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0


class _Log:
    """Counts items and prints a line every SECONDS_BETWEEN_LINES."""

    def __init__(self, label: str, total: int, unit: str, done: int):
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self.first, self.start = done, time.monotonic()
        self.last = self.start
        print(f"{label}: {done}/{total} {unit}", file=sys.stderr, flush=True)

    def __call__(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.monotonic()
        if now - self.last < SECONDS_BETWEEN_LINES and self.done < self.total:
            return
        self.last = now
        rate = (self.done - self.first) / max(now - self.start, 1e-9)
        left = (self.total - self.done) / rate if rate else float("nan")
        print(
            f"{self.label}: {self.done}/{self.total} {self.unit}, {rate:.1f}/s, "
            f"{left:.0f} s left{', ' + note if note else ''}",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def progress(label: str, total: int, unit: str = "items", *, done: int = 0) -> Iterator:
    """Yield `advance(count, note)`; `done` items were finished by an earlier try."""
    if not sys.stderr.isatty():
        yield _Log(label, total, unit, done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(label, total=total, completed=done, note="")
        yield lambda count=1, note="": bar.update(task, advance=count, note=note)
