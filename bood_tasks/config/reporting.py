"""The settings of the ablations. Used by root."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from bood_tasks.config.fields import Name, Natural, Overrides, Section

Setting = Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z_]+$")]


class Ablations(Section):
    """What is varied of one row. Every point shares what its settings do not change."""

    row: Name = Field("bood", description="the row that is varied")
    seeds: Annotated[list[Natural], Field(min_length=1)] | None = Field(
        None, description="null = all of the run's"
    )
    set: Overrides = Field({}, description="overrides of every point, the unchanged row included")
    variants: dict[Name, Overrides] = Field({}, description="name: overrides, as a row's `set`")
    sweeps: dict[Setting, Annotated[list[int | float], Field(min_length=1)]] = Field(
        {}, description="section.setting: values; the row's own value is a point, too"
    )

    @field_validator("set", "variants", "sweeps", mode="before")
    @classmethod
    def _null_removes(cls, given: Any) -> Any:
        """Let an overlay take away what the default varies, one or all."""
        if isinstance(given, dict):
            return {name: item for name, item in given.items() if item is not None}
        return {} if given is None else given
