"""Folders of pictures: labelled by sub-folder, split or not, flat, and ImageNet-style trees."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bood_tasks import EMBEDDED
from bood_tasks.catalogue.datasets import IMAGE_SUFFIXES, SPLIT_NAMES
from bood_tasks.catalogue.walk import LeftOut, folders_in, shown, walk
from bood_tasks.datasets.pictures import Rows, hold_out, open_picture
from bood_tasks.jobs import seeds

ALIASES = EMBEDDED / "class_aliases.json"
OOD = "ood"
LOOSE = "beside the folders of classes"
ASIDE = "in folders that are no split"
SHOWN = 20  # empty folders in a message
Tree = dict[tuple[str, ...], list[Path]]  # pictures by the folder that each lies in


def class_name(folder: str) -> str:
    """Return a folder's name as a class is called: composed (NFC), bytes that are not UTF-8
    escaped, so that one name is one text on every system and in every table."""
    return unicodedata.normalize("NFC", shown(folder))


def _rows(
    files: Sequence[Path], labels: Sequence[int], positions: Sequence[int], *, published: bool
) -> Rows:
    return Rows(
        lambda i: open_picture(files[i]),
        lambda i: shown(str(files[i])),
        np.array(labels, np.int64),
        np.array(positions, np.int64),
        published,
    )


def _found(source: Path, setting: str, told: LeftOut) -> Tree:
    """Return the pictures below a folder by the names of the folders on the way to each.

    Raises ValueError if there is none.
    """
    walked = walk(source, IMAGE_SUFFIXES, told)
    if not walked.files:
        reasons = "; ".join(told.told())
        raise ValueError(
            f"{setting} must hold {', '.join(IMAGE_SUFFIXES)}, {source} has none"
            + (f" ({reasons})" if reasons else "")
        )
    found: Tree = {}
    for file in walked.files:
        found.setdefault(file.relative_to(source).parts[:-1], []).append(file)
    return found


def _splits_in(source: Path, setting: str) -> dict[str, str]:
    """Return the folder of each split that a data set has; {} for one without `train/<class>/`.

    Raises ValueError for two folders of one split, and for splits without classes.
    """
    names, found = folders_in(source), {}
    for split, known in SPLIT_NAMES.items():
        own = [name for name in names if name.lower() in known]
        if len(own) > 1:
            raise ValueError(
                f"{setting} must have one folder for the {split} split, got {', '.join(own)} in "
                f"{source}; merge or rename them"
            )
        if own:
            found[split] = own[0]
    if "train" in found and folders_in(source / found["train"]):
        return found
    if found and len(found) == len(names):  # beside others, `train` may be a class
        raise ValueError(
            f"{setting} must have train/<class>/ beside other splits, got "
            f"{', '.join(found.values())} in {source}; sort each split's pictures into folders of "
            "their classes"
        )
    return {}


def classes_in(folder: Path, setting: str) -> dict[str, str]:
    """Return {class: its folder's name}, sorted. Raises ValueError for two folders of one name."""
    found: dict[str, str] = {}
    for folder_name in folders_in(folder):
        name = class_name(folder_name)
        if name in found:
            raise ValueError(
                f"{setting} must have one folder for each class, got two in {folder} that are both "
                f"called {name!r}, once with composed and once with separate accents; merge them"
            )
        found[name] = folder_name
    return dict(sorted(found.items()))


def _labelled(
    tree: Tree, source: Path, split: str, setting: str, told: LeftOut
) -> dict[str, list[Path]]:
    """Return the pictures of each class below a split's folder ("": the data set's own).

    Raises ValueError that names the empty ones.
    """
    place = (split,) if split else ()
    classes = classes_in(source.joinpath(*place), setting)
    found: dict[str, list[Path]] = {name: [] for name in classes}
    names = {folder: name for name, folder in classes.items()}
    for parts, files in tree.items():
        if parts[: len(place)] == place and len(parts) > len(place):
            found[names[parts[len(place)]]] += files
    for file in tree.get(place, ()):
        told.add(LOOSE, str(file))
    empty = [str(source.joinpath(*place, classes[name])) for name in classes if not found[name]]
    if empty:
        raise ValueError(
            f"{setting}: no {', '.join(IMAGE_SUFFIXES)} of its own in "
            f"{', '.join(map(shown, empty[:SHOWN]))}; remove the folder or fill it"
        )
    return {
        name: sorted(files, key=lambda file: file.relative_to(source).as_posix())
        for name, files in found.items()
    }


def read_folder(
    source: Path, settings: Mapping, told: LeftOut | None = None
) -> tuple[dict[str, Rows], list[str]]:
    """Return a folder's pictures: one class a sub-folder; every picture below as `test` if the set
    has the role `ood`.

    With a sub-folder `train`, the splits are those of the folder (named as SPLIT_NAMES has it, in
    any case), and one that is not there is cut out of `train`. Cuts go by a hash of each file's
    name, so adding files moves no other file. What is left out is counted in `told`.
    """
    setting, told = f"datasets.{settings['name']}.path", LeftOut() if told is None else told
    tree = _found(source, setting, told)
    if settings.get("role") == OOD:
        return _every(tree, source, published=False)
    given = _splits_in(source, setting)
    if given:
        for file in tree.get((), ()):
            told.add(LOOSE, str(file))
        for parts, files in tree.items():
            if parts and parts[0] not in given.values():
                told.add(f"{ASIDE} ({shown(parts[0])})", str(files[0]), len(files))
    elif not folders_in(source):
        raise ValueError(
            f"{setting} must have a folder of each class to be the ID data set, and {source} has "
            "none; sort the pictures into folders named as their classes"
        )
    found = {
        split: _labelled(tree, source, folder, setting, told) for split, folder in given.items()
    } or {"train": _labelled(tree, source, "", setting, told)}
    classes = list(found["train"])
    parts: dict[str, list[tuple[Path, int, int]]] = {name: [] for name in SPLIT_NAMES}
    shares = {name: 0 if name in given else settings[name] for name in ("test", "validation")}
    position = 0
    for origin, labelled in found.items():
        unknown = set(labelled) - set(classes)
        if unknown:
            raise ValueError(
                f"{setting} must have the same classes in every split, got "
                f"{', '.join(sorted(unknown))} in {given[origin]} alone"
            )
        for name, files in labelled.items():
            for file in files:
                split = origin
                if origin == "train":
                    place = seeds.stream(0, "dataset", name, shown(file.name)) / 2**63
                    if place < shares["test"] + shares["validation"]:
                        split = "test" if place < shares["test"] else "validation"
                parts[split].append((file, classes.index(name), position))
                position += 1
    splits = {
        name: _rows(*map(list, zip(*items, strict=True)), published=False)
        for name, items in parts.items()
        if items
    }
    for name, split in splits.items():
        absent = [classes[k] for k in set(range(len(classes))) - set(split.labels.tolist())]
        if absent and name not in set(given) - {"train"}:
            raise ValueError(
                f"{setting}: no image of {', '.join(sorted(absent))} fell "
                f"into the {name} split; add images to them or raise its share"
            )
    return splits, classes


def read_tree(
    root: Path, settings: Mapping, told: LeftOut | None = None
) -> tuple[dict[str, Rows], list[str]]:
    """Return ImageNet: train/<WordNet id>/, val/<WordNet id>/ (used as `test`).

    ImageNet-100 takes BOOD's 100 classes out of a tree that may hold more. Raises ValueError for
    a class without a folder.
    """
    setting = f"datasets.{settings['name']}"
    wanted = None
    if settings["kind"] == "imagenet100":
        wanted = sorted(json.loads(ALIASES.read_text(encoding="utf-8"))["imagenet100"])
    splits, classes = {}, wanted or []
    for split, folder in (("train", root / "train"), ("test", root / "val")):
        present = folders_in(folder)
        classes = classes or present
        absent = sorted(set(classes) - set(present))
        if absent:
            raise ValueError(
                f"{setting} must have a folder of every class in {folder}, it lacks "
                f"{len(absent)}: {', '.join(absent[:5])}; sort its pictures into folders named by "
                "WordNet id"
            )
        files = [walk(folder / name, IMAGE_SUFFIXES, told).files for name in classes]
        labels = np.repeat(np.arange(len(classes)), [len(part) for part in files]).tolist()
        flat = [file for part in files for file in part]
        splits[split] = _rows(flat, labels, list(range(len(flat))), published=True)
    return hold_out(splits["train"], classes, settings) | {"test": splits["test"]}, classes


def _every(tree: Tree, root: Path, *, published: bool) -> tuple[dict[str, Rows], list[str]]:
    pairs = sorted(
        ((file, class_name("/".join(parts) or ".")) for parts, files in tree.items()
         for file in files),
        key=lambda pair: pair[0].relative_to(root).as_posix(),
    )  # fmt: skip
    classes = sorted({name for _, name in pairs})
    number = {name: label for label, name in enumerate(classes)}
    files, labels = [file for file, _ in pairs], [number[name] for _, name in pairs]
    rows = _rows(files, labels, list(range(len(files))), published=published)
    return {"test": rows}, classes


def read_pictures(
    root: Path, setting: str = "path", told: LeftOut | None = None
) -> tuple[dict[str, Rows], list[str]]:
    """Return every picture below a published data set's folder as `test`; labels name the folder
    each lies in."""
    tree = _found(root, setting, LeftOut() if told is None else told)
    return _every(tree, root, published=True)
