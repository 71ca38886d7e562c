"""Variants of one row: the paper's tables 3, 6 and 8 and the curves of its figures 5 and 6."""

from dataclasses import dataclass

from bood_tasks.config.checks import check_row
from bood_tasks.config.explain import closest
from bood_tasks.config.fields import Overrides, merged
from bood_tasks.config.root import Config

REFERENCE = "ablations/reference"  # no row of the configuration can have such a name


@dataclass(frozen=True)
class Study:
    """The ablations of a configuration, as rows of it.

    `config` has a row for each point, and the ablations' seeds. `sweeps` is {setting: {value:
    variant}} in rising order of values; the unchanged row has the empty variant. `defaults` are the
    values of that row.
    """

    config: Config
    variants: list[str]
    sweeps: dict[str, dict[float, str]]
    defaults: dict[str, float]

    def swept(self) -> list[str]:
        """Names of the rows that the curves are made of, the unchanged one first."""
        points = (label for values in self.sweeps.values() for label in values.values())
        return list(dict.fromkeys([REFERENCE, *(row_of(label) for label in points)]))

    def varied(self) -> list[str]:
        """Names of the rows that the tables compare, the unchanged one first."""
        return [REFERENCE, *map(row_of, self.variants)]


def row_of(variant: str) -> str:
    """Return the name of the row that a variant is, '' the unchanged one."""
    return f"ablations/{variant}" if variant else REFERENCE


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

    def add(variant: str, overrides: Overrides, setting: str) -> Config:
        changed = merged(merged(base.set, ablations.set), overrides)
        rows[row_of(variant)] = base.model_copy(update={"variant": variant, "set": changed})
        whole = config.model_copy(update={"rows": rows, "seeds": ablations.seeds or config.seeds})
        try:
            check_row(whole, row_of(variant))
        except ValueError as error:
            text = str(error).replace(f"rows.{row_of(variant)}.set", setting)
            raise ValueError(text) from None
        return whole

    whole = add("", {}, "ablations.set")
    reference = whole.for_row(REFERENCE)
    for name, overrides in ablations.variants.items():
        whole = add(name, overrides, f"ablations.variants.{name}")
    sweeps, defaults = {}, {}
    for setting, values in ablations.sweeps.items():
        section, key = setting.split(".")
        settings = getattr(reference, section, None)
        if not hasattr(settings, key):
            raise ValueError(f"ablations.sweeps.{setting} must name a setting, section.setting")
        default = getattr(settings, key)
        points = {default: ""}
        for value in set(values) - {default}:
            points[value] = f"{key}={value:g}"
            whole = add(points[value], {section: {key: value}}, f"ablations.sweeps.{setting}")
        sweeps[setting], defaults[setting] = dict(sorted(points.items())), default
    return Study(whole, list(ablations.variants), sweeps, defaults)
