"""What a configuration will cost before it runs, and what it did cost: `bood plan`, `bood cost`.

Operations are counted from shapes. Hours follow from what the stated device sustains; those shares
are assumptions until `bood cost` says what was measured.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.artifacts.usage import Cost, measured
from bood_tasks.cli.listing import print_table
from bood_tasks.config.candidates import candidates
from bood_tasks.config.root import Config
from bood_tasks.networks.flops import classifier_flops
from bood_tasks.plan.choice import at_hand, lineage, planned_rungs
from bood_tasks.plan.networks import numbers
from bood_tasks.plan.plan import Plan, absent, choosing, make
from bood_tasks.plan.resources import DEVICES, OUTPUT_BYTES, REACHED, REACHED_BY_OTHERS, hours_of
from bood_tasks.plan.sizes import ANCHOR_SIZE, Sizes, Splits
from bood_tasks.reporting.halving import biased

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
    kept = 1 + (settings["epochs"] if settings.get("snapshots") else 0)
    if isinstance(settings.get("network"), Mapping):
        return kept * 4 * (numbers(settings["network"])[0] or 0)
    classes = COUNTED.classes(trained.inputs["dataset"])
    outputs = ANCHOR_SIZE if trained.stage == "encoder" else classes
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
    """Return each stage's cost, without what a choice alone needs."""
    wanted = lineage(plan.targets.values()) if plan.rungs else plan.specs
    return costs_of((spec for digest, spec in plan.specs.items() if digest in wanted), device)


def costs_of(specs: Iterable[Spec], device: str) -> dict[str, Cost]:
    """Return each stage's cost: of what is left to make. What is there already is only told."""
    stages: dict[str, Cost] = {}
    done: Counter[str] = Counter()
    for spec in specs:
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


def show_cost(config: Config, files: str) -> None:
    """Print what the artifacts of a configuration did cost; `files`: those it was read from."""
    plan = make(config)
    stages = measured((spec.stage, Path(spec.manifest)) for spec in plan.specs.values())
    if not stages:
        raise ValueError(f"no artifact of {files} is here; run it first")
    _print_stages(stages, "hours")


def show_plan(config: Config, device: str) -> None:
    """Print what a configuration will cost on a device."""
    plan = make(config)
    _print_stages(planned(plan, device), f"{device} hours")
    if of := choosing(config):
        _print_choice(of, device)
    half, full = DEVICES[device]
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in REACHED.items())
    print(
        f"Hours on one {device}, assumed to sustain {half:g} TFLOP/s in half and {full:g} in "
        f"full precision, of which reach: {shares}, others "
        f"{REACHED_BY_OTHERS:.0%}. Not measured; `bood cost` "
        "says what a run took."
    )
    for line in config.reasons():
        print(f"auto, as {line}")
    for message in absent(config):
        print(f"missing: {message}")


def _print_choice(config: Config, device: str) -> None:
    """Print what `snakemake choice` costs at most, rung by rung, as if nothing else had run."""
    found, rows = candidates(config), []
    needed: dict = {}
    for number, specs in enumerate(planned_rungs(config)):
        needed |= specs
        _, *cells = lines(costs_of(specs.values(), device))[-1]
        jobs, _, flops, hours, disk, notes = cells
        tried = Counter(spec.stage for spec in specs.values())["detector"]
        share = f"{found.share(number):.0%} of the training"
        rows.append((f"rung {number + 1}, {share}", f"{tried}", jobs, flops, hours, disk, notes))
    print(f"The choice of settings of row {config.choice.row} (`snakemake choice`), at most:")
    heads = ("trainings", "jobs", "TFLOP", f"{device} hours", "disk GB")
    print_table(rows, {"": "left", **dict.fromkeys(heads, "right"), "notes": "left"})
    if stages := at_hand(found, needed.values()):
        print(biased(stages))


def _print_stages(stages: dict, hours: str) -> None:
    sides = dict.fromkeys(("jobs", "items", "TFLOP", hours, "disk GB"), "right")
    print_table(lines(stages), {"stage": "left", **sides, "notes": "left"})
