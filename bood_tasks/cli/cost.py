"""What a configuration will cost before it runs, and what it did cost: `bood plan`, `bood cost`.

Operations are counted from shapes. Hours follow from what the stated device sustains; those shares
are assumptions until `bood cost` says what was measured.
"""

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.artifacts.usage import Cost
from bood_tasks.networks.flops import classifier_flops
from bood_tasks.plan.plan import Plan
from bood_tasks.plan.resources import OUTPUT_BYTES, hours_of
from bood_tasks.plan.sizes import ANCHOR_SIZE, Sizes, Splits

HUB_BYTES = 4.3e9  # Stable Diffusion v1's weights in full precision
VIT_BYTES = 3.45e8  # ViT-B/16
WHY = {  # what a plan cannot know, by stage
    "dataset": "how many pictures there are is known once they are read",
    "corpus": "how many texts there are is known once they are read",
    "tokens": "how many texts are long enough is known once they are cut",
    "gan_generator": "a BigGAN's operations and bytes are not counted",
    "gan_images": "a BigGAN's operations are not counted",
    "language_model": "a language model's operations and bytes are not counted",
    "texts": "a language model's operations are not counted",
}
FOLLOWS = "follows from a number that is not known above"


@cache
def _opened(source: str, settings: str) -> tuple[Splits, int]:
    from bood_tasks.datasets.dataset import open_dataset

    splits, classes = open_dataset(json.loads(settings), Path(source) if source else None)
    return {name: len(rows.labels) for name, rows in splits.items()}, len(classes)


def _look(data: Spec) -> tuple[Splits, int]:
    """Return the splits and the number of classes of a data set that only its files tell of."""
    return _opened(data.source, to_json(data.settings))


COUNTED = Sizes(look=_look)


def _weights_bytes(trained: Spec) -> float:
    """Return the bytes of a classifier's weights. On one pixel a convolution multiplies and adds
    once for each weight, so half of its operations are its weights."""
    settings = trained.settings
    if settings.get("network") == "vit_b16":
        return VIT_BYTES
    classes = COUNTED.classes(trained.inputs["dataset"])
    outputs = ANCHOR_SIZE if trained.stage == "encoder" else classes
    kept = 1 + (settings["epochs"] if settings.get("snapshots") else 0)
    weights = classifier_flops(settings, outputs=outputs, size=1) / 2
    if settings.get("network") == "gru":
        words = trained.inputs["dataset"].inputs["vocabulary"].settings["size"]
        weights += words * settings["embedding"]
    return kept * 4 * weights


def _generator_bytes(spec: Spec) -> float:
    """Return the bytes of a generator's weights; one trained here has about the shipped one's."""
    if spec.settings["source"] == "hub":
        return HUB_BYTES
    folder = Path(spec.source) if spec.source else EMBEDDED / "generator"
    return sum(item.stat().st_size for item in folder.rglob("*.safetensors"))


def bytes_on_disk(spec: Spec) -> float | None:
    """Return the bytes of an artifact's files, without what is small; None: unknown."""
    items = COUNTED.items(spec)
    match spec.stage:
        case "generator":
            return _generator_bytes(spec)
        case "gan_generator" | "language_model" if spec.settings["source"] == "train":
            return None
        case "encoder" | "detector":
            return _weights_bytes(spec)
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
    """Return each stage's cost: of what is left to make. What is there already is only told."""
    stages: dict[str, Cost] = {}
    done: Counter[str] = Counter()
    for spec in plan.specs.values():
        cost = stages.setdefault(spec.stage, Cost())
        if Path(spec.manifest).is_file():
            done[spec.stage] += 1
            continue
        items, flops = COUNTED.items(spec), COUNTED.operations(spec)
        cost.add(items, flops, hours_of(spec, flops, device), bytes_on_disk(spec))
        if None in (items, flops, cost.disk):
            cost.notes.add(f"?: {WHY.get(spec.stage, FOLLOWS)}")
    for stage, count in done.items():
        rest = stages[stage].jobs
        stages[stage].notes.add(f"{count:,} of {count + rest:,} done" if rest else "done")
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
