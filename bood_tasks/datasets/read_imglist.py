"""Pictures that list files name, laid out as OpenOOD's: `path label` a line, a list a split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bood_tasks.catalogue.imglist import SHOWN, Line, read_list
from bood_tasks.catalogue.walk import LeftOut, shown
from bood_tasks.datasets.pictures import Rows, open_picture
from bood_tasks.datasets.read_folders import OOD, class_name
from bood_tasks.jobs import seeds

NO_CLASS = "lines of no class (label below 0)"


def _rows(root: Path, lines: Sequence[Line], labels: Sequence[int]) -> Rows:
    """Return the pictures as published: OpenOOD reads them so."""
    files = [root / line.path for line in lines]
    return Rows(
        lambda i: open_picture(files[i]),
        lambda i: shown(str(files[i])),
        np.array(labels, np.int64),
        np.array([line.number for line in lines], np.int64) - 1,
    )


def _folder(line: Line) -> str:
    return class_name(Path(line.path).parent.name or ".")


def _names(lines: Sequence[Line], given: Sequence[str] | None, setting: str) -> dict[int, str]:
    """Return the name of each label of the training pictures: as given, else the folder that its
    pictures alone lie in, else its number. Raises ValueError for labels without a name."""
    labels = sorted({line.label for line in lines})
    if given is not None:
        if labels != list(range(len(given))):
            nameless = [x for x in labels if x >= len(given)] or sorted(
                set(range(len(given))) - set(labels)
            )
            raise ValueError(
                f"{setting}.classes must name the labels of the training pictures, 0 to "
                f"{labels[-1]}, got {len(given)} names; label {nameless[0]} has "
                + ("no name" if nameless[0] >= len(given) else "no picture")
            )
        return dict(enumerate(given))
    folders: dict[int, set[str]] = {}
    for line in lines:
        folders.setdefault(line.label, set()).add(_folder(line))
    own = [next(iter(found)) for found in folders.values() if len(found) == 1]
    if len(own) == len(set(own)) == len(labels):
        return {label: next(iter(folders[label])) for label in labels}
    return {label: str(label) for label in labels}


def _of_classes(lines: Sequence[Line], setting: str, told: LeftOut) -> list[Line]:
    """Return the lines of pictures that have a class; others are counted.

    Raises ValueError for lines that end in no whole number.
    """
    odd = [line for line in lines if line.label is None]
    if odd:
        each = ", ".join(f"line {x.number} {shown(x.path)!r}" for x in odd[:SHOWN])
        raise ValueError(
            f"{setting} must have a label, a whole number, at the end of each line of the ID data "
            f"set, got {len(odd):,} without: {each}"
        )
    for line in lines:
        if line.label < 0:
            told.add(NO_CLASS, line.path)
    return [line for line in lines if line.label >= 0]


def read_imglist(
    source: Path, settings: Mapping, told: LeftOut | None = None
) -> tuple[dict[str, Rows], list[str]]:
    """Return the splits and class names of a data set of list files below `source`.

    With the role `ood` every picture of the test list as `test`, whatever its label; labels then
    name the folder that each lies in. Without a list for it the validation split is cut out of the
    training list by a hash of each path. `index` counts the lines of a list. Raises ValueError for
    lines without labels, for labels that no training picture has, and as read_list does.
    """
    setting, told = f"datasets.{settings['name']}", LeftOut() if told is None else told
    root = source / settings["pictures"]
    lists = {
        split: read_list(source / file, f"{setting}.lists.{split}", told)
        for split, file in settings["lists"].items()
    }
    if settings.get("role") == OOD:
        classes = sorted({_folder(line) for line in lists["test"]})
        number = {name: label for label, name in enumerate(classes)}
        labels = [number[_folder(line)] for line in lists["test"]]
        return {"test": _rows(root, lists["test"], labels)}, classes
    lists = {
        split: _of_classes(lines, f"{setting}.lists.{split}", told)
        for split, lines in lists.items()
    }
    if not lists["train"]:
        raise ValueError(f"{setting}.lists.train must name pictures of classes, got none")
    names = _names(lists["train"], settings.get("classes"), setting)
    place = {label: position for position, label in enumerate(names)}
    for split, lines in lists.items():
        if unknown := sorted({line.label for line in lines} - set(place)):
            raise ValueError(
                f"{setting}.lists.{split} must have the labels of the training list, got label "
                f"{', '.join(map(str, unknown[:SHOWN]))} there alone"
            )
    if "validation" not in lists:
        held, kept = [], []
        for line in lists["train"]:
            part = seeds.stream(0, "dataset", names[line.label], shown(line.path)) / 2**63
            (held if part < settings["validation"] else kept).append(line)
        lists |= {"train": kept, "validation": held}
    return {
        split: _rows(root, lines, [place[line.label] for line in lines])
        for split, lines in lists.items()
    }, list(names.values())
