"""What a numbered table or figure shows, against what a configuration has. Reads no data.

The papers' data sets and variants stand in embedded/published (its README explains key.json).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from bood_tasks.artifacts.spec import Spec
from bood_tasks.catalogue.metrics import AVERAGE
from bood_tasks.catalogue.printed import published_key, read_published
from bood_tasks.catalogue.products import CURVES
from bood_tasks.config.root import Config

NUMBERED = re.compile(r"(table|figure)\d")


@dataclass(frozen=True)
class Need:
    """What a target shows, and which of it a configuration has under `setting`.

    `essential`: without any of it the target shows nothing of its own.
    """

    setting: str
    wanted: tuple[str, ...]
    found: tuple[str, ...]
    essential: bool = True

    @property
    def lacking(self) -> list[str]:
        return [name for name in self.wanted if name not in self.found]


@dataclass(frozen=True)
class Printed:
    """One of BOOD's printed tables, in our names: `rows` are (method, variant, score)."""

    id: str
    test: tuple[str, ...]
    rows: tuple[tuple[str, str, str], ...]


@cache
def _printed() -> dict[str, Printed]:
    """Return BOOD's tables of detection by target."""
    names, found = published_key(), {}
    for number, entry in names["tables"].items():
        cells = [row for row in read_published(entry["file"]) if row["metric"] != "id_acc"]
        sets = dict.fromkeys(names["ood_dataset"][row["dataset"]] for row in cells)
        labels = [
            tuple(rule["columns"][name] for name in ("method", "variant", "score"))
            for rule in names["rows"]
            if entry["file"] in rule["files"]
        ]
        own = names["id_dataset"][cells[0]["id_dataset"]]
        found[f"table{number}"] = Printed(
            own, tuple(name for name in sets if name != AVERAGE), tuple(dict.fromkeys(labels))
        )
    return found


def needs(config: Config, target: str) -> list[Need]:
    """Return what a numbered table or figure of BOOD's shows; [] for other targets.

    On data of one's own no data set corresponds to the paper's, and none is needed.
    """
    ablations = config.ablations
    if target in CURVES:
        swept = tuple(ablations.sweeps) if ablations else ()
        return [Need("ablations.sweeps", CURVES[target], swept)]
    printed = _printed().get(target)
    if printed is None:
        return []
    if variants := tuple(variant for _, variant, _ in printed.rows if variant):
        given = tuple(ablations.variants) if ablations else ()
        return [Need("ablations.variants", variants, given)]
    ours = {
        f"{row.method} by {score}"
        for row in config.rows.values()
        if not row.variant
        for score in row.scores
    }
    rows = tuple(f"{method} by {score}" for method, _, score in printed.rows)
    found = [Need("rows", rows, tuple(ours), essential=False)]
    if config.id in {table.id for table in _printed().values()}:
        found.append(Need("id", (printed.id,), (config.id,)))
        found.append(Need("test", printed.test, tuple(config.test)))
    return found


def unfilled(config: Config, made: Mapping[str, Spec], target: str, kinds: Iterable[str]) -> str:
    """Return why a target would show nothing of its own, and the cure; "" if it shows something.

    `made` are the configuration's products, of which the target asks for `kinds`.
    """
    for need in needs(config, target):
        if need.essential and need.lacking == list(need.wanted):
            names = ", ".join(need.wanted)
            return (
                f"{target} must have {names} under {need.setting}, got "
                f"{', '.join(need.found) or 'none'}; write them there, or lay the preset over that "
                "has them (docs/paper-scale.md)"
            )
    for spec in (made[kind] for kind in kinds if kind in made):
        shown = [f"goe_table{spec.settings['table']}"] if spec.stage == "goe_tables" else []
        if spec.stage == "goe_sweeps":
            shown = [f"goe_{name}" for name in spec.settings["figures"].values()]
        if NUMBERED.search(target) and shown and target not in shown:
            return (
                f"{target} must be of this configuration's network and sweeps, which make "
                f"{', '.join(shown)}; ask for that, or lay another preset over (docs/goe.md)"
            )
    return ""
