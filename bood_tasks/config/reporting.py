"""The settings of the ablations, and of what is shown at all. Used by root."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from bood_tasks.config.fields import Name, Names, Natural, Overrides, Section, distinct

Setting = Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z_]+$")]


class Ablations(Section):
    """What is varied of one row. Every point shares what its settings do not change."""

    row: Name = Field("bood", description="the row that is varied")
    seeds: Annotated[list[Natural], Field(min_length=1)] | None = Field(
        None, description="null = all of the run's"
    )
    set: Overrides = Field(
        {}, description="overrides of every point, the unchanged row included; null = none"
    )
    variants: dict[Name, Overrides] = Field({}, description="name: overrides, as a row's `set`")
    sweeps: dict[Setting, Annotated[list[int | float], Field(min_length=1)]] = Field(
        {}, description="section.setting: values; the row's own value is a point, too"
    )

    @field_validator("set", mode="before")
    @classmethod
    def _null_is_none(cls, value: Any) -> Any:
        """Let an overlay take the default's overrides away: an empty mapping changes nothing."""
        return {} if value is None else value


class Only(Section):
    """What there is of the rows, variants and sweeps defined; a list replaces the one before it."""

    rows: Annotated[Names, Field(min_length=1)] | None = Field(
        None, description="names of `rows`, in the tables' order; null = all, as defined"
    )
    variants: Names | None = Field(
        None, description="names of `ablations.variants`; [] = none; null = all"
    )
    sweeps: Annotated[list[Setting], AfterValidator(distinct)] | None = Field(
        None, description="names of `ablations.sweeps`; [] = none; null = all"
    )
