"""The tables that `bood score` writes, row by row: CSV, or JSON lines.

An interrupted command keeps what it has computed. A spreadsheet runs no cell of the CSV.
"""

import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from bood_tasks.catalogue.datasets import IMAGE_SUFFIXES
from bood_tasks.catalogue.titles import FORMULA
from bood_tasks.deploy.items import STDIN, Item

COLUMNS = ("path", "score", "decision", "class", "threshold")
FORMATS = ("csv", "jsonl")


def cell(text: str) -> str:
    """Return a path as a table's cell: one that a spreadsheet would run gets `./` in front.

    >>> cell("=1+1.png")
    './=1+1.png'
    """
    return f"./{text}" if text[:1] in FORMULA and text else text


def quoted(text: str) -> str:
    """Return a text as a spreadsheet shows it instead of running it: `'=1+1` for `=1+1`.

    >>> quoted("=HYPERLINK(1)"), quoted("a=1")
    ("'=HYPERLINK(1)", 'a=1')
    """
    return f"'{text}" if text[:1] in FORMULA and text else text


def require_output(out: Path, items: Sequence[Item], option: str = "--out") -> None:
    """Raise ValueError for an output that would be one of the items, a link or what is no file."""
    if not out.resolve().parent.is_dir():
        raise FileNotFoundError(f"{option} must lie in a folder that is there, got {out}; make it")
    if out.is_symlink() or (out.exists() and not out.is_file()):
        what = "a link" if out.is_symlink() else "no plain file"
        raise ValueError(f"{option} must be a file of its own, got {out}, which is {what}")
    files = [item.content for item in items if isinstance(item.content, Path)]
    same = out.exists() and any(os.path.exists(path) and out.samefile(path) for path in files)
    if same or out.suffix.lower() in IMAGE_SUFFIXES:
        raise ValueError(f"{option} must name a file that is written, got {out}, which is scored")


def open_output(out: Path) -> TextIO:
    """Return the file to write, never one behind a link; standard output for STDIN."""
    if str(out) == STDIN:
        return os.fdopen(os.dup(sys.stdout.fileno()), "w", newline="", encoding="utf-8")
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    os.ftruncate(descriptor, 0)
    # names that are no text of UTF-8 are written as they are
    return open(descriptor, "w", newline="", encoding="utf-8", errors="surrogateescape")


class Table:
    """Writes rows to a file that is open; `threshold` is that of every row, None if there is none.

    What cannot be read has a line of its own in JSON lines, and none in a CSV.
    """

    def __init__(self, handle: TextIO, kind: str, threshold: str | None):
        self.handle, self.kind, self.threshold = handle, kind, threshold
        self.writer = csv.writer(handle, lineterminator="\n")
        if kind == "csv":
            self.writer.writerow(COLUMNS)

    def _line(self, **row) -> None:
        self.handle.write(json.dumps(row, ensure_ascii=False) + "\n")

    def add(self, name: str, score: np.floating, decision: str, label: str) -> None:
        """Write what a detector says of an item."""
        if self.kind == "csv":
            told = (cell(name), score, decision, quoted(label), self.threshold or "")
            self.writer.writerow(told)
            return
        shown = float(str(score))  # as short as float32 allows
        at = None if self.threshold is None else float(self.threshold)
        row = {"path": name, "score": shown, "decision": decision or None, "class": label}
        self._line(**row, threshold=at)

    def unreadable(self, name: str, why: str) -> None:
        """Write that an item cannot be read."""
        if self.kind == "jsonl":
            self._line(path=name, error=why)

    def flush(self) -> None:
        self.handle.flush()
