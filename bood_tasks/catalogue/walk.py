"""The one walk over a folder from outside: what it gives is hashed, read, counted and listed.

Standard library only: planning hashes what jobs read.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

TOOL_NAMES = frozenset(
    {
        "__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "__pycache__", "lost+found",
        "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
    }
)  # fmt: skip
HIDDEN = "hidden files and those of tools"
TWICE = "links to what is read anyway"
BROKEN = "broken links"
ODD = "neither file nor folder"
CLOSED = "folders that may not be opened"
SHOWN = 5  # names of each reason


def shown(name: str | os.PathLike) -> str:
    r"""Return a name that any file can hold: bytes that are not UTF-8 as `\xe9`.

    >>> shown("caf\udce9")
    'caf\\xe9'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_skipped(name: str) -> bool:
    """Whether a name is one that no stage reads: hidden (a dot in front), or a tool's own."""
    return name.startswith(".") or name.lower() in TOOL_NAMES


@dataclass
class LeftOut:
    """What was not read: how often for each reason, and the first names."""

    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str, count: int = 1) -> None:
        """Count something that is not read."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        names = self.names.setdefault(reason, [])
        if len(names) < SHOWN:
            names.append(name)

    def told(self) -> list[str]:
        """Return a line for each reason: how many, and which for example."""
        return [
            f"{count:,} {reason}: {', '.join(map(repr, map(shown, self.names[reason])))}"
            + (" ..." if count > len(self.names[reason]) else "")
            for reason, count in sorted(self.counts.items())
        ]


@dataclass(frozen=True)
class Walk:
    """The files below `root`, sorted by their names from there, and what was left out."""

    root: Path
    files: list[Path]
    left_out: LeftOut


def _identity(path: str) -> tuple[int, int]:
    state = os.stat(path)
    return state.st_dev, state.st_ino


def _above(root: Path) -> set[tuple[int, int]]:
    resolved = root.resolve()
    return {_identity(str(place)) for place in (resolved, *resolved.parents)}


def walk(root: Path, suffixes: tuple[str, ...] | None = None, told: LeftOut | None = None) -> Walk:
    """Return the files below a folder whose name ends in one of `suffixes`, in any case.

    None: every file. What stands in the folder itself goes before what a link leads to, links in
    the order of their names: a folder or file reached twice counts once, and loops end. Hidden
    files and those of tools (`._x.jpg`, `.git`, `__MACOSX`, `Thumbs.db`) are no part of a data set.
    Everything that is left out is counted, in `told` if there is one. What is no folder holds none.
    """
    out, files = LeftOut() if told is None else told, []
    if not root.is_dir():
        return Walk(root, files, out)
    seen, taken = _above(root), set()
    below, linked, links = [str(root)], [], []

    def look(place: str) -> None:
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            out.add(CLOSED, place)
            return
        for entry in entries:
            if is_skipped(entry.name):
                out.add(HIDDEN, entry.name)
            elif entry.is_dir(follow_symlinks=False):
                key = _identity(entry.path)
                if key in seen:
                    out.add(TWICE, entry.path)
                    continue
                seen.add(key)
                below.append(entry.path)
            elif entry.is_symlink():
                (linked if os.path.isdir(entry.path) else links).append(entry.path)
            elif entry.is_file():
                take(entry.path)
            else:
                out.add(ODD, entry.path)

    def take(path: str) -> None:
        suffix = os.path.splitext(path)[1]
        if suffixes is not None and suffix.lower() not in suffixes:
            out.add(f"of another kind ({shown(suffix.lower()) or 'no suffix'})", path)
            return
        taken.add(_identity(path))
        files.append(Path(path))

    while below or linked:
        while below:
            look(below.pop(0))
        if linked:
            linked.sort()
            folder = linked.pop(0)
            try:
                key = _identity(folder)
            except OSError:
                out.add(BROKEN, folder)
                continue
            if key in seen:
                out.add(TWICE, folder)
            else:
                seen.add(key)
                below.append(folder)
    for path in sorted(links):
        try:
            state = os.stat(path)
        except OSError:
            out.add(BROKEN, path)
            continue
        if not stat.S_ISREG(state.st_mode):
            out.add(ODD, path)
        elif (state.st_dev, state.st_ino) in taken:
            out.add(TWICE, path)
        else:
            take(path)
    files.sort(key=lambda path: path.relative_to(root).as_posix())
    return Walk(root, files, out)


def folders_in(root: Path) -> list[str]:
    """Return the names of a folder's own sub-folders, linked ones too, but hidden ones, tools' and
    links that lead back to where one came from."""
    above = _above(root)
    return sorted(
        entry.name
        for entry in os.scandir(root)
        if os.path.isdir(entry.path)
        and not is_skipped(entry.name)
        and not (entry.is_symlink() and _identity(entry.path) in above)
    )


def holds_any(root: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether one file below a folder ends in one of `suffixes`; stops at the first."""
    seen = set()
    for place, folders, names in os.walk(root, followlinks=True):
        key = _identity(place)
        if key in seen:
            folders.clear()
        elif any(
            os.path.splitext(name)[1].lower() in suffixes and not is_skipped(name) for name in names
        ):
            return True
        seen.add(key)
        folders[:] = [name for name in folders if not is_skipped(name)]
    return False
