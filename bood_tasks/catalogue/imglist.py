"""List files as OpenOOD's: `path label` a line. What they name is hashed, read, counted and listed.

Standard library only: planning hashes what jobs read.
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bood_tasks.catalogue.walk import LeftOut, shown

MARK = "byte-order mark"
RETURNS = "carriage returns at ends of lines"
EMPTY = "empty lines"
TWICE = "lines that a list holds twice"
SHOWN = 5  # lines in a message
LABEL = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True)
class Line:
    """One picture: its path below the folder of the pictures, its label (None: no number), and
    where it stands in the list, counted from 1."""

    path: str
    label: int | None
    number: int


def _split(text: str) -> tuple[str, int | None]:
    """Return path and label of a line: what stands behind the last blank, if it is a whole number.
    Names may hold spaces."""
    text = text.strip(" \t")
    cut = max(text.rfind(" "), text.rfind("\t"))
    if cut > 0 and LABEL.fullmatch(text, cut + 1):
        return text[:cut].rstrip(" \t"), int(text[cut + 1 :])
    return text, None


def _refuse(file: Path, setting: str, what: str, found: list[Line], cure: str) -> None:
    if found:
        each = ", ".join(f"line {x.number} {shown(x.path)!r}" for x in found[:SHOWN])
        more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
        raise ValueError(f"{setting} must {what}, got {each}{more} in {file}; {cure}")


def read_list(file: Path, setting: str, told: LeftOut | None = None) -> list[Line]:
    r"""Return the pictures that a list names, in its order, each once.

    Lines end at `\n` or `\r\n`. A byte-order mark, carriage returns, empty lines and lines that
    stand twice are counted in `told`. Raises ValueError that names the lines for other encodings,
    for paths that leave the folder, for one path with two labels, and for a list of nothing.
    """
    told, name = LeftOut() if told is None else told, str(file)
    content = file.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise ValueError(
            f"{setting} must be text in UTF-8, got {file}; convert it: iconv -f UTF-16 -t UTF-8"
        )
    if content.startswith(codecs.BOM_UTF8):
        content = content.removeprefix(codecs.BOM_UTF8)
        told.add(MARK, name)
    lines: dict[str, Line] = {}
    outside, torn = [], []
    text = content.removesuffix(b"\n").decode("utf-8", "surrogateescape")
    for number, raw in enumerate(text.split("\n"), 1):
        text = raw.removesuffix("\r")
        if text != raw:
            told.add(RETURNS, name)
        if not text.strip():
            told.add(EMPTY, f"{name}:{number}")
            continue
        line = Line(*_split(text), number)
        place = PurePosixPath(line.path)
        if place.is_absolute() or ".." in place.parts:
            outside.append(line)
        key = str(place)
        if key not in lines:
            lines[key] = line
        elif lines[key].label == line.label:
            told.add(TWICE, line.path)
        else:
            torn.append(line)
    _refuse(
        file, setting, "name pictures below the folder of the pictures", outside,
        "write paths relative to `path`/`pictures`",
    )  # fmt: skip
    _refuse(file, setting, "give each picture one label", torn, "remove the wrong line")
    if not lines:
        raise ValueError(f"{setting} must name pictures, one a line, got none in {file}")
    return list(lines.values())
