"""`bood score`: a detector's scores, decisions and classes of picture files, as CSV.

One row a picture: `path, score, decision, class, threshold`. Rows are written block by block, so
that an interrupted command keeps what it has computed.
"""

import csv
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from bood_tasks.catalogue.datasets import IMAGE_SUFFIXES
from bood_tasks.datasets.read_folders import picture_files
from bood_tasks.deploy.load import load_detector
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.progress import progress

FORMULA = tuple("=+-@\t\r")
PICTURES_AT_ONCE = 256  # read, scored and written together
COLUMNS = ("path", "score", "decision", "class", "threshold")


def listed(given: Sequence[Path]) -> list[Path]:
    """Return the pictures that files and folders name, those of a folder sorted, none twice.

    Raises FileNotFoundError for a path that is not there, ValueError if there is no picture.
    """
    if missing := [str(path) for path in given if not path.exists()]:
        raise FileNotFoundError(f"no such picture or folder: {', '.join(missing)}")
    found = [file for path in given for file in (picture_files(path) if path.is_dir() else [path])]
    if not found:
        raise ValueError(
            f"there must be {', '.join(IMAGE_SUFFIXES)} in {', '.join(map(str, given))}, which "
            "has none; name pictures or a folder that holds some"
        )
    return list(dict.fromkeys(found))


def cell(text: str) -> str:
    """Return a text as a spreadsheet shows it instead of running it: `'=1+1` for `=1+1`.

    >>> cell("=HYPERLINK(1).png"), cell("a=1.png")
    ("'=HYPERLINK(1).png", 'a=1.png')
    """
    return f"'{text}" if text[:1] in FORMULA and text else text


def require_output(out: Path, pictures: Sequence[Path]) -> None:
    """Raise ValueError for a CSV that would be a picture, a link or what is no file."""
    if not out.resolve().parent.is_dir():
        raise FileNotFoundError(f"--out must lie in a folder that is there, got {out}; make it")
    if out.is_symlink() or (out.exists() and not out.is_file()):
        what = "a link" if out.is_symlink() else "no plain file"
        raise ValueError(f"--out must be a file of its own, got {out}, which is {what}")
    same = out.exists() and any(out.samefile(path) for path in pictures)
    if same or out.suffix.lower() in IMAGE_SUFFIXES:
        raise ValueError(f"--out must name a CSV that is written, got the picture {out}")


def open_output(out: Path) -> TextIO:
    """Return the CSV to write, never one behind a link."""
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    os.ftruncate(descriptor, 0)
    # names that are no text of UTF-8 are written as they are
    return open(descriptor, "w", newline="", encoding="utf-8", errors="surrogateescape")


def score_pictures(
    artifact: Path,
    given: Sequence[Path],
    out: Path,
    *,
    tpr: float,
    score: str | None = None,
    method: Path | None = None,
) -> list[str]:
    """Write a CSV of what a detector says of pictures; return what could not be read, and why."""
    files = listed(given)
    require_output(out, files)
    detector = load_detector(artifact, pick_device(), score=score, method=method)
    threshold = str(np.float32(detector.threshold(tpr)))  # as short as float32 allows
    unreadable: list[str] = []
    said: Counter[str] = Counter()
    with open_output(out) as handle, progress("score", len(files), "pictures") as advance:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        for start in range(0, len(files), PICTURES_AT_ONCE):
            block = files[start : start + PICTURES_AT_ONCE]
            read = list(zip(block, detector.read(block), strict=True))
            unreadable += [item for _, item in read if isinstance(item, str)]
            whole = [(path, item) for path, item in read if not isinstance(item, str)]
            if whole:
                found = detector.judge(np.stack([item for _, item in whole]), tpr=tpr)
                columns = (found.scores, found.decisions, found.classes)
                for (path, _), value, decision, name in zip(whole, *columns, strict=True):
                    writer.writerow([cell(str(path)), value, decision, cell(str(name)), threshold])
                handle.flush()
                said.update(found.decisions.tolist())
            advance(len(block))
    print(
        f"{out}: {said.total()} pictures, {said['ID']} ID and {said['OOD']} OOD; "
        f"{detector.score} >= {threshold} is ID and accepts {tpr:.4g} of {detector.calibration}",
        file=sys.stderr,
    )
    return unreadable
