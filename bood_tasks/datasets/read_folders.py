"""Folders of pictures: labelled by sub-folder, split or not, flat, and ImageNet-style trees."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image

from bood_tasks import EMBEDDED
from bood_tasks.catalogue.datasets import IMAGE_SUFFIXES, SPLIT_NAMES
from bood_tasks.datasets.pictures import Rows, hold_out
from bood_tasks.jobs import seeds

ALIASES = EMBEDDED / "class_aliases.json"


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures below a folder, sorted by their relative names."""
    found = [
        Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in IMAGE_SUFFIXES
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _rows(files: list[Path], labels: list[int], positions: list[int]) -> Rows:
    return Rows(
        lambda i: PIL.Image.open(files[i]),
        lambda i: str(files[i]),
        np.array(labels, np.int64),
        np.array(positions, np.int64),
    )


def _labelled(folder: Path, setting: str) -> dict[str, list[Path]]:
    """Return the pictures of each sub-folder, or raise ValueError that names the empty ones."""
    folders = sorted(item for item in folder.iterdir() if item.is_dir())
    found = {item.name: picture_files(item) for item in folders}
    empty = [str(folder / name) for name, files in found.items() if not files]
    if empty:
        raise ValueError(
            f"{setting}: no {', '.join(IMAGE_SUFFIXES)} in {', '.join(empty[:20])}; remove the "
            "folder or fill it"
        )
    return found


def read_folder(source: Path, settings: Mapping) -> tuple[dict[str, Rows], list[str]]:
    """Return a folder's pictures: one class a sub-folder, or everything as `test` if it is flat.

    With a sub-folder `train`, the splits are those of the folder (`train`, `val` or
    `validation`, `test`), and one that is not there is cut out of `train`. Cuts go by a hash of
    each file's name, so adding files moves no other file.
    """
    setting = f"datasets.{settings['name']}.path"
    given = {
        split: source / name
        for split, names in SPLIT_NAMES.items()
        for name in names
        if (source / "train").is_dir() and (source / name).is_dir()
    }
    found = {split: _labelled(folder, setting) for split, folder in given.items()}
    found = found or {"train": _labelled(source, setting)}
    classes = list(found["train"])
    if not classes:
        files = picture_files(source)
        if not files:
            raise ValueError(f"{setting} must hold {', '.join(IMAGE_SUFFIXES)}, {source} has none")
        return {"test": _rows(files, [0] * len(files), list(range(len(files))))}, [source.name]
    parts: dict[str, list[tuple[Path, int, int]]] = {name: [] for name in SPLIT_NAMES}
    shares = {name: 0 if name in given else settings[name] for name in ("test", "validation")}
    position = 0
    for origin, labelled in found.items():
        unknown = set(labelled) - set(classes)
        if unknown:
            raise ValueError(
                f"{setting} must have the same classes in every split, got "
                f"{', '.join(sorted(unknown))} in {given[origin].name} alone"
            )
        for name, files in labelled.items():
            for file in files:
                split = origin
                if origin == "train":
                    place = seeds.stream(0, "dataset", name, file.name) / 2**63
                    if place < shares["test"] + shares["validation"]:
                        split = "test" if place < shares["test"] else "validation"
                parts[split].append((file, classes.index(name), position))
                position += 1
    splits = {
        name: _rows(*map(list, zip(*items, strict=True))) for name, items in parts.items() if items
    }
    for name, split in splits.items():
        absent = [classes[k] for k in set(range(len(classes))) - set(split.labels.tolist())]
        if absent and name not in set(given) - {"train"}:
            raise ValueError(
                f"{setting}: no image of {', '.join(sorted(absent))} fell "
                f"into the {name} split; add images to them or raise its share"
            )
    return splits, classes


def read_tree(root: Path, settings: Mapping) -> tuple[dict[str, Rows], list[str]]:
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
        present = sorted(item.name for item in folder.iterdir() if item.is_dir())
        classes = classes or present
        absent = sorted(set(classes) - set(present))
        if absent:
            raise ValueError(
                f"{setting} must have a folder of every class in {folder}, it lacks "
                f"{len(absent)}: {', '.join(absent[:5])}; sort its pictures into folders named by "
                "WordNet id"
            )
        files = [picture_files(folder / name) for name in classes]
        labels = np.repeat(np.arange(len(classes)), [len(part) for part in files]).tolist()
        flat = [file for part in files for file in part]
        splits[split] = _rows(flat, labels, list(range(len(flat))))
    return hold_out(splits["train"], classes, settings) | {"test": splits["test"]}, classes


def read_pictures(root: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return every picture below a folder as `test`; labels name the folder each lies in."""
    files = picture_files(root)
    parents = [file.parent.relative_to(root).as_posix() for file in files]
    classes = sorted(set(parents))
    number = {name: label for label, name in enumerate(classes)}
    labels = [number[name] for name in parents]
    return {"test": _rows(files, labels, list(range(len(files))))}, classes
