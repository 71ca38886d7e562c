"""Pictures and texts on their way into a detector: read one by one, what is unreadable named.

Needs numpy and Pillow alone. Pictures are resized as the ID data set's were, texts numbered by its
vocabulary.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bood_tasks.catalogue.array_types import Int32, UInt8
from bood_tasks.catalogue.corpora import TEXT_SUFFIXES
from bood_tasks.catalogue.datasets import IMAGE_SUFFIXES, MAX_PIXELS
from bood_tasks.catalogue.walk import shown
from bood_tasks.datasets.foreign import reason
from bood_tasks.datasets.pictures import Given, Rows, read_told, rows_given
from bood_tasks.datasets.stop_words import STOP_WORDS
from bood_tasks.datasets.text_files import collapsed, decode_utf8, read_utf8
from bood_tasks.deploy.words import Encode
from bood_tasks.networks.padding import PAD

WORKERS = 4  # threads that read
ROWS_AT_ONCE = 64  # of one pass of a network
MOST_BYTES = 2**26  # of a text
MOST_WORDS = 200_000  # of a text, and of the texts of one pass with what pads them
PICTURES, TEXTS = "pictures", "texts"  # what a detector reads


@dataclass(frozen=True)
class PictureInput:
    """Pictures at `size` x `size` pixels, by `fit` and `kernel` of datasets/pictures.py."""

    size: int
    fit: str
    kernel: str = "bilinear"
    max_pixels: int = MAX_PIXELS

    kind = PICTURES
    suffixes = IMAGE_SUFFIXES

    def read(
        self, items: Given, converted: Counter[str] | None = None
    ) -> list[UInt8[np.ndarray, "s s 3"] | str]:
        """Return each picture as the network takes it, or why it cannot be read.

        `items`: paths, PIL pictures, what a file holds (bytes), uint8 [h, w, 3]. All but arrays are
        turned upright, laid on white and scaled to 8 bits as datasets/pixels.py says; `converted`
        counts how many were. Raises TypeError for anything else.
        """
        rows = rows_given(items)
        read = partial(self._read, rows)
        if len(items) == 1:
            found = [read(0)]
        else:
            with ThreadPoolExecutor(WORKERS) as pool:
                found = list(pool.map(read, range(len(items))))
        if converted is not None:
            converted.update(note for _, notes in found for note in notes)
        return [item for item, _ in found]

    def _read(self, rows: Rows, i: int) -> tuple[UInt8[np.ndarray, "s s 3"] | str, tuple]:
        how = {"size": self.size, "fit": self.fit, "kernel": self.kernel}
        try:
            return read_told(rows, i, max_pixels=self.max_pixels, **how)
        except OSError as error:  # of the machine: it is told, and the others are read
            return f"{rows.name(i)}: cannot be read: {reason(error)}", ()

    def batches(
        self, rows: Sequence[UInt8[np.ndarray, "s s 3"]]
    ) -> Iterator[UInt8[np.ndarray, "b s s 3"]]:
        """Yield what a network sees at once."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield np.stack(rows[start : start + ROWS_AT_ONCE])


@dataclass(frozen=True)
class TextInput:
    """Texts as numbers of words: the first `words` of each (None: all) that has `min_words`;
    `stop_words` removed as from the ID texts, if they were. `pad`: the number of the padding token
    in the tokenizer of a transformers folder, None of a vocabulary of ours."""

    encode: Encode
    words: int | None = None
    min_words: int = 1
    stop_words: str = "kept"
    pad: int | None = None

    kind = TEXTS
    suffixes = TEXT_SUFFIXES

    def read(
        self, items: Sequence, converted: Counter[str] | None = None
    ) -> list[Int32[np.ndarray, " l"] | str]:
        """Return each text's numbers, or why there are none.

        `items`: paths of text files (Path), texts (str), what a file holds (bytes). Raises
        TypeError for anything else.
        """
        if isinstance(items, str | bytes | os.PathLike):
            raise TypeError(f"texts must be a list, got one {type(items).__name__}; write [it]")
        for i, item in enumerate(items):
            if not isinstance(item, str | bytes | os.PathLike):
                raise TypeError(
                    f"text {i} must be a text (str), a path (Path) or bytes, got "
                    f"{type(item).__name__}"
                )
        return [self._read(item, i) for i, item in enumerate(items)]

    def _read(self, item: str | bytes | os.PathLike, i: int) -> Int32[np.ndarray, " l"] | str:
        name = shown(item) if isinstance(item, os.PathLike) else f"text {i}"
        try:
            ids = self.encode(self._text(item, name))
        except (ValueError, OSError) as error:
            return f"{name}: no text that can be read: {reason(error)}"
        if len(ids) < (least := max(1, self.min_words)):
            few = "no word" if not ids else "1 word" if len(ids) == 1 else f"{len(ids)} words"
            needed = f"the {least} that this detector needs (tokens.min_words)"
            return f"{name}: it has {few}, fewer than {needed}"
        if len(ids := ids[: self.words]) > MOST_WORDS:
            return f"{name}: it has {len(ids):,} words, more than {MOST_WORDS:,}"
        return np.array(ids, np.int32)

    def _text(self, item: str | bytes | os.PathLike, name: str) -> str:
        if isinstance(item, os.PathLike):
            path = Path(item)
            if not path.is_file():
                raise ValueError("it is no file" if path.exists() else "it is not there")
            if (size := path.stat().st_size) > MOST_BYTES:
                raise ValueError(f"it has {size:,} bytes, more than {MOST_BYTES:,}")
            item = read_utf8(path)
        elif len(item) > MOST_BYTES:
            raise ValueError(f"it has {len(item):,} characters, more than {MOST_BYTES:,}")
        text = decode_utf8(item, name) if isinstance(item, bytes) else item
        return collapsed(text, STOP_WORDS if self.stop_words == "removed" else frozenset())

    def batches(
        self, rows: Sequence[Int32[np.ndarray, " _"]]
    ) -> Iterator[Int32[np.ndarray, "b l"]]:
        """Yield what a network sees at once, padded behind the words."""
        start = 0
        while start < len(rows):
            end, width = start, 0
            while end < min(len(rows), start + ROWS_AT_ONCE):
                width = max(width, len(rows[end]))
                if end > start and width * (end + 1 - start) > MOST_WORDS:
                    break
                end += 1
            part = rows[start:end]
            table = np.full((len(part), max(map(len, part))), PAD, np.int32)
            for row, ids in zip(table, part, strict=True):
                row[: len(ids)] = ids
            yield table
            start = end
