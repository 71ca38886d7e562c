"""Variants of one row: the paper's tables 3, 6 and 8 and the curves of its figures 5 and 6."""

from dataclasses import dataclass

from bood_tasks.config.checks import check_row
from bood_tasks.config.explain import closest
from bood_tasks.config.fields import Overrides, merged
from bood_tasks.config.root import Config

REFERENCE = "ablations/reference"  # no row of the configuration can have such a name


@dataclass(frozen=True)
class Study:
    """`config` holds a row for each point and the ablations' seeds. `sweeps`: {setting: {value:
    variant}} in rising order of values, the unchanged row's variant being empty; `defaults`: that
    row's own values."""

    config: Config
    variants: list[str]
    sweeps: dict[str, dict[float, str]]
    defaults: dict[str, float]

    def swept(self) -> list[str]:
        """Names of the rows that the curves are made of, the unchanged one first."""
        points = (label for values in self.sweeps.values() for label in values.values())
        return list(dict.fromkeys([REFERENCE, *(_name(label) for label in points)]))

    def varied(self) -> list[str]:
        """Names of the rows that the tables compare, the unchanged one first."""
        return [REFERENCE, *map(_name, self.variants)]


def _name(variant: str) -> str:
    return f"ablations/{variant}" if variant else REFERENCE


def study(config: Config) -> Study:
    """Return the configuration with a row for each point of its ablations.

    Raises ValueError, naming the setting, for a row, setting or value that cannot be.
    """
    given = config.ablations
    if given.row not in config.rows:
        raise ValueError(
            f"ablations.row must name a row, got {given.row!r}{closest(given.row, config.rows)}; "
            "write ablations: null for none"
        )
    base = config.rows[given.row]
    rows = dict(config.rows)

    def add(variant: str, overrides: Overrides, place: str) -> Config:
        changed = merged(merged(base.set, given.set), overrides)
        rows[_name(variant)] = base.model_copy(update={"variant": variant, "set": changed})
        whole = config.model_copy(update={"rows": rows, "seeds": given.seeds or config.seeds})
        try:
            check_row(whole, _name(variant))
        except ValueError as error:
            text = str(error).replace(f"rows.{_name(variant)}.set", place)
            raise ValueError(text) from None
        return whole

    whole = add("", {}, "ablations.set")
    reference = whole.for_row(REFERENCE)
    for name, overrides in given.variants.items():
        whole = add(name, overrides, f"ablations.variants.{name}")
    sweeps, defaults = {}, {}
    for setting, values in given.sweeps.items():
        section, key = setting.split(".")
        settings = getattr(reference, section, None)
        if not hasattr(settings, key):
            raise ValueError(f"ablations.sweeps.{setting} must name a setting, section.setting")
        own = getattr(settings, key)
        points = {own: ""}
        for value in set(values) - {own}:
            points[value] = f"{key}={value:g}"
            whole = add(points[value], {section: {key: value}}, f"ablations.sweeps.{setting}")
        sweeps[setting], defaults[setting] = dict(sorted(points.items())), own
    return Study(whole, list(given.variants), sweeps, defaults)
