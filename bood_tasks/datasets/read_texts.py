"""Reads corpora: texts with their class and row, split by split. No text is kept twice over.

White space in a text is collapsed: a line a text. Splits of a corpus without splits of its own go
by a hash of the text, so equal texts share one and the order of a file changes nothing.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bood_tasks.catalogue.corpora import PUBLISHED, TEXT_SUFFIXES
from bood_tasks.catalogue.walk import LeftOut, folders_in, shown, walk
from bood_tasks.datasets.pictures import require_classes
from bood_tasks.datasets.read_folders import LOOSE, OOD, SHOWN, classes_in
from bood_tasks.datasets.stop_words import STOP_WORDS
from bood_tasks.datasets.text_files import collapsed, read_utf8, split_lines

UNLABELLED = -1


@dataclass
class Texts:
    """One split: texts, the class of each (UNLABELLED: none) and its row in the source."""

    texts: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)

    def add(self, text: str, label: int, row: int) -> None:
        self.texts.append(text)
        self.labels.append(label)
        self.index.append(row)


def _share(text: str) -> float:
    """Return a number in [0, 1) that the text alone decides."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56


def split_of(text: str, validation: float, test: float) -> str:
    """Return the split of a text: shares of all texts, by its hash."""
    place = _share(text)
    if place < test:
        return "test"
    return "validation" if place < test + validation else "train"


def _columns(path: Path, setting: str, wanted: list[str]) -> list[list[str | None]]:
    """Return the wanted cells of each row of a table; None for one that a row has not.

    Cells end at tabs, rows at line ends; quotes are text. Empty lines are no rows.
    """
    lines = split_lines(read_utf8(path))
    heads = lines[0].split("\t") if lines else []
    absent = [column for column in wanted if column not in heads]
    if absent:
        raise ValueError(
            f"{setting} must name columns of {shown(path)}, got {absent[0]!r}; it has "
            f"{', '.join(heads) or 'none'}"
        )
    places = [heads.index(column) for column in wanted]
    rows = (line.split("\t") for line in lines[1:] if line)
    return [[row[place] if place < len(row) else None for place in places] for row in rows]


def read_tsv(
    path: Path, settings: Mapping, told: LeftOut | None = None
) -> tuple[dict[str, Texts], list[str]]:
    """Return the splits and class names of a column of texts; all for testing in the role `ood`.

    A text that stands under several labels is left out: one set's texts are not another's.
    """
    setting, told = f"datasets.{settings['name']}", LeftOut() if told is None else told
    read, labels = [], {}
    wanted = [settings["text"], *filter(None, [settings["label"]])]
    for number, (text, *rest) in enumerate(_columns(path, setting, wanted)):
        text, label = collapsed(text or ""), (rest or [None])[0]
        labels.setdefault(text, set()).add(label)
        read.append((number, text, label))
    classes, other = settings["classes"], settings["other"]
    known = {value: number for number, value in enumerate((classes or {}).values())}
    unknown = (set(known) | set(other or ())) - {label for _, _, label in read}
    if unknown:
        raise ValueError(
            f"{setting} must name labels that {path} has, got {', '.join(sorted(unknown))}"
        )
    splits: dict[str, Texts] = {}
    seen = set()
    for number, text, label in read:
        taken = label in known if classes else other is None or label in other
        if not taken:
            told.add("with another label", str(label))
        elif len(text.split()) < settings["min_words"]:
            told.add(f"with fewer words than min_words = {settings['min_words']}", text[:40])
        elif len(labels[text]) > 1:
            told.add("under several labels", text[:40])
        elif text in seen:
            told.add("that stand there twice", text[:40])
        else:
            seen.add(text)
            part = splits.setdefault(_split(text, settings), Texts())
            part.add(text, known.get(label, UNLABELLED), number)
    return splits, list(classes or ())


def _split(text: str, settings: Mapping) -> str:
    """Return the split of a text: by its hash, or `test` for a set of the role `ood`."""
    if settings.get("role") == OOD:
        return "test"
    return split_of(text, settings["validation"], settings["test"])


def read_lines(path: Path, told: LeftOut | None = None) -> tuple[dict[str, Texts], list[str]]:
    """Return the lines that are not empty, all for testing."""
    found = Texts()
    for number, line in enumerate(split_lines(read_utf8(path))):
        if text := collapsed(line):
            found.add(text, UNLABELLED, number)
        elif told is not None:
            told.add("empty lines", f"line {number + 1}")
    return {"test": found}, []


def read_text_folder(
    folder: Path, settings: Mapping, told: LeftOut | None = None
) -> tuple[dict[str, Texts], list[str]]:
    """Return the texts below a folder: one class a sub-folder, in shares; or, in the role `ood`
    and for a folder without any, all for testing.

    Raises ValueError that names the files that cannot be read.
    """
    setting, told = f"datasets.{settings['name']}.path", LeftOut() if told is None else told
    flat = settings.get("role") == OOD or not folders_in(folder)
    classes = {} if flat else classes_in(folder, setting)
    order, names = list(classes), {place: name for name, place in classes.items()}
    splits: dict[str, Texts] = {}
    bad, number = [], 0
    for file in walk(folder, TEXT_SUFFIXES, told).files:
        parts = file.relative_to(folder).parts
        if classes and len(parts) == 1:
            told.add(LOOSE, str(file))
            continue
        try:
            text = collapsed(read_utf8(file))
        except ValueError as error:
            bad.append(str(error))
            continue
        if not text:
            bad.append(f"{shown(file)} must hold a text, and is empty; fill or remove it")
            continue
        label = order.index(names[parts[0]]) if classes else UNLABELLED
        split = _split(text, settings) if classes else "test"
        splits.setdefault(split, Texts()).add(text, label, number)
        number += 1
    if bad:
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise ValueError(f"{setting}: {len(bad)} unreadable: {'; '.join(bad[:SHOWN])}{more}")
    return splits, order


def _labelled(
    lines: Iterable[str], classes: dict[str, int], path: Path, without: frozenset[str]
) -> Iterable[tuple[int, str, int]]:
    """Yield (row, text, class) of lines that begin with their class."""
    for number, line in enumerate(lines):
        name, _, text = line.strip().partition(" " if "\t" not in line else "\t")
        if not (text := collapsed(text, without)):
            continue
        if name not in classes:
            raise ValueError(f"{path}, line {number + 1}: must begin with a class, got {name!r}")
        yield number, text, classes[name]


def read_published(
    folder: Path, settings: Mapping, told: LeftOut | None = None
) -> tuple[dict[str, Texts], list[str]]:
    """Return a published corpus in its own splits; training texts give the validation split.

    Raises FileNotFoundError that says what was expected where.
    """
    kind = settings["kind"]
    entry = PUBLISHED[kind]
    absent = [name for name in entry.files.values() if not (folder / name).is_file()]
    if absent:
        raise FileNotFoundError(entry.missing(settings["name"], folder))
    lines = {split: split_lines(read_utf8(folder / name)) for split, name in entry.files.items()}
    without = STOP_WORDS if settings["stop_words"] == "removed" else frozenset()
    if not entry.labelled:
        found = Texts()
        for number, line in enumerate(line for part in lines.values() for line in part):
            heading = line.strip().startswith("= ")  # WikiText's
            text = "" if heading else collapsed(line, without)
            if text:
                found.add(text, UNLABELLED, number)
            elif told is not None:
                told.add("headings" if heading else "empty lines", line.strip()[:40])
        return {"test": found}, []
    classes = sorted(
        {line.split(maxsplit=1)[0] for part in lines.values() for line in part if line}
    )
    numbers = {name: number for number, name in enumerate(classes)}
    splits: dict[str, Texts] = {}
    for split, part in lines.items():
        for number, text, label in _labelled(part, numbers, folder / entry.files[split], without):
            held = split == "train" and _share(text) < settings["validation"]
            splits.setdefault("validation" if held else split, Texts()).add(text, label, number)
    return splits, classes


def read_corpus(
    path: Path, settings: Mapping, told: LeftOut | None = None
) -> tuple[dict[str, Texts], list[str]]:
    """Return the splits and class names of the corpus that `settings` describes; what is left out
    is counted in `told`.

    Raises ValueError for a corpus, a split or a class without texts.
    """
    match settings["kind"]:
        case "tsv":
            splits, classes = read_tsv(path, settings, told)
        case "lines":
            splits, classes = read_lines(path, told)
        case "texts":
            splits, classes = read_text_folder(path, settings, told)
        case _:
            splits, classes = read_published(path, settings, told)
    name, labelled = settings["name"], bool(classes) and settings.get("role") != OOD
    wanted = ["train", "validation", "test"] if labelled else ["test"]
    if settings["kind"] in PUBLISHED and not settings["validation"]:
        wanted = [split for split in wanted if split != "validation"]
    for split in wanted:
        part = splits.get(split)
        if part is None or not part.texts:
            raise ValueError(
                f"datasets.{name} must hold texts in its {split} split, and {path} gives none; add "
                "texts or change the shares"
            )
    if labelled:
        require_classes(name, classes, {split: splits[split].labels for split in wanted})
    return {split: splits[split] for split in wanted}, classes
