"""What a configuration will cost before it runs, and what it did cost: `bood plan`, `bood cost`.

Operations are counted on networks without weights (flops.py). Hours follow from what the stated
device sustains; those shares are assumptions until `bood cost` says what was measured.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from bood_tasks.artifacts.spec import Spec
from bood_tasks.artifacts.usage import Cost
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.plan.plan import Plan
from bood_tasks.plan.resources import OUTPUT_BYTES, PASSES

# Dense TFLOP/s that large matrix products sustain, in half and in full precision.
DEVICES = {"h200": (790, 50), "h100": (600, 50), "a100": (250, 18), "cpu": (0.1, 0.1)}
SHARE = {"images": 0.5, "encoder": 0.25, "detector": 0.25}  # of that, assumed; others 0.25
STRIP_FEATURES = 6  # of Figure 3
BACKWARD = 3  # a training step's operations, in forward passes
ANCHOR_SIZE = 768  # of a generator that is not here yet: Stable Diffusion v1
HUB_BYTES = 4.3e9  # its weights in full precision
MEAN_STEPS = 0.3  # of K, until a row crosses
WEIGHTS_BYTES = 8.5e7  # ResNet-34


@cache
def _facts(manifest: str) -> dict:
    path = Path(manifest).with_name("dataset.json")
    return json.loads(path.read_text(encoding="utf-8")) if Path(manifest).is_file() else {}


def counts_of(spec: Spec) -> dict[str, int | None]:
    """Return a data set's pictures per split: from its artifact, else from what is known of it."""
    settings, known = spec.settings, _facts(spec.manifest).get("counts")
    if known:
        return known
    if spec.stage == "tokens":  # how many texts are long enough is known when they are cut
        return {"train": None, "test": settings.get("count")}
    kind = settings["kind"]
    if kind in CATALOGUE:
        counts = dict(CATALOGUE[kind].counts)
        held = settings["validation_per_class"] * CATALOGUE[kind].classes
        if held and counts.get("train"):
            counts |= {"train": counts["train"] - held, "validation": held}
        if settings["train_per_class"] and counts.get("train"):
            most = settings["train_per_class"] * CATALOGUE[kind].classes
            counts["train"] = min(counts["train"], most)
        return counts
    if kind in ("corrupted", "resampled"):
        split = "validation" if kind == "corrupted" else "test"
        return {"test": counts_of(spec.inputs["of"]).get(split)}
    if kind == "noise":
        return {"test": settings["count"]}
    from bood_tasks.datasets.dataset import open_dataset

    splits, _ = open_dataset(settings, Path(spec.source) if spec.source else None)
    return {name: len(rows.labels) for name, rows in splits.items()}


def classes_of(spec: Spec) -> int:
    """Return the number of classes of a data set."""
    known = _facts(spec.manifest).get("classes")
    if known:
        return len(known)
    if spec.stage == "tokens":
        return len(spec.inputs["corpus"].settings.get("classes") or ())
    if spec.settings["kind"] in CATALOGUE:
        return CATALOGUE[spec.settings["kind"]].classes
    from bood_tasks.datasets.dataset import open_dataset

    return len(open_dataset(spec.settings, Path(spec.source) if spec.source else None)[1])


def _forward(network: Mapping, data: Spec, outputs: int) -> float | None:
    """Return the operations of a ResNet's forward pass; those of other networks are not counted."""
    if network.get("network", "resnet") != "resnet" or data.stage == "tokens":
        return None
    from bood_tasks.networks.flops import classifier_flops

    shape = {key: network[key] for key in ("depth", "width", "stem")}
    size = network["crop"] or data.settings["image"]["size"]
    return classifier_flops(**shape, outputs=outputs, size=size)


def _items(spec: Spec) -> int | None:
    """Return how many items an outlier artifact holds."""
    match spec.stage:
        case "images":
            return _made(spec, classes_of(spec.inputs["anchors"].inputs["dataset"]))
        case "gan_images" | "texts":
            return spec.settings["stop"] - spec.settings["start"]
    return counts_of(spec).get("test")


def _seen(spec: Spec, rows: int | None) -> int | None:
    """Return how many items a detector's training shows, ID and outliers, a pass over ID data."""
    others = spec.inputs.get("outliers", ())
    if not others or rows is None:
        return rows
    if spec.settings.get("mixing") != "shuffled":
        return 2 * rows
    found = [_items(item) for item in others]
    return None if None in found else rows + sum(found)


def _made(shard: Spec, classes: int) -> int:
    words = shard.settings.get("words")
    return (shard.settings["stop"] - shard.settings["start"]) * (len(words) if words else classes)


def estimate(spec: Spec) -> tuple[int | None, float | None, float | None]:
    """Return items, operations and bytes of one artifact."""
    settings = spec.settings
    match spec.stage:
        case "dataset":
            counts = counts_of(spec).values()
            items = None if None in counts else sum(counts)
            return items, 0.0, items and items * 3 * settings["image"]["size"] ** 2
        case "generator":
            hub = settings["source"] == "hub"
            files = Path(spec.source).rglob("*.safetensors") if spec.source else ()
            size = HUB_BYTES if hub else sum(item.stat().st_size for item in files)
            return 1, None if settings["source"] == "train" else 0.0, size
        case "encoder":
            data = spec.inputs["dataset"]
            rows = counts_of(data)["train"]
            each = _forward(settings, data, ANCHOR_SIZE)
            seen = rows and rows * settings["epochs"]
            return seen, seen and BACKWARD * seen * each, WEIGHTS_BYTES
        case "features":
            encoder = spec.inputs["encoder"]
            rows = counts_of(spec.inputs["dataset"])["train"]
            each = _forward(encoder.settings, spec.inputs["dataset"], ANCHOR_SIZE)
            return rows, rows and rows * each, rows and rows * ANCHOR_SIZE * 4
        case "distances":
            data = spec.inputs["features"].inputs["dataset"]
            rows, classes = counts_of(data)["train"], classes_of(data)
            steps = MEAN_STEPS * settings["max_steps"]
            return rows, rows and rows * steps * 4 * ANCHOR_SIZE * classes, rows and rows * 10
        case "ood_features":
            data = spec.inputs["features"].inputs["dataset"]
            rows, classes = counts_of(data)["train"], classes_of(data)
            from bood_tasks.synthesis.ood_features import sampler

            estimated = sampler(settings["sampler"]).estimate
            items, flops = estimated(settings, rows=rows, classes=classes, size=ANCHOR_SIZE)
            return items, flops, items and items * ANCHOR_SIZE * 4
        case "images" | "trajectory" | "strips":
            from bood_tasks.generators.text_to_image.interface import picture_cost

            each, side = picture_cost(spec.inputs["generator"].source, settings)
            items = 10
            if spec.stage == "strips":
                shown = (settings["extra_steps_shown"], settings["step_sizes_shown"])
                items = STRIP_FEATURES * sum(map(len, shown))
            if spec.stage == "images":
                items = _items(spec)
            return items, items * each, items * 3 * (settings["saved_size"] or side) ** 2
        case "detector":
            data = spec.inputs["dataset"]
            rows, classes = counts_of(data)["train"], classes_of(data)
            each, seen = _forward(settings, data, classes), _seen(spec, rows)
            items = seen and seen * settings["epochs"]
            return items, items and each and BACKWARD * items * each, WEIGHTS_BYTES
        case "gan_images" | "texts":
            return _items(spec), None, None
        case "gan_generator" | "language_model":
            return 1, None if settings["source"] == "train" else 0.0, None
        case "outputs":
            detector = spec.inputs["detector"]
            data = detector.inputs["dataset"]
            each = _forward(detector.settings | {"crop": settings["crop"]}, data, classes_of(data))
            split = "train" if settings.get("training") else "test"
            parts = [counts_of(item).get(split) for item in spec.inputs["datasets"]]
            rows = None if None in parts else sum(parts)
            return rows, rows and each and rows * each, rows and rows * OUTPUT_BYTES
        case "scores":
            rows, flops, _ = estimate(spec.inputs["outputs"])
            passes = PASSES * len(settings.get("magnitudes", ()))
            return rows, flops and flops * passes, rows and rows * 8
    return 1, 0.0, 0.0


def hours_of(spec: Spec, flops: float | None, device: str) -> float | None:
    """Return the hours of an artifact's operations on one device."""
    if flops is None:
        return None
    half, full = DEVICES[device]
    settings = spec.settings
    fast = settings.get("precision") == "bf16" or settings.get("dtype") in ("float16", "bfloat16")
    return flops / ((half if fast else full) * 1e12 * SHARE.get(spec.stage, 0.25)) / 3600


def planned(plan: Plan, device: str) -> dict[str, Cost]:
    """Return each stage's cost, those with results from before left out of the hours."""
    stages: dict[str, Cost] = {}
    for spec in plan.specs.values():
        items, flops, disk = estimate(spec)
        cost = stages.setdefault(spec.stage, Cost())
        if Path(spec.manifest).is_file():
            cost.notes.add("in part there already")
            flops = 0.0
        cost.add(items, flops, hours_of(spec, flops, device), disk)
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
