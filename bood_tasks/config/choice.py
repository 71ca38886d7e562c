"""The settings of the automatic choice: which settings of a row, on what, at what cost. Used by
root."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bood_tasks.config.fields import (
    Count,
    Name,
    Names,
    Natural,
    Overrides,
    Positive,
    Section,
    Whole,
)

# section.setting or section.part.setting; or the row's outliers
Chosen = Annotated[str, Field(pattern=r"^([a-z_]+(\.[a-z_0-9]+){1,2}|outliers)$")]
CORRUPTED, HELD_OUT = "corrupted", "held-out"  # kinds of validation outliers made of ID data
SCALED = ("gan_images.scale", "texts.temperature")  # how far a generator leaves its training
SHORTENED = ("detector.epochs", "images.per_class", "gan_images.count", "texts.count")


class Budget(Section):
    """What a choice may cost at most. Fewer candidates are drawn where all would cost more."""

    jobs: Count | None = Field(None, description="Largest number of jobs; null = any number.")
    minutes: Positive | None = Field(
        None,
        description="Largest number of minutes on one `device`, as `bood plan` estimates them; "
        "null = any number.",
    )
    device: Literal["h200", "h100", "a100", "cpu"] = Field(
        "cpu", description="Device that the minutes are estimated for."
    )


class Rules(Section):
    """Rules for GOE's sigma or T that train nothing, to be compared with validation's choice."""

    row: Name = Field(
        "ce", description="Name of a row without outliers, whose classifier sees the samples."
    )
    noise: Name = Field("noise", description="Name of the data set of noise.")
    quantile: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        0.95,
        description="Chance, above 0.5, with which a sample must lie farther from the ID training "
        "features than held-out ID data do.",
    )
    count: Count = Field(1000, description="Number of samples looked at, at most, at each value.")


class Choice(Section):
    """Settings of a row that are chosen on validation outliers alone, by successive halving."""

    row: Name = Field("bood", description="Name of the row whose settings are chosen.")
    settings: Annotated[
        dict[Chosen, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)
    ] = Field(
        description="Setting, as section.setting: the values that it may take; `outliers`: the "
        "row's sources and shares. Every combination is a candidate, and so is the row as it is."
    )
    references: dict[Name, Overrides] = Field(
        {},
        description="Name: overrides {section: {setting: value}} of a candidate that stays to the "
        "end, such as a paper's own settings. The row as it is stays, too.",
    )
    validation: Annotated[Names, Field(min_length=1)] = Field(
        [CORRUPTED, HELD_OUT],
        description="Kinds of validation outliers, each of the same weight: corrupted = ID "
        "validation pictures, spoilt; held-out = ID classes left out of the training, fold by "
        "fold; or names of `validation` sets.",
    )
    folds: Annotated[Whole, Field(ge=2)] = Field(
        2,
        description="Number of parts of the ID classes that are held out in turn; each part "
        "costs a training of every candidate.",
    )
    by: Literal["auroc", "fpr95"] = Field(
        "auroc", description="Metric by which candidates are ordered."
    )
    score: Name | None = Field(
        None, description="Score of the row that is read; null = the row's first."
    )
    rungs: Count = Field(
        3, description="Number of rounds; in the last one trainings have their full length."
    )
    eta: Annotated[Whole, Field(ge=2)] = Field(
        3,
        description="Factor by which every round has fewer candidates and longer trainings than "
        "the one before.",
    )
    shortened: Annotated[list[Literal[SHORTENED]], Field(min_length=1)] = Field(
        list(SHORTENED),
        description="Settings that are smaller in early rounds; pictures by whole shards.",
    )
    seeds: Annotated[list[Natural], Field(min_length=1)] | None = Field(
        None,
        description="Seeds of the last round; earlier ones have the first alone. null = the seeds "
        "of the run.",
    )
    candidates: Count | None = Field(
        None,
        description="Number of combinations that are tried, drawn at random, always the same ones; "
        "null = all that `budget` allows.",
    )
    budget: Budget = Budget()
    rules: Rules | None = Field(
        None,
        description="Rules without training for `gan_images.scale` or `texts.temperature`, if one "
        "of them is among `settings`; null = none.",
    )

    @model_validator(mode="after")
    def _seeds_differ(self) -> "Choice":
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {self.seeds}")
        return self
