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
from bood_tasks.catalogue.titles import FORMULA
from bood_tasks.catalogue.walk import LeftOut, shown, walk
from bood_tasks.deploy.load import load_detector
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.progress import progress

PICTURES_AT_ONCE = 256  # read, scored and written together
COLUMNS = ("path", "score", "decision", "class", "threshold")


def listed(given: Sequence[Path]) -> tuple[list[Path], LeftOut]:
    """Return the pictures that files and folders name, those of a folder sorted, none twice; and
    what else the folders hold.

    Raises FileNotFoundError for a path that is not there, ValueError if there is no picture.
    """
    if missing := [str(path) for path in given if not path.exists()]:
        raise FileNotFoundError(f"no such picture or folder: {', '.join(missing)}")
    found, told = [], LeftOut()
    for path in given:
        found += walk(path, IMAGE_SUFFIXES, told).files if path.is_dir() else [path]
    if not found:
        raise ValueError(
            f"there must be {', '.join(IMAGE_SUFFIXES)} in {', '.join(map(shown, given))}, which "
            "has none; name pictures or a folder that holds some"
        )
    return list(dict.fromkeys(found)), told


def cell(path: Path) -> str:
    r"""Return a path as a table's cell: one that a spreadsheet would run gets `./` in front, bytes
    that are not UTF-8 stand as `\\xe9`.

    >>> cell(Path("=1+1.png"))
    './=1+1.png'
    """
    text = shown(path)
    return f"./{text}" if text[:1] in FORMULA else text


def quoted(text: str) -> str:
    """Return a text as a spreadsheet shows it instead of running it: `'=1+1` for `=1+1`.

    >>> quoted("=HYPERLINK(1)"), quoted("a=1")
    ("'=HYPERLINK(1)", 'a=1')
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
    score_file: Path | None = None,
) -> list[str]:
    """Write a CSV of what a detector says of pictures; return what could not be read, and why."""
    files, told = listed(given)
    require_output(out, files)
    device = pick_device()
    detector = load_detector(artifact, device, score=score, method=method, score_file=score_file)
    threshold = str(np.float32(detector.threshold(tpr)))  # as short as float32 allows
    unreadable: list[str] = []
    said: Counter[str] = Counter()
    converted: Counter[str] = Counter()
    with open_output(out) as handle, progress("score", len(files), "pictures") as advance:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        for start in range(0, len(files), PICTURES_AT_ONCE):
            block = files[start : start + PICTURES_AT_ONCE]
            read = list(zip(block, detector.read(block, converted), strict=True))
            unreadable += [item for _, item in read if isinstance(item, str)]
            whole = [(path, item) for path, item in read if not isinstance(item, str)]
            if whole:
                found = detector.judge(np.stack([item for _, item in whole]), tpr=tpr)
                columns = (found.scores, found.decisions, found.classes)
                for (path, _), value, decision, name in zip(whole, *columns, strict=True):
                    writer.writerow([cell(path), value, decision, quoted(str(name)), threshold])
                handle.flush()
                said.update(found.decisions.tolist())
            advance(len(block))
    print(
        f"{out}: {said.total()} pictures, {said['ID']} ID and {said['OOD']} OOD; "
        f"{detector.score} >= {threshold} is ID and accepts {tpr:.4g} of {detector.calibration}",
        file=sys.stderr,
    )
    told_lines = [f"left out: {line}" for line in told.told()]
    told_lines += [f"{count:,} {how}" for how, count in sorted(converted.items())]
    if told_lines:
        print(*told_lines, sep="\n", file=sys.stderr)
    return unreadable
