"""Progress with rate and time left: a live bar at a terminal, a line now and then in a log.

A job at work also says it to others: `.progress/now` in the folder of its artifact, replaced at
most once a second, is what the bar of a whole run and `bood status` read.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bood_tasks.artifacts.store import being_written

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_NOTES = 1.0
NOW = Path(".progress", "now")


@dataclass(frozen=True)
class Now:
    """How far a job is: `done` of `total` `unit`, `rate` of them a second (0: not known yet)."""

    done: int
    total: int
    unit: str
    rate: float = 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at this rate; None if that is not known."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


def how_far(folder: Path, since: float = 0.0) -> Now | None:
    """Return what the job that makes an artifact says; None if it has not (since a time, seconds
    since 1970: what an earlier try left does not count)."""
    path = folder / NOW
    try:
        if path.stat().st_mtime < since:
            return None
        found = Now(**json.loads(path.read_text(encoding="utf-8")))
        return found if isinstance(found.seconds_left, float | None) else None
    except (OSError, ValueError, TypeError):
        return None


class _Note:
    """Counts items, and says so in the folder of the artifact that is being written, if one is."""

    def __init__(self, total: int, unit: str, done: int):
        self.total, self.unit, self.done, self.first = total, unit, done, done
        self.start = time.monotonic()
        self.noted = self.start - SECONDS_BETWEEN_NOTES

    @property
    def rate(self) -> float:
        """Items a second of this try."""
        return (self.done - self.first) / max(time.monotonic() - self.start, 1e-9)

    def __call__(self, count: int = 0) -> None:
        self.done += count
        moment = time.monotonic()
        if moment - self.noted < SECONDS_BETWEEN_NOTES or (folder := being_written()) is None:
            return
        self.noted = moment
        now = Now(self.done, self.total, self.unit, self.rate)
        scratch = (folder / NOW).with_suffix(".tmp")
        try:  # it serves eyes alone: a full disk is told by what must be written
            scratch.write_text(json.dumps(asdict(now)), encoding="utf-8")
            os.replace(scratch, folder / NOW)
        except OSError:
            pass


class _Log:
    """Prints a line every SECONDS_BETWEEN_LINES."""

    def __init__(self, label: str, note: _Note):
        self.label, self.count = label, note
        self.last = note.start
        print(f"{label}: {note.done}/{note.total} {note.unit}", file=sys.stderr, flush=True)

    def __call__(self, note: str = "") -> None:
        count, moment = self.count, time.monotonic()
        if moment - self.last < SECONDS_BETWEEN_LINES and count.done < count.total:
            return
        self.last = moment
        left = (count.total - count.done) / count.rate if count.rate else float("nan")
        print(
            f"{self.label}: {count.done}/{count.total} {count.unit}, {count.rate:.1f}/s, "
            f"{left:.0f} s left{', ' + note if note else ''}",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def progress(label: str, total: int, unit: str = "items", *, done: int = 0) -> Iterator:
    """Yield `advance(count, note)`; `done` items were finished by an earlier try."""
    noted = _Note(total, unit, done)
    noted()
    if not sys.stderr.isatty():
        log = _Log(label, noted)

        def advance(count: int = 1, note: str = "") -> None:
            noted(count)
            log(note)

        yield advance
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

        def advance(count: int = 1, note: str = "") -> None:
            noted(count)
            bar.update(task, advance=count, note=note)

        yield advance
