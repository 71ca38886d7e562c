"""The settings of the ablations, and of what is shown at all. Used by root."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from bood_tasks.config.fields import Name, Names, Natural, Overrides, Section, distinct

Setting = Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z_]+$")]


class Ablations(Section):
    """Variants and sweeps of one row. Every point shares what its settings do not change."""

    row: Name = Field("bood", description="Name of the row that is varied.")
    seeds: Annotated[list[Natural], Field(min_length=1)] | None = Field(
        None, description="Seeds of every point; null = the seeds of the run."
    )
    set: Overrides = Field(
        {},
        description="Overrides {section: {setting: value}} of every point, the unchanged row "
        "included; null = none.",
    )
    sweep_set: Overrides = Field(
        {},
        description="Overrides {section: {setting: value}} of every point of the sweeps, on top of "
        "`set`; the curves' unchanged row has them, too; null = none.",
    )
    variants: dict[Name, Overrides] = Field(
        {}, description="Variant name: its overrides {section: {setting: value}}."
    )
    sweeps: dict[Setting, Annotated[list[int | float], Field(min_length=1)]] = Field(
        {},
        description="Setting, as section.setting: the values that it takes; the row's own "
        "value is a point, too.",
    )

    @field_validator("set", "sweep_set", mode="before")
    @classmethod
    def _null_is_none(cls, value: Any) -> Any:
        """Let an overlay take the default's overrides away: an empty mapping changes nothing."""
        return {} if value is None else value


class Only(Section):
    """Which of the rows, variants and sweeps defined there are; a list replaces an earlier one."""

    rows: Annotated[Names, Field(min_length=1)] | None = Field(
        None,
        description="Names of `rows`, in the order of the tables; null = all, in the order of "
        "their definition.",
    )
    variants: Names | None = Field(
        None, description="Names of `ablations.variants`; [] = none; null = all."
    )
    sweeps: Annotated[list[Setting], AfterValidator(distinct)] | None = Field(
        None, description="Names of `ablations.sweeps`; [] = none; null = all."
    )
