"""The published corpora: what each is called, where it lies, in which files.

Standard library only: the configuration's plan reads it before any data is at hand. Files are those
of Hendrycks et al.'s text experiments, which GOE and pytorch-ood use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.catalogue.published import Published

TEXT_SUFFIXES = (".txt",)  # of the files in a folder of texts, in any case


@dataclass(frozen=True)
class Entry(Published):
    """One corpus: its files by split, whether each line begins with its class, and where it is
    published: an address and a checksum (MD5) of each file, or of one archive."""

    title: str
    files: Mapping[str, str]
    labelled: bool
    published_at: str
    sources: Mapping[str, tuple[str, str]]
    downloadable: ClassVar[bool] = True

    @property
    def layout(self) -> str:
        """The files that the corpus is expected in."""
        return ", ".join(self.files.values())

    def holds(self, folder: Path) -> bool:
        """Whether a folder holds all files of the corpus."""
        return all((folder / name).is_file() for name in self.files.values())


_OE = "https://raw.githubusercontent.com/hendrycks/outlier-exposure/master/NLP_classification"
_ERROR = (
    "https://raw.githubusercontent.com/hendrycks/error-detection/master/NLP/Categorization/data"
)
PUBLISHED = {
    "newsgroups20": Entry(
        "20 Newsgroups",
        {"train": "20ng-train-no-short.txt", "test": "20ng-test-no-short.txt"},
        True,
        "https://github.com/hendrycks/outlier-exposure",
        {
            "20ng-train-no-short.txt": (
                f"{_OE}/20newsgroups/orig_data/20ng-train-no-short.txt",
                "4444a088dda968b44f7a6dec756698b3",
            ),
            "20ng-test-no-short.txt": (
                f"{_OE}/20newsgroups/orig_data/20ng-test-no-short.txt",
                "978c4d8fd3bde6a12a1e8312f0031815",
            ),
        },
    ),
    "reuters52": Entry(
        "Reuters-52",
        {"train": "r52-train-stemmed.txt", "test": "r52-test-stemmed.txt"},
        True,
        "https://github.com/hendrycks/error-detection",
        {
            "r52-train-stemmed.txt": (
                f"{_ERROR}/r52-train.txt",
                "6b1d32bd95e95c1c26cd592d3bdb8c0e",
            ),
            "r52-test-stemmed.txt": (f"{_ERROR}/r52-test.txt", "8a82cdf79e111df1bb23a9bbc48f6d25"),
        },
    ),
    "multi30k": Entry(
        "Multi30k",
        {"test": "m30k-test.txt"},  # the published val.txt, which pytorch-ood and GOE test on
        False,
        "https://github.com/hendrycks/outlier-exposure",
        {"m30k-test.txt": (f"{_OE}/multi30k/val.txt", "8d407ae05dbc61e3e61ffd3a3f9d39fb")},
    ),
    "wmt16_sentences": Entry(
        "WMT16 sentences",
        {"test": "wmt16_sentences"},
        False,
        "https://github.com/hendrycks/outlier-exposure",
        {"wmt16_sentences": (f"{_OE}/wmt16/wmt16_sentences", "6dff65f45ac112c150b8a2cc30509b03")},
    ),
    "wikitext2": Entry(
        "WikiText-2",
        {"train": "wikitext-2/wiki.train.tokens"},
        False,
        "https://wikitext.smerity.com",
        {
            "wikitext-2-v1.zip": (
                "https://wikitext.smerity.com/wikitext-2-v1.zip",
                "542ccefacc6c27f945fb54453812b3cd",
            )
        },
    ),
}
ALL_PUBLISHED: dict[str, Published] = {**CATALOGUE, **PUBLISHED}  # pictures and texts, by kind
