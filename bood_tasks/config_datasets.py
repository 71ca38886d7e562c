"""The settings of the data sets, one class for each kind. Used by config."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from bood_tasks.catalogue import CATALOGUE
from bood_tasks.config_fields import Count, Name, Natural, Pair, Section, Share
from bood_tasks.config_texts import (
    PUBLISHED_TEXTS,
    TEXT_KINDS,
    LinesCorpus,
    PublishedCorpus,
    RandomTokens,
    TextsCorpus,
    TsvCorpus,
)


class NpzDataset(Section):
    """Images [n, h, w] in an .npz file; the shipped files are named `embedded:<file>`."""

    kind: Literal["npz"]
    file: str
    train: Pair | None = Field(None, description="keys of training images and labels")
    test: Pair = Field(description="keys of test images and labels")
    classes: dict[str, Natural] | None = Field(
        None, description="class name: label in the file; other labels are left out"
    )
    train_per_class: Count | None = Field(None, description="use the first so many; null = all")
    validation_per_class: Natural = Field(200, description="held out from the end of training")


class FolderDataset(Section):
    """A folder of images: `class_name/*.png|jpg|webp`, or flat for an OOD set."""

    kind: Literal["folder"]
    path: str
    validation: Share = Field(0.1, description="share of each class held out for validation")
    test: Share = Field(0.2, description="share of each class held out for testing")
    max_unreadable: Natural = Field(0, description="damaged pictures that may be left out")


class PublishedDataset(Section):
    """A published data set in its usual layout on disk, below `run.data` unless `path` is given."""

    kind: Literal[tuple(CATALOGUE)]
    path: str | None = Field(None, description="folder; null = <run.data>/<kind>")
    train_per_class: Count | None = Field(None, description="use the first so many; null = all")
    validation_per_class: Natural = Field(0, description="held out from the end of training")
    max_unreadable: Natural = Field(0, description="damaged pictures that may be left out")


class DigitsDataset(Section):
    """scikit-learn's 8 x 8 handwritten digits, up-sampled."""

    kind: Literal["digits"]


class NoiseDataset(Section):
    """Noise images: independent pixels."""

    kind: Literal["noise"]
    distribution: Literal["uniform", "gaussian"] = "uniform"
    count: Count = 1600


class CorruptedDataset(Section):
    """Validation outliers made from an ID data set's validation split, never from test data."""

    kind: Literal["corrupted"]
    of: Name


class ResampledDataset(Section):
    """Control: an ID data set's test images, down-sampled to `size` and back up."""

    kind: Literal["resampled"]
    of: Name
    size: Count = 8


Dataset = Annotated[
    NpzDataset
    | FolderDataset
    | PublishedDataset
    | DigitsDataset
    | NoiseDataset
    | CorruptedDataset
    | ResampledDataset
    | TsvCorpus
    | LinesCorpus
    | TextsCorpus
    | PublishedCorpus
    | RandomTokens,
    Field(discriminator="kind"),
]
READ_KINDS = ("npz", "folder", *CATALOGUE)  # pictures from files: what others can be made from


def has_training(item: BaseModel) -> bool:
    """Whether a data set can be the ID data set."""
    if item.kind in CATALOGUE:
        return "train" in CATALOGUE[item.kind].counts
    if item.kind in TEXT_KINDS:
        labelled = getattr(item, "classes", None) is not None
        return labelled or item.kind in ("texts", PUBLISHED_TEXTS[0])
    return item.kind == "folder" or getattr(item, "train", None) is not None


def is_text(item: BaseModel) -> bool:
    """Whether a data set holds texts, not pictures."""
    return item.kind in TEXT_KINDS
