"""The settings of the corpora, one class for each kind. Used by config_datasets."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bood_tasks.catalogue_texts import PUBLISHED
from bood_tasks.config_fields import Count, Natural, Section, Share

PUBLISHED_TEXTS = tuple(PUBLISHED)
TestShare = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


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


TEXT_KINDS = ("tsv", "lines", "texts", "random_tokens", *PUBLISHED_TEXTS)
