"""The settings of the data sets and corpora, one class for each kind. Used by root."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from bood_tasks.catalogue.corpora import PUBLISHED
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.config.fields import Count, Name, Natural, Pair, Section, Share

READ_KINDS = ("npz", "folder", *CATALOGUE)  # pictures from files: what others can be made from
PUBLISHED_TEXTS = tuple(PUBLISHED)
TestShare = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TEXT_KINDS = ("tsv", "lines", "texts", "random_tokens", *PUBLISHED_TEXTS)


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


def per_class(dataset: Any) -> int | None:
    """Return how many training pictures a class has at most, None if that is not known."""
    given, entry = getattr(dataset, "train_per_class", None), CATALOGUE.get(dataset.kind)
    counted = entry.counts.get("train") if entry else None
    held = counted // entry.classes - dataset.validation_per_class if counted else None
    return min((count for count in (given, held) if count), default=None)


class Vocabulary(Section):
    """The words that text classifier and language model know, from the ID training texts."""

    size: Annotated[int, Field(ge=4)] = 8000
    min_count: Count = 2


class Tokens(Section):
    """How texts reach the classifier: cut to one length, since length alone tells sets apart."""

    words: Count = Field(8, description="words kept of a text")
    min_words: Count = Field(8, description="shorter texts are left out; words = no padding")


class Image(Section):
    """How every data set and every generated image reaches the classifier's resolution."""

    size: Count = Field(32, description="pixels a side")
    fit: Literal["pad", "resize"] = Field(
        "pad", description="pad: smaller pictures keep their pixels on a black border"
    )
    kernel: Literal["bilinear", "bicubic", "lanczos", "box"] = Field(
        "bilinear", description="of every resize, antialiased"
    )
    crop: Count | None = Field(
        None,
        description="pixels a side that networks see: random in training, else the centre; "
        "null = size",
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> "Image":
        if self.crop is not None and self.crop > self.size:
            raise ValueError(f"crop must be at most size = {self.size}, got {self.crop}")
        return self


class TsvCorpus(Section):
    """Texts in a column of a .tsv or .tsv.gz file with a header line; equal texts share a split."""

    kind: Literal["tsv"]
    file: str
    text: str = Field(description="column of the texts")
    label: str | None = Field(None, description="column of the classes")
    classes: dict[str, str] | None = Field(
        None, description="class name: value of the label column; other rows are left out"
    )
    other: list[str] | None = Field(
        None, description="without classes: values of the label column whose rows are taken"
    )
    min_words: Count = Field(1, description="shorter texts are left out")
    validation: TestShare = Field(0.1, description="share of the texts held out for validation")
    test: TestShare = Field(0.2, description="share held out for testing; 1 for an OOD set")

    @model_validator(mode="after")
    def _shares_fit(self) -> "TsvCorpus":
        if (self.classes or self.other) and not self.label:
            raise ValueError("label must name the column that classes or other speak of, got none")
        if self.classes is None and (self.validation, self.test) != (0, 1):
            raise ValueError(
                f"validation and test must be 0 and 1 for texts without classes, got "
                f"{self.validation:g} and {self.test:g}"
            )
        if self.validation + self.test > 1:
            raise ValueError(
                f"validation + test must be at most 1, got {self.validation:g} + {self.test:g}"
            )
        return self


class LinesCorpus(Section):
    """A .txt or .txt.gz file with one text a line, all for testing."""

    kind: Literal["lines"]
    file: str


class TextsCorpus(Section):
    """A folder of texts: `class_name/*.txt`, or flat for an OOD set."""

    kind: Literal["texts"]
    path: str
    validation: Share = Field(0.1, description="share of each class held out for validation")
    test: Share = Field(0.2, description="share of each class held out for testing")


class PublishedCorpus(Section):
    """A published corpus in its usual layout, below `run.data` unless `path` is given."""

    kind: Literal[PUBLISHED_TEXTS]
    path: str | None = Field(None, description="folder; null = <run.data>/<kind>")
    validation: TestShare = Field(0.1, description="share of the training texts held out")


class RandomTokens(Section):
    """Noise texts: every word drawn uniformly from the vocabulary."""

    kind: Literal["random_tokens"]
    count: Count = Field(5000, description="texts; the paper's 80,000")
    seed: Natural = 0


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
