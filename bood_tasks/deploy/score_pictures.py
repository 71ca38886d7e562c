"""`bood score`: a detector's scores, decisions and classes of picture files, as CSV.

One row a picture: `path, score, decision, class, threshold`. Rows are written block by block, so
that an interrupted command keeps what it has computed.
"""

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bood_tasks.catalogue.datasets import IMAGE_SUFFIXES
from bood_tasks.catalogue.walk import LeftOut, shown, walk
from bood_tasks.deploy.load import load_detector
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.progress import progress

PICTURES_AT_ONCE = 256  # read, scored and written together
FORMULA = "=+-@\t\r"  # what a spreadsheet runs if a cell begins with it
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


def require_harmless(out: Path, files: Sequence[Path]) -> None:
    """Raise ValueError if the table would be written over a picture, or through a link."""
    if out.is_symlink():
        raise ValueError(f"--out must be no link, got {out}; name the file itself")
    if out.is_file() and any(out.samefile(file) for file in files):
        raise ValueError(f"--out must be none of the pictures, got {out}; name another file")


def cell(path: Path) -> str:
    r"""Return a path as a table's cell: one that a spreadsheet would run gets `./` in front, bytes
    that are not UTF-8 stand as `\\xe9`.

    >>> cell(Path("=1+1.png"))
    './=1+1.png'
    """
    text = shown(path)
    return f"./{text}" if text[:1] in FORMULA else text


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
    files, told = listed(given)
    require_harmless(out, files)
    if not out.resolve().parent.is_dir():
        raise FileNotFoundError(f"--out must lie in a folder that is there, got {out}; make it")
    detector = load_detector(artifact, pick_device(), score=score, method=method)
    threshold = str(np.float32(detector.threshold(tpr)))  # as short as float32 allows
    unreadable: list[str] = []
    said: Counter[str] = Counter()
    converted: Counter[str] = Counter()
    with (
        out.open("w", newline="", encoding="utf-8") as handle,
        progress("score", len(files), "pictures") as advance,
    ):
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
                    writer.writerow([cell(path), value, decision, name, threshold])
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
