"""The settings of the data sets, one class for each kind. Used by root."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema, model_validator

from bood_tasks.catalogue.datasets import CATALOGUE, MAX_PIXELS
from bood_tasks.config.corpora import (
    PUBLISHED_TEXTS,
    LinesCorpus,
    PublishedCorpus,
    RandomTokens,
    TextsCorpus,
    TsvCorpus,
)
from bood_tasks.config.fields import (
    AutoCount,
    Count,
    Name,
    Natural,
    Pair,
    Section,
    Share,
    Whole,
)

READ_KINDS = (
    "npz",
    "folder",
    "imglist",
    *CATALOGUE,
)  # pictures from files: what others can be made from
OWN_PICTURES = ("folder", "imglist")  # files of one's own, whose sizes differ
FOLDS = ("fold", "text_fold")  # classes of another data set
TEXT_KINDS = ("tsv", "lines", "texts", "random_tokens", "text_fold", *PUBLISHED_TEXTS)


Shrink = Literal["image", "random"]
SHRINK = Field(
    "image",
    description="Interpolation of the resize to `image.size`: image = `image.kernel`, random = "
    "nearest, box, bilinear, bicubic or lanczos, drawn for each picture. For outliers: a detector "
    "then cannot learn the one kernel that all of them went through.",
)


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
    shrink: Shrink = SHRINK


class Lists(Section):
    """The list file of each split, as OpenOOD's: a line is a picture's path and its label."""

    train: str | None = Field(
        None,
        description="List of the training pictures; null = the set is for testing only.",
    )
    validation: str | None = Field(
        None, description="List of the validation pictures; null = a share of the training ones."
    )
    test: str = Field(description="List of the test pictures; of an OOD set it alone is read.")


class ListDataset(Section):
    """Pictures that list files name, laid out as OpenOOD's download script does."""

    kind: Literal["imglist"] = Field(description="Pictures named in list files, as OpenOOD's.")
    path: str | None = Field(
        None,
        description="Folder below which `lists` and `pictures` lie; null = `run.data`.",
    )
    pictures: str = Field(
        ".", description="Folder that the paths in the lists start from, below `path`."
    )
    lists: Lists = Field(description="List file of each split, below `path`.")
    classes: list[str] | None = Field(
        None,
        description="Class names of the ID data set, in the order of their labels; null = the "
        "folder that each class's training pictures lie in, where it is its own, else the label.",
    )
    validation: Share = Field(
        0.1,
        description="Share of each class's training pictures held out for validation where "
        "`lists.validation` is null, in (0, 1].",
    )
    max_unreadable: Natural = Field(
        0,
        description="Number of missing or damaged pictures that may be left out before the set is "
        "refused.",
    )
    max_pixels: Annotated[int, Field(ge=1, le=2**28)] = Field(
        MAX_PIXELS,
        description="Largest number of pixels of a picture in a file; larger ones are unreadable. "
        "Seen before decoding, which takes up to 12 bytes of memory a pixel.",
    )
    shrink: Shrink = SHRINK


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
    shrink: Shrink = SHRINK


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


class FoldDataset(Section):
    """Some classes of an ID data set: class n belongs to fold n mod `folds`."""

    kind: Literal["fold"] = Field(description="Pictures of some classes of an ID data set.")
    of: Name = Field(description="Name of the data set whose classes are parted.")
    folds: Annotated[Whole, Field(ge=2)] = Field(
        2, description="Number of parts of the classes, as equal as can be."
    )
    fold: Natural = Field(0, description="Number of the part that is left out, from 0.")
    part: Literal["kept", "left_out"] = Field(
        "left_out",
        description="Which classes these are: kept = all but the fold's, with their training data; "
        "left_out = the fold's, of which the validation data are taken.",
    )

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> "FoldDataset":
        if self.fold >= self.folds:
            raise ValueError(f"fold must be below folds = {self.folds}, got {self.fold}")
        return self


class TextFold(FoldDataset):
    """Some classes of an ID data set of texts: class n belongs to fold n mod `folds`."""

    kind: Literal["text_fold"] = Field(description="Texts of some classes of an ID data set.")


def has_training(item: BaseModel) -> bool:
    """Whether a data set can be the ID data set."""
    if item.kind in FOLDS:
        return item.part == "kept"
    if item.kind in CATALOGUE:
        return "train" in CATALOGUE[item.kind].counts
    if item.kind in TEXT_KINDS:
        labelled = getattr(item, "classes", None) is not None
        return labelled or item.kind in ("texts", PUBLISHED_TEXTS[0])
    if item.kind == "imglist":
        return item.lists.train is not None
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
    tokenizer: str | None = Field(
        None,
        description="Folder of a transformers model whose tokenizer (tokenizer.json) cuts texts "
        "instead, for a text classifier of that folder; null = words of the ID training texts.",
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


KERNELS = ("bilinear", "bicubic", "lanczos", "box")
AutoKernel = Annotated[Literal[KERNELS], WithJsonSchema({"enum": ["auto", *KERNELS]})]


class Image(Section):
    """How every data set and every generated picture reaches the classifier's resolution."""

    size: AutoCount = Field(
        32,
        description="Pixels per side of every picture that a classifier sees; auto = those of a "
        "network of somebody else's, else 32 or 64, by the ID pictures' own sizes.",
    )
    fit: Literal["pad", "resize", "squash"] = Field(
        "pad",
        description="How a picture reaches that size: pad = a smaller one keeps its pixels on a "
        "black border, resize = its short side is scaled and the centre cut out, squash = both "
        "sides are scaled, whatever its shape.",
    )
    kernel: AutoKernel = Field(
        "bilinear",
        description="Interpolation of every resize, antialiased; auto = what the pictures of a "
        "network of somebody else's were resized by, else bilinear.",
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


Dataset = Annotated[
    NpzDataset
    | FolderDataset
    | ListDataset
    | PublishedDataset
    | DigitsDataset
    | NoiseDataset
    | CorruptedDataset
    | ResampledDataset
    | FoldDataset
    | TextFold
    | TsvCorpus
    | LinesCorpus
    | TextsCorpus
    | PublishedCorpus
    | RandomTokens,
    Field(discriminator="kind"),
]
