"""The settings of the data sets and corpora, one class for each kind. Used by root."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from bood_tasks.catalogue.corpora import PUBLISHED
from bood_tasks.catalogue.datasets import CATALOGUE, MAX_PIXELS
from bood_tasks.config.fields import AutoCount, Count, Name, Natural, Pair, Section, Share

READ_KINDS = ("npz", "folder", *CATALOGUE)  # pictures from files: what others can be made from
PUBLISHED_TEXTS = tuple(PUBLISHED)
TestShare = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TEXT_KINDS = ("tsv", "lines", "texts", "random_tokens", *PUBLISHED_TEXTS)


class NpzDataset(Section):
    """Pictures [n, h, w] or [n, h, w, 3] in an .npz file."""

    kind: Literal["npz"] = Field(description="Pictures of an .npz file.")
    file: str = Field(
        description="Path of the .npz file; `embedded:<file>` names one that ships with the "
        "project."
    )
    train: Pair | None = Field(
        None,
        description="The two keys of the training images and labels; null = the set is for "
        "testing only.",
    )
    test: Pair = Field(description="The two keys of the test images and labels.")
    classes: dict[str, Natural] | None = Field(
        None,
        description="Class name: its label in the file. Pictures with other labels are left "
        "out; null = the file's `names`, else all labels.",
    )
    train_per_class: Count | None = Field(
        None, description="Number of training pictures of each class, the first ones; null = all."
    )
    validation_per_class: Natural = Field(
        200,
        description="Number of pictures of each class held out for validation, from the end "
        "of the training pictures.",
    )


class FolderDataset(Section):
    """A folder of pictures: `class_name/` for the ID data set, in any folders for all others."""

    kind: Literal["folder"] = Field(description="Pictures in a folder of your own.")
    path: str = Field(
        description="The folder: for the ID data set with one sub-folder per class, or with "
        "train/, val/ and test/ that hold one; of every other set all pictures below are taken."
    )
    validation: Share = Field(
        0.1,
        description="Share of each class of the ID data set held out for validation, in (0, 1].",
    )
    test: Share = Field(
        0.2, description="Share of each class of the ID data set held out for testing, in (0, 1]."
    )
    max_unreadable: Natural = Field(
        0, description="Number of damaged pictures that may be left out before the set is refused."
    )
    max_pixels: Annotated[int, Field(ge=1, le=2**28)] = Field(
        MAX_PIXELS,
        description="Largest number of pixels of a picture in a file; larger ones are unreadable. "
        "Seen before decoding, which takes up to 12 bytes of memory a pixel.",
    )


class PublishedDataset(Section):
    """A published data set in its usual layout on disk, below `run.data` unless `path` is given."""

    kind: Literal[tuple(CATALOGUE)] = Field(description="Name of the published data set.")
    path: str | None = Field(
        None, description="Folder of the data set; null = `<run.data>/<kind>`."
    )
    train_per_class: Count | None = Field(
        None, description="Number of training pictures of each class, the first ones; null = all."
    )
    validation_per_class: Natural = Field(
        0,
        description="Number of pictures of each class held out for validation, from the end "
        "of the training pictures.",
    )
    test_count: Count | None = Field(
        None,
        description="Number of test pictures, drawn at random, always the same ones; null = all.",
    )
    max_unreadable: Natural = Field(
        0, description="Number of damaged pictures that may be left out before the set is refused."
    )
    max_pixels: Annotated[int, Field(ge=1, le=2**28)] = Field(
        MAX_PIXELS,
        description="Largest number of pixels of a picture in a file; larger ones are unreadable. "
        "Seen before decoding, which takes up to 12 bytes of memory a pixel.",
    )


class DigitsDataset(Section):
    """Handwritten digits of scikit-learn, 8 x 8 pixels, enlarged."""

    kind: Literal["digits"] = Field(description="Handwritten digits of scikit-learn.")


class NoiseDataset(Section):
    """Pictures of noise, every pixel drawn on its own."""

    kind: Literal["noise"] = Field(description="Pictures of noise.")
    distribution: Literal["uniform", "gaussian"] = Field(
        "uniform", description="Distribution of each pixel's value."
    )
    count: Count = Field(1600, description="Number of pictures.")
    size: Count | None = Field(
        None,
        description="Pixels per side of the noise, which is then resized as every picture; "
        "null = `image.size`.",
    )


class CorruptedDataset(Section):
    """Validation outliers made from an ID data set's validation split, never from test data."""

    kind: Literal["corrupted"] = Field(description="Validation outliers made from ID pictures.")
    of: Name = Field(description="Name of the data set whose validation pictures are corrupted.")


class ResampledDataset(Section):
    """A control: the test pictures of an ID data set, resized down and up again."""

    kind: Literal["resampled"] = Field(
        description="A control: test pictures resized down and up again."
    )
    of: Name = Field(description="Name of the data set whose test pictures are resampled.")
    size: Count = Field(8, description="Pixels per side in between: the smaller, the blurrier.")


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
    """Return the largest number of training pictures of a class, None if that is not known."""
    chosen, entry = getattr(dataset, "train_per_class", None), CATALOGUE.get(dataset.kind)
    counted = entry.counts.get("train") if entry else None
    left = counted // entry.classes - dataset.validation_per_class if counted else None
    return min((count for count in (chosen, left) if count), default=None)


class Vocabulary(Section):
    """Words that text classifier and language model know, from the ID training texts."""

    size: Annotated[int, Field(ge=4)] = Field(
        8000,
        description="Largest number of words in the vocabulary, the three special ones included.",
    )
    min_count: Count = Field(
        2, description="How often a word must occur in the ID training texts to be known."
    )


class Tokens(Section):
    """How texts reach the classifier: cut to one length, since length alone tells sets apart, or
    whole."""

    words: Count | None = Field(
        8,
        description="Number of words kept of each text; longer texts are cut, null = none is, as "
        "in GOE.",
    )
    min_words: Count = Field(
        8,
        description="Texts with fewer words are left out; the same number as `words` means no "
        "padding.",
    )


class Image(Section):
    """How every data set and every generated picture reaches the classifier's resolution."""

    size: AutoCount = Field(
        32,
        description="Pixels per side of every picture that a classifier sees; auto = 32 or 64, by "
        "the ID pictures' own sizes.",
    )
    fit: Literal["pad", "resize", "squash"] = Field(
        "pad",
        description="How a picture reaches that size: pad = a smaller one keeps its pixels on a "
        "black border, resize = its short side is scaled and the centre cut out, squash = both "
        "sides are scaled, whatever its shape.",
    )
    kernel: Literal["bilinear", "bicubic", "lanczos", "box"] = Field(
        "bilinear", description="Interpolation of every resize, antialiased."
    )
    crop: Count | None = Field(
        None,
        description="Pixels per side of the part that networks see, random in training and "
        "the centre otherwise; null = the whole picture.",
    )
    whole: bool = Field(
        False,
        description="Whether ID training pictures are stored whole beside, squashed, so that the "
        "parts of `augment: resized_crop` and `contrastive` are those of the whole picture; false "
        "= of the centre that `fit: resize` cuts out.",
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> "Image":
        if self.crop is not None and self.crop > self.size:
            raise ValueError(f"crop must be at most size = {self.size}, got {self.crop}")
        return self

    @model_validator(mode="after")
    def _whole_differs(self) -> "Image":
        if self.whole and self.fit != "resize":
            raise ValueError(
                f"whole must be false unless fit is resize, got fit {self.fit}, which cuts nothing "
                "off"
            )
        return self


class TsvCorpus(Section):
    """Texts in a column of a .tsv or .tsv.gz file with a header line; equal texts share a split."""

    kind: Literal["tsv"] = Field(description="Texts in a column of a .tsv file.")
    file: str = Field(
        description="Path of the .tsv or .tsv.gz file; `embedded:<file>` names one that ships "
        "with the project."
    )
    text: str = Field(description="Name of the column that holds the texts.")
    label: str | None = Field(
        None, description="Name of the column that holds the classes; null = there is none."
    )
    classes: dict[str, str] | None = Field(
        None,
        description="Class name: its value in the label column. Other lines are left out; "
        "null = no classes.",
    )
    other: list[str] | None = Field(
        None,
        description="Values of the label column whose lines are taken where there are no "
        "classes; null = all.",
    )
    min_words: Count = Field(1, description="Texts with fewer words are left out.")
    validation: TestShare = Field(
        0.1, description="Share of the texts held out for validation, in [0, 1]; 0 for an OOD set."
    )
    test: TestShare = Field(
        0.2, description="Share of the texts held out for testing, in [0, 1]; 1 for an OOD set."
    )

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
    """A .txt or .txt.gz file with one text per line, all for testing."""

    kind: Literal["lines"] = Field(description="Texts in a file, one per line.")
    file: str = Field(
        description="Path of the .txt or .txt.gz file; `embedded:<file>` names one that ships "
        "with the project."
    )


class TextsCorpus(Section):
    """A folder of texts: `class_name/` for the ID data set, in any folders for all others."""

    kind: Literal["texts"] = Field(description="Texts in a folder of your own.")
    path: str = Field(
        description="The folder: for the ID data set with one sub-folder per class; of every other "
        "set all .txt files below are taken."
    )
    validation: Share = Field(
        0.1,
        description="Share of each class of the ID data set held out for validation, in (0, 1].",
    )
    test: Share = Field(
        0.2, description="Share of each class of the ID data set held out for testing, in (0, 1]."
    )


class PublishedCorpus(Section):
    """A published corpus in its usual layout on disk, below `run.data` unless `path` is given."""

    kind: Literal[PUBLISHED_TEXTS] = Field(description="Name of the published corpus.")
    path: str | None = Field(None, description="Folder of the corpus; null = `<run.data>/<kind>`.")
    validation: TestShare = Field(
        0.1, description="Share of the training texts held out for validation, in [0, 1]."
    )
    stop_words: Literal["kept", "removed"] = Field(
        "kept",
        description="Whether English stop words stay; pytorch-ood's readers of 20 Newsgroups and "
        "Reuters-52 remove them.",
    )


class RandomTokens(Section):
    """Texts of noise: every word drawn uniformly from the vocabulary."""

    kind: Literal["random_tokens"] = Field(description="Texts of random words.")
    count: Count = Field(5000, description="Number of texts; GOE has 80,000.")
    words: Count | None = Field(
        None, description="Words of each text; null = as many as `tokens.words`. GOE has 20."
    )
    commonest: Count | None = Field(
        None, description="How many of the commonest words are drawn from; null = all of them."
    )
    seed: Natural = Field(0, description="Seed of the words drawn.")


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
