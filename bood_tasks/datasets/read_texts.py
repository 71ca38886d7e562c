"""Reads corpora: texts with their class and row, split by split. No text is kept twice over.

White space in a text is collapsed: a line a text. Splits of a corpus without splits of its own go
by a hash of the text, so equal texts share one and the order of a file changes nothing.
"""

import csv
import gzip
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bood_tasks.catalogue.corpora import PUBLISHED
from bood_tasks.datasets.stop_words import STOP_WORDS

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


def read_utf8(path: Path) -> str:
    """Return a text file's content, also of a .gz; ValueError names the byte that is not UTF-8."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as handle:
        content = handle.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be UTF-8, and byte {error.start} ({content[error.start]:#04x}) is not; "
            "save it as UTF-8, as by `iconv -f latin1 -t utf-8`"
        ) from None


def _collapsed(text: str, without: frozenset[str] = frozenset()) -> str:
    """Return a text's words, but some, with one space between."""
    return " ".join(word for word in text.split() if word not in without)


def _share(text: str) -> float:
    """Return a number in [0, 1) that the text alone decides."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56


def split_of(text: str, validation: float, test: float) -> str:
    """Return the split of a text: shares of all texts, by its hash."""
    place = _share(text)
    if place < test:
        return "test"
    return "validation" if place < test + validation else "train"


def read_tsv(path: Path, settings: Mapping) -> tuple[dict[str, Texts], list[str]]:
    """Return the splits and class names of a column of texts.

    A text that stands under several labels is left out: one set's texts are not another's.
    """
    name = settings["name"]
    rows = csv.DictReader(
        read_utf8(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE
    )  # fmt: skip
    columns = [settings["text"], *filter(None, [settings["label"]])]
    absent = [column for column in columns if column not in (rows.fieldnames or ())]
    if absent:
        raise ValueError(
            f"datasets.{name} must name columns of {path}, got {absent[0]!r}; it has "
            f"{', '.join(rows.fieldnames or ['none'])}"
        )
    classes, other = settings["classes"], settings["other"]
    labels: dict[str, set] = {}
    read = []
    for number, row in enumerate(rows):
        text = _collapsed(row[settings["text"]] or "")
        label = row[settings["label"]] if settings["label"] else None
        labels.setdefault(text, set()).add(label)
        read.append((number, text, label))
    known = {value: number for number, value in enumerate((classes or {}).values())}
    unknown = (set(known) | set(other or ())) - {label for _, _, label in read}
    if unknown:
        raise ValueError(
            f"datasets.{name} must name labels that {path} has, got {', '.join(sorted(unknown))}"
        )
    splits: dict[str, Texts] = {}
    seen = set()
    for number, text, label in read:
        wanted = label in known if classes else other is None or label in other
        long_enough = len(text.split()) >= settings["min_words"]
        if not wanted or not long_enough or len(labels[text]) > 1 or text in seen:
            continue
        seen.add(text)
        split = split_of(text, settings["validation"], settings["test"])
        part = splits.setdefault(split, Texts())
        part.add(text, known.get(label, UNLABELLED), number)
    return splits, list(classes or ())


def read_lines(path: Path) -> tuple[dict[str, Texts], list[str]]:
    """Return the lines that are not empty, all for testing."""
    found = Texts()
    for number, line in enumerate(read_utf8(path).splitlines()):
        if text := _collapsed(line):
            found.add(text, UNLABELLED, number)
    return {"test": found}, []


def read_text_folder(folder: Path, settings: Mapping) -> tuple[dict[str, Texts], list[str]]:
    """Return the texts of `class/*.txt`, in shares, or of a flat folder, all for testing."""
    classes = sorted(item.name for item in folder.iterdir() if item.is_dir())
    files = sorted(folder.glob("*/*.txt" if classes else "*.txt"))
    splits: dict[str, Texts] = {}
    for number, file in enumerate(files):
        text = _collapsed(read_utf8(file))
        if not text:
            raise ValueError(f"{file} must hold a text, and is empty; fill or remove it")
        if classes:
            split = split_of(text, settings["validation"], settings["test"])
            label = classes.index(file.parent.name)
        else:
            split, label = "test", UNLABELLED
        splits.setdefault(split, Texts()).add(text, label, number)
    return splits, classes


def _labelled(
    lines: Iterable[str], classes: dict[str, int], path: Path, without: frozenset[str]
) -> Iterable[tuple[int, str, int]]:
    """Yield (row, text, class) of lines that begin with their class."""
    for number, line in enumerate(lines):
        name, _, text = line.strip().partition(" " if "\t" not in line else "\t")
        if not (text := _collapsed(text, without)):
            continue
        if name not in classes:
            raise ValueError(f"{path}, line {number + 1}: must begin with a class, got {name!r}")
        yield number, text, classes[name]


def read_published(folder: Path, settings: Mapping) -> tuple[dict[str, Texts], list[str]]:
    """Return a published corpus in its own splits; training texts give the validation split.

    Raises FileNotFoundError that says what was expected where.
    """
    kind = settings["kind"]
    entry = PUBLISHED[kind]
    absent = [name for name in entry.files.values() if not (folder / name).is_file()]
    if absent:
        raise FileNotFoundError(entry.missing(settings["name"], folder))
    lines = {split: read_utf8(folder / name).splitlines() for split, name in entry.files.items()}
    without = STOP_WORDS if settings["stop_words"] == "removed" else frozenset()
    if not entry.labelled:
        found = Texts()
        for number, line in enumerate(line for part in lines.values() for line in part):
            if line.strip().startswith("= "):  # WikiText's headings
                continue
            if text := _collapsed(line, without):
                found.add(text, UNLABELLED, number)
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


def read_corpus(path: Path, settings: Mapping) -> tuple[dict[str, Texts], list[str]]:
    """Return the splits and class names of the corpus that `settings` describes.

    Raises ValueError for a corpus, a split or a class without texts.
    """
    match settings["kind"]:
        case "tsv":
            splits, classes = read_tsv(path, settings)
        case "lines":
            splits, classes = read_lines(path)
        case "texts":
            splits, classes = read_text_folder(path, settings)
        case _:
            splits, classes = read_published(path, settings)
    name, wanted = settings["name"], ["train", "validation", "test"] if classes else ["test"]
    if settings["kind"] in PUBLISHED and not settings["validation"]:
        wanted = [split for split in wanted if split != "validation"]
    for split in wanted:
        part = splits.get(split)
        if part is None or not part.texts:
            raise ValueError(
                f"datasets.{name} must hold texts in its {split} split, and {path} gives none; add "
                "texts or change the shares"
            )
    empty = np.flatnonzero(np.bincount(splits["train"].labels, minlength=len(classes)) == 0) \
        if classes else []  # fmt: skip
    if len(empty):
        raise ValueError(
            f"datasets.{name}: the class {classes[empty[0]]} must have training texts, and {path} "
            "gives none; add texts or leave the class out"
        )
    return {split: splits[split] for split in wanted}, classes
