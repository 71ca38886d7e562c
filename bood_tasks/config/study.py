"""Variants of one row: the paper's tables 3, 6 and 8 and the curves of its figures 5 and 6."""

import json
from dataclasses import dataclass

from bood_tasks.config.checks import check_row
from bood_tasks.config.explain import closest
from bood_tasks.config.fields import Overrides, merged
from bood_tasks.config.root import Config

REFERENCE = "ablations/reference"  # no row of the configuration can have such a name
SWEPT = "ablations/swept"


@dataclass(frozen=True)
class Study:
    """The ablations of a configuration, as rows of it.

    `config` has a row for each point, and the ablations' seeds. `sweeps` is {setting: {value:
    variant}} in rising order of values; the unchanged row has the empty variant. `defaults` are the
    values of that row, which is SWEPT: REFERENCE with the sweeps' own settings.
    """

    config: Config
    variants: list[str]
    sweeps: dict[str, dict[float, str]]
    defaults: dict[str, float]

    def swept(self) -> list[str]:
        """Names of the rows that the curves are made of, the unchanged one first."""
        points = (label for values in self.sweeps.values() for label in values.values())
        return list(dict.fromkeys([SWEPT, *(row_of(label, SWEPT) for label in points)]))

    def varied(self) -> list[str]:
        """Names of the rows that the tables compare, the unchanged one first."""
        return [REFERENCE, *map(row_of, self.variants)]


def row_of(variant: str, reference: str = REFERENCE) -> str:
    """Return the name of the row that a variant is; '' is the unchanged one."""
    return f"ablations/{variant}" if variant else reference


def study(config: Config) -> Study:
    """Return the configuration with a row for each point of its ablations.

    Raises ValueError, naming the setting, for a row, setting or value that cannot be.
    """
    ablations = config.ablations
    if ablations.row not in config.rows:
        hint = closest(ablations.row, config.rows)
        raise ValueError(
            f"ablations.row must name a row, got {ablations.row!r}{hint}; "
            "write ablations: null for none"
        )
    base = config.rows[ablations.row]
    rows = dict(config.rows)

    def add(variant: str, overrides: Overrides, setting: str, reference: str = REFERENCE) -> Config:
        name = row_of(variant, reference)
        shared = merged(base.set, ablations.set)
        if reference == SWEPT:
            shared = merged(shared, ablations.sweep_set)
        changed = merged(shared, overrides)
        rows[name] = base.model_copy(update={"variant": variant, "set": changed})
        whole = config.model_copy(update={"rows": rows, "seeds": ablations.seeds or config.seeds})
        try:
            check_row(whole, name)
        except ValueError as error:
            raise ValueError(str(error).replace(f"rows.{name}.set", setting)) from None
        return whole

    add("", {}, "ablations.set")
    for name, overrides in ablations.variants.items():
        add(name, overrides, f"ablations.variants.{name}")
    whole = add("", {}, "ablations.sweep_set", SWEPT)
    reference = whole.for_row(SWEPT)
    sweeps, defaults = {}, {}
    for setting, values in ablations.sweeps.items():
        section, key = setting.split(".")
        settings = getattr(reference, section, None)
        if not hasattr(settings, key):
            raise ValueError(f"ablations.sweeps.{setting} must name a setting, section.setting")
        default = getattr(settings, key)
        if isinstance(default, bool | str) or default is None:
            raise ValueError(
                f"ablations.sweeps.{setting} must be of a row with a number there, its own point "
                f"of the curve, got {json.dumps(default)}; write one into "
                f"ablations.sweep_set.{section}.{key}, or leave the sweep out by only.sweeps"
            )
        points = {default: ""}
        for value in set(values) - {default}:
            points[value] = f"{key}={value:g}"
            overrides = {section: {key: value}}
            whole = add(points[value], overrides, f"ablations.sweeps.{setting}", SWEPT)
        sweeps[setting], defaults[setting] = dict(sorted(points.items())), default
    return Study(whole, list(ablations.variants), sweeps, defaults)
