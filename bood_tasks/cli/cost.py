"""What a configuration will cost before it runs, and what it did cost: `bood plan`, `bood cost`.

Operations are counted from shapes. Hours follow from what the stated device sustains; those shares
are assumptions until `bood cost` says what was measured.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.artifacts.usage import Cost
from bood_tasks.plan.plan import Plan
from bood_tasks.plan.resources import OUTPUT_BYTES, hours_of
from bood_tasks.plan.sizes import ANCHOR_SIZE, Sizes, Splits

HUB_BYTES = 4.3e9  # Stable Diffusion v1's weights in full precision
WEIGHTS_BYTES = 8.5e7  # ResNet-34


@cache
def _opened(source: str, settings: str) -> tuple[Splits, int]:
    from bood_tasks.datasets.dataset import open_dataset

    splits, classes = open_dataset(json.loads(settings), Path(source) if source else None)
    return {name: len(rows.labels) for name, rows in splits.items()}, len(classes)


def _look(data: Spec) -> tuple[Splits, int]:
    """Return the splits and the number of classes of a data set that only its files tell of."""
    return _opened(data.source, to_json(data.settings))


COUNTED = Sizes(look=_look)


def bytes_on_disk(spec: Spec) -> float | None:
    """Return the bytes of an artifact's files, without what is small; None: unknown."""
    items = COUNTED.items(spec)
    match spec.stage:
        case "generator":
            files = Path(spec.source).rglob("*.safetensors") if spec.source else ()
            hub = spec.settings["source"] == "hub"
            return HUB_BYTES if hub else sum(item.stat().st_size for item in files)
        case "encoder" | "detector":
            return WEIGHTS_BYTES
        case "features" | "ood_features":
            return items and items * ANCHOR_SIZE * 4
        case "distances":
            return items and items * 10
        case "outputs":
            return items and items * OUTPUT_BYTES
        case "scores":
            return items and items * 8
    return COUNTED.pixels(spec)


def planned(plan: Plan, device: str) -> dict[str, Cost]:
    """Return each stage's cost, those with results from before left out of the hours."""
    stages: dict[str, Cost] = {}
    for spec in plan.specs.values():
        items, flops = COUNTED.items(spec), COUNTED.operations(spec)
        cost = stages.setdefault(spec.stage, Cost())
        if Path(spec.manifest).is_file():
            cost.notes.add("in part there already")
            flops = 0.0
        cost.add(items, flops, hours_of(spec, flops, device), bytes_on_disk(spec))
    return stages


def lines(stages: Mapping[str, Cost]) -> list[tuple[str, ...]]:
    """Return the table's rows, the sum last."""
    total = Cost()
    rows = []

    def shown(cost: Cost) -> tuple[str, ...]:
        flops = "?" if cost.flops is None else f"{cost.flops / 1e12:,.3g}" if cost.flops else ""
        hours = "?" if cost.hours is None else f"{cost.hours:,.2f}"
        disk = "?" if cost.disk is None else f"{cost.disk / 1e9:,.3f}"
        items = "?" if cost.items is None else f"{cost.items:,}"
        return (f"{cost.jobs:,}", items, flops, hours, disk, ", ".join(sorted(cost.notes)))

    for stage, cost in stages.items():
        rows.append((stage, *shown(cost)))
        total.jobs += cost.jobs
        for name in ("flops", "hours", "disk"):
            known = np.nansum([getattr(total, name), getattr(cost, name) or 0.0])
            setattr(total, name, float(known))
    unknown = [s for s, c in stages.items() if c.hours is None or c.disk is None]
    if unknown:
        total.notes.add(f"without what is unknown of {', '.join(unknown)}")
    total.items = 0
    jobs, _, *rest = shown(total)
    return [*rows, ("sum", jobs, "", *rest)]
