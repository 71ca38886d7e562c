"""Where a configuration departs from what was published, for the footnotes of the tables that set
our values beside published ones.

embedded/published/settings.csv has the settings of the papers and of their authors' code, each with
its source, and our value with its reason where a preset departs on purpose.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel

from bood_tasks.artifacts.spec import to_json
from bood_tasks.catalogue.printed import FOLDER, read_published
from bood_tasks.config.root import Config

SETTINGS = FOLDER / "settings.csv"
ABLATIONS = "bood-cifar100+bood-cifar100-ablations"
CHANGED = "changed in this run"
PRESETS = {  # the presets that make what a table prints, one for each in-distribution data set
    "table1": ("bood-cifar100",),
    "table2": ("bood-imagenet100",),
    "table3": (ABLATIONS,),
    "table6": (ABLATIONS,),
    "table7": ("bood-imagenet100+bood-imagenet100-near",),
    "table8": (ABLATIONS,),
    "goe_table1": ("goe-cifar10", "goe-cifar100", "goe-imagenet-vit"),
    "goe_table2": ("goe-newsgroups",),
    "goe_table3": ("goe-imagenet-resnet101",),
}


@dataclass(frozen=True)
class PublishedSetting:
    """One value of one preset, as text; settings.csv's README tells the columns."""

    preset: str
    row: str
    setting: str
    published: str
    ours: str
    source: str
    reason: str

    @property
    def expected(self) -> str:
        """The value that the preset must have."""
        return self.ours if self.reason else self.published

    @property
    def name(self) -> str:
        """The setting and, if it is not that of all rows, whose it is."""
        return f"{self.setting} of {self.row}" if self.row else self.setting


@cache
def published_settings() -> tuple[PublishedSetting, ...]:
    """Return every value of settings.csv, one for each preset that its line names."""
    columns = [field.name for field in fields(PublishedSetting)][1:]
    return tuple(
        PublishedSetting(preset, *(line[name] for name in columns))
        for line in read_published(SETTINGS.name)
        for preset in line["presets"].split()
    )


@cache
def settings_of(preset: str) -> tuple[PublishedSetting, ...]:
    """Return the values of a preset; `a+b` has those of a, but for those that b has of its own."""
    below, plus, _ = preset.rpartition("+")
    found = {(x.row, x.setting): x for x in settings_of(below)} if plus else {}
    own = (item for item in published_settings() if item.preset == preset)
    return tuple((found | {(item.row, item.setting): item for item in own}).values())


def value_of(config: Config, setting: str) -> object:
    """Return the value of a dotted setting, as plain JSON.

    `config`: of a row (`Config.for_row`) where the setting is that row's. Raises ValueError where
    there is no such setting.
    """
    value: Any = config
    parts = setting.split(".")
    while parts:
        if isinstance(value, Mapping) and ".".join(parts) in value:  # a sweep's name has dots
            parts = [".".join(parts)]
        name, *parts = parts
        try:
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        except (AttributeError, KeyError, TypeError):
            raise ValueError(f"there is no setting {setting}: it has no {name}") from None
    return value.model_dump() if isinstance(value, BaseModel) else value


@cache
def _parsed(text: str) -> str:
    return to_json(yaml.safe_load(text))


def alike(value: object, text: str) -> bool:
    """Whether a setting has the value that a text of settings.csv says, 2 being 2.0."""
    return to_json(value) == _parsed(text)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    return "none" if value in (None, {}) else str(value)


def _compared(of_row: Mapping[str, Config], preset: str) -> Iterator[tuple[str, str]]:
    """Yield the reason and, in words, the values of each setting that is not as published."""
    for item in settings_of(preset):
        section, _, rest = item.setting.partition(".")
        row = rest.split(".")[0] if section == "rows" else item.row
        if row not in of_row or section == "ablations":
            continue  # what is swept is seen in the figures
        try:
            value = value_of(of_row[item.row], item.setting)
        except ValueError:  # of a data set that the run does without
            continue
        if not alike(value, item.published):
            on_purpose = item.reason and alike(value, item.ours)
            yield (
                item.reason if on_purpose else CHANGED,
                f"{item.name} = {_said(value)}, published "
                f"{_said(yaml.safe_load(item.published))} ({item.source})",
            )


def of_each_row(config: Config) -> dict[str, Config]:
    """Return the configuration of every row by its name, and that of all of them by ""."""
    return {"": config} | {name: config.for_row(name) for name in config.rows}


def departures(of_row: Mapping[str, Config], table: str) -> list[str]:
    """Return in words, by reason, the settings by which our values of a table are not made as the
    published ones; on other in-distribution data than the paper's, that alone.

    `of_row`: the configuration of each row that the table shows, by its name in settings.csv, and
    that of all of them by "". `table`: a key of PRESETS.
    """
    for preset in PRESETS[table]:
        if any(x.setting == "id" and x.published == of_row[""].id for x in settings_of(preset)):
            break
    else:
        return [
            "data, networks and settings are others than the paper's, which "
            f"{' or '.join(PRESETS[table])} in workflow/presets has"
        ]
    found: dict[str, list[str]] = {}
    for reason, words in _compared(of_row, preset):
        found.setdefault(reason, []).append(words)
    return [f"{reason}: {'; '.join(words)}" for reason, words in found.items()]
