"""The settings of the corpora, one class for each kind. Used by datasets."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bood_tasks.catalogue.corpora import PUBLISHED
from bood_tasks.config.fields import Count, Natural, Section, Share

PUBLISHED_TEXTS = tuple(PUBLISHED)
TestShare = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


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
