"""The kinds of value that settings have, and the strict section they stand in. Used by config."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)

from bood_tasks.catalogue.weights import RELEASED, WEIGHTS


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _share(value: float) -> float:
    if value > 1:
        raise ValueError(f"must be in (0, 1], got {value:g}; write {value:g} % as {value / 100:g}")
    return value


def _one_placeholder(prompt: str) -> str:
    if prompt.count("{class}") != 1:
        raise ValueError("must hold {class} exactly once: the outlier vector goes there")
    return prompt


def _known_release(path: str) -> str:
    if path.startswith(RELEASED) and path.removeprefix(RELEASED) not in WEIGHTS:
        names = ", ".join(f"{RELEASED}{name}" for name in WEIGHTS)
        raise ValueError(f"must name a path or one of {names}, got {path!r}")
    return path


def distinct(names: list[str]) -> list[str]:
    """Raise ValueError for a name that stands twice."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"must hold each name once, got {twice[0]!r} {len(twice)} times")
    return names


Whole = Annotated[int, BeforeValidator(_integral)]
Count = Annotated[Whole, Field(ge=1)]
Natural = Annotated[Whole, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_share)]
Part = Annotated[float, Field(gt=0, lt=1)]
Percentile = Annotated[float, Field(gt=0, lt=100)]
Magnitudes = Annotated[list[NonNegative], Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Names = Annotated[list[Name], AfterValidator(distinct)]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
WeightsPath = Annotated[str, AfterValidator(_known_release)]
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
# `auto` is filled in before anything is validated, by the rules of automatic.py.
_AUTO = {"const": "auto", "type": "string"}
AutoCount = Annotated[Count, WithJsonSchema({"anyOf": [_AUTO, {"minimum": 1, "type": "integer"}]})]
AutoNatural = Annotated[
    Natural, WithJsonSchema({"anyOf": [_AUTO, {"minimum": 0, "type": "integer"}]})
]
AutoShare = Annotated[
    Share, WithJsonSchema({"anyOf": [_AUTO, {"exclusiveMinimum": 0, "type": "number"}]})
]
# `auto` that a job fills in, from what it reads; the tags keep an error to the kind that was meant.
_WORD, _NUMBER = "(word)", "(number)"
FoundPositive = Annotated[
    Annotated[Literal["auto"], Tag(_WORD)] | Annotated[Positive, Tag(_NUMBER)],
    Discriminator(lambda value: _WORD if value == "auto" else _NUMBER),
    WithJsonSchema({"anyOf": [_AUTO, {"exclusiveMinimum": 0, "type": "number"}]}),
]
Overrides = dict[str, dict[str, Any]]  # section: {setting: value}
Prompt = Annotated[str, AfterValidator(_one_placeholder)]


class Section(BaseModel):
    """A part of the configuration: strict types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_default=True)


def merged(base: dict, overlay: dict) -> dict:
    """Return two configurations as one, as Snakemake's `update_config` does: nested keys merge.

    An empty mapping in the overlay changes nothing, not even a null or a list.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    >>> merged({"a": None, "b": [1, 2]}, {"a": {}, "b": [3]})
    {'a': None, 'b': [3]}
    """
    both = dict(base)
    for key, value in overlay.items():
        below = both.get(key, {})
        if not isinstance(value, dict):
            both[key] = value
        elif isinstance(below, dict):
            both[key] = merged(below, value)
        elif value:
            both[key] = value
    return both
