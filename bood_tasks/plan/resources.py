"""What a job asks of its machine: memory, minutes, threads. Read for every job of every parse.

They are limits, not estimates: three times what the slowest supported device (A100) should need,
so that a job ends before its batch system ends it. The embedded default's jobs lie far below what
each stage asks for at least. A job that meets its limit goes on from its checkpoint in the next
try.
"""

from dataclasses import dataclass
from itertools import chain
from math import ceil

from bood_tasks.artifacts.spec import Spec
from bood_tasks.catalogue.stages import STAGES
from bood_tasks.plan.sizes import ANCHOR_SIZE, Sizes

# Dense TFLOP/s that large matrix products sustain, in half and in full precision.
DEVICES = {"h200": (790, 50), "h100": (600, 50), "a100": (250, 18), "cpu": (0.1, 0.1)}
REACHED = {"images": 0.5}  # share of that: 395 TFLOP/s measured on an H200, elsewhere assumed
REACHED_BY_OTHERS = 0.25
SLOWEST, SAFETY = "a100", 3
ASSUMED = Sizes(unknown=10_000)  # of a split: nothing is opened for a plan
PICTURES_PER_MINUTE = 1200  # a thread decodes and writes
ROWS_PER_MINUTE = 1000  # stepped to the boundary
PIXEL_BYTES_PER_MINUTE = 60 * 20 * 2**20
OUTPUT_BYTES = 4 * 4096  # of a sample at most: logits and features, float32
LARGE_BYTES = 2**30  # from here on pictures are streamed or read by several threads
LARGEST_MB = 96_000
THREADS = 4


@dataclass(frozen=True)
class Resources:
    """MB of memory, minutes and threads of a job's first attempt."""

    mem_mb: int
    runtime: int
    threads: int


def hours_of(spec: Spec, operations: float | None, device: str) -> float | None:
    """Return the hours that an artifact's operations take on one of DEVICES; None: unknown."""
    if operations is None:
        return None
    half, full = DEVICES[device]
    settings = spec.settings
    fast = settings.get("precision") == "bf16" or settings.get("dtype") in ("float16", "bfloat16")
    reached = REACHED.get(spec.stage, REACHED_BY_OTHERS)
    hours = operations / ((half if fast else full) * 1e12 * reached) / 3600
    limit = settings.get("minutes")  # a training that ends by the clock
    return hours if limit is None else min(hours, limit / 60)


def _held(spec: Spec) -> int:
    """Return the bytes of data that a job keeps in memory."""
    match spec.stage:
        case "dataset":
            return min(ASSUMED.pixels(spec), LARGE_BYTES)
        case "encoder" | "detector":
            shown = (spec.inputs.get(role, ()) for role in ("outliers", "mixing"))
            data = (spec.inputs["dataset"], *chain(*shown))
            return sum(map(ASSUMED.pixels, data))
        case "generator" if "dataset" in spec.inputs:
            return sum(map(ASSUMED.pixels, (spec.inputs["dataset"], *spec.inputs.get("also", ()))))
        case "features" | "outputs" | "epochs":
            return min(sum(map(ASSUMED.pixels, _read(spec))), LARGE_BYTES)
        case "scores":
            rows = max(
                ASSUMED.splits(data)["test"] for data in spec.inputs["outputs"].inputs["datasets"]
            )
            rows += ASSUMED.items(spec.inputs["training"]) if "training" in spec.inputs else 0
            return OUTPUT_BYTES * rows
        case "distances":
            return ASSUMED.items(spec) * ANCHOR_SIZE * 4 * 2
        case "ood_features":
            return ASSUMED.items(spec.inputs["features"]) * ANCHOR_SIZE * 4 * 2
        case "gallery" | "figures":
            return LARGE_BYTES
    return 0


def _read(spec: Spec) -> tuple[Spec, ...]:
    """Return the data sets whose pictures a job reads."""
    return spec.inputs.get("datasets") or (spec.inputs["dataset"],)


def _threads(spec: Spec) -> int:
    """Return as many threads as keep up with reading the data."""
    match spec.stage:
        case "dataset":
            pixels = ASSUMED.pixels(spec)
        case "encoder" | "detector":
            pixels = ASSUMED.pixels(spec.inputs["dataset"])
        case "features" | "outputs" | "epochs":
            pixels = sum(map(ASSUMED.pixels, _read(spec)))
        case "scores" if "training" in spec.inputs:
            pixels = ASSUMED.pixels(spec.inputs["training"].inputs["datasets"][0])
        case _:
            pixels = 0
    return THREADS if pixels > LARGE_BYTES else 1


def resources_of(spec: Spec) -> Resources:
    """Return what the job that makes an artifact may use."""
    stage, settings, threads = STAGES[spec.stage], spec.settings, _threads(spec)
    memory, minutes = stage.mem_mb, float(stage.minutes)
    match spec.stage:
        case "dataset":
            minutes = max(minutes, SAFETY * ASSUMED.items(spec) / PICTURES_PER_MINUTE / threads)
        case "generator" if settings["source"] == "hub":
            memory = 16_000
        case "scores" if "training" in spec.inputs:
            minutes *= 2
        case "distances" | "ood_features":
            minutes = max(minutes, ASSUMED.items(spec.inputs["features"]) / ROWS_PER_MINUTE)
        case "images" | "trajectory" | "strips" if settings["resolution"]:
            memory = 16_000 if settings["dtype"] != "float32" else 24_000
        case "pixel_statistics":
            pixels = sum(map(ASSUMED.pixels, spec.inputs["datasets"]))
            minutes = max(minutes, pixels / PIXEL_BYTES_PER_MINUTE)
    hours = hours_of(spec, ASSUMED.operations(spec), SLOWEST) or 0.0
    memory = min(memory + ceil(2.5 * _held(spec) / 2**20), LARGEST_MB)
    return Resources(memory, ceil(max(minutes, SAFETY * 60 * hours)), threads)
