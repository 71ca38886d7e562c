"""What `bood score` and `bood monitor` are asked to score: files, folders, lists, lines, stdin."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bood_tasks.catalogue.walk import LeftOut, shown, walk
from bood_tasks.datasets.text_files import decode_utf8, split_lines
from bood_tasks.deploy.inputs import PICTURES

STDIN = "-"
EMPTY = "empty lines"


@dataclass(frozen=True)
class Item:
    """One picture or text: its name as people read it, and its file, text or file's bytes."""

    name: str
    content: Path | str | bytes = field(repr=False)


def _bytes_of(file: str) -> bytes:
    """Return what a file, or standard input, holds."""
    if file == STDIN:
        return sys.stdin.buffer.read()
    path = Path(file)
    if not path.is_file() and not path.is_fifo():
        raise FileNotFoundError(f"a list must be a file, or {STDIN} for standard input, got {file}")
    return path.read_bytes()


def _listed(file: str, told: LeftOut) -> Iterator[Path]:
    """Yield the paths that a list names, one a line, or ended by zero bytes as `find -print0`."""
    content = _bytes_of(file)
    parts = content.split(b"\0") if b"\0" in content else content.split(b"\n")
    for number, part in enumerate(parts, 1):
        part = part.removesuffix(b"\r")
        if part:
            yield Path(os.fsdecode(part))
        elif number < len(parts):
            told.add(EMPTY, f"line {number} of {file}")


def _lines(file: str, told: LeftOut) -> Iterator[Item]:
    """Yield the texts of a file, one a line."""
    name = "standard input" if file == STDIN else shown(file)
    for number, line in enumerate(split_lines(decode_utf8(_bytes_of(file), name)), 1):
        if line.strip():
            yield Item(f"{name}:{number}", line)
        else:
            told.add(EMPTY, f"line {number} of {name}")


def items_of(
    given: Sequence[Path],
    *,
    kind: str,
    suffixes: tuple[str, ...],
    lists: Sequence[str] = (),
    lines: Sequence[str] = (),
) -> tuple[list[Item], LeftOut]:
    """Return the items that are meant, those of a folder sorted, no file twice; and what else is
    there.

    `given`: files, folders and STDIN, one item; `lists`: files that name files and folders;
    `lines`: files of texts, one a line. What a list names and is not there is an item that cannot
    be read. Raises FileNotFoundError for what is given and not there, ValueError if there is no
    item, or lines where pictures are read.
    """
    if lines and kind == PICTURES:
        raise ValueError("--lines must be of a detector of texts, and this one reads pictures")
    if [*map(str, given), *lists, *lines].count(STDIN) > 1:
        raise ValueError(f"standard input, {STDIN}, must be named once, got it several times")
    if missing := [
        shown(path) for path in given if str(path) != STDIN and not os.path.exists(path)
    ]:
        raise FileNotFoundError(f"no such file or folder: {', '.join(missing)}")
    told, paths, found = LeftOut(), [], []
    for path in [*given, *(path for file in lists for path in _listed(file, told))]:
        if str(path) == STDIN:
            found.append(Item("standard input", sys.stdin.buffer.read()))
        else:
            paths += walk(path, suffixes, told).files if os.path.isdir(path) else [path]
    found += [Item(shown(path), path) for path in dict.fromkeys(paths)]
    found += [item for file in lines for item in _lines(file, told)]
    if not found:
        where = ", ".join([*map(shown, given), *lists, *lines]) or "the command"
        raise ValueError(
            f"there must be {kind}, {', '.join(suffixes)}, in {where}, which has none; name some, "
            "or a folder that holds some"
        )
    return found, told
