"""What a job asks of its machine: memory, minutes, threads. Read for every job of every parse.

Figures are limits, not estimates: about three times what the slowest supported device (A100)
should need, so that a job ends before its batch system ends it. The embedded default's jobs lie
far below all floors. A job that meets its limit goes on from its checkpoint in the next try.
"""

from dataclasses import dataclass
from math import ceil

from bood_tasks.artifacts.spec import Spec
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.catalogue.stages import STAGES
from bood_tasks.plan.sizes import bytes_of, pictures_of

PICTURES_PER_MINUTE = 1200  # a thread decodes and writes
TFLOPS = 20.0  # that a training step or a generation sustains, a third of an A100's
SD_TFLOP = 0.8  # one evaluation of Stable Diffusion v1's U-Net at 512 pixels
# Forward pass of one picture in GFLOP at width 64: CIFAR's stem at 32 pixels; ImageNet's at 224.
FORWARD = {18: (1.1, 3.6), 34: (2.3, 7.3), 50: (2.6, 8.2)}
LARGE_FORWARD = {"vit_b16": 35.0, "resnet101": 15.6}  # GFLOP of a picture of 224 pixels
WIDE_FORWARD = 0.0041  # of a WideResNet at 32 pixels, for one layer at a widening factor of 1
TEXT_FORWARD = 0.01  # of a text: a GRU of hundreds of units reads some tens of words
OUTPUT_BYTES = 4 * 4096  # of a picture at most: logits and features, float32
PICTURES_OF_DRAWINGS = {"trajectory": 20, "strips": 72}  # at most, with the usual settings
PASSES = 4  # of a picture moved along a gradient: one and its gradient, and another
LARGE_BYTES = 2**30  # from here on pictures are streamed or read by several threads
LARGEST_MB = 96_000
THREADS = 4


@dataclass(frozen=True)
class Needs:
    """MB of memory, minutes, threads; of the first try."""

    mem_mb: int = 2000
    runtime: int = 10
    threads: int = 1


def forward_tflop(network: Spec, dataset: Spec) -> float:
    """Return a classifier's forward pass over one picture."""
    settings = network.settings
    if dataset.stage == "tokens":
        return TEXT_FORWARD / 1000
    side = settings.get("crop") or dataset.settings["image"]["size"]
    name = settings.get("network", "resnet")
    if name in LARGE_FORWARD:
        return LARGE_FORWARD[name] * (side / 224) ** 2 / 1000
    if name == "wideresnet":
        each = WIDE_FORWARD * settings["depth"] * settings["width"] ** 2
        return each * (side / 32) ** 2 / 1000
    small, large = FORWARD[settings["depth"]]
    each = large * (side / 224) ** 2 if settings["stem"] == "imagenet" else small * (side / 32) ** 2
    each /= 4 if settings["stem"] == "strided" else 1
    return each * (settings["width"] / 64) ** 2 / 1000


def _threads(pixels: int) -> int:
    return THREADS if pixels > LARGE_BYTES else 1


def _images(spec: Spec) -> int:
    """Return how many pictures a shard holds, over all classes, or a drawing's stage decodes."""
    if spec.stage != "images":
        return PICTURES_OF_DRAWINGS[spec.stage]
    words = spec.settings.get("words")
    data = spec.inputs["anchors"].inputs["dataset"]
    entry = CATALOGUE.get(data.settings["kind"])
    classes = len(words) if words else entry.classes if entry else 10
    return (spec.settings["stop"] - spec.settings["start"]) * classes


def _outliers(spec: Spec) -> tuple[int, int]:
    """Return how many items, and bytes of them, an outlier artifact holds."""
    match spec.stage:
        case "images":
            size = spec.settings["saved_size"] or spec.settings["resolution"] or 32
            return _images(spec), _images(spec) * 3 * size**2
        case "gan_images" | "texts":
            count = spec.settings["stop"] - spec.settings["start"]
            each = 3 * (spec.settings.get("saved_size") or 32) ** 2
            return count, count * each
    return pictures_of(spec), bytes_of(spec)


def _training(spec: Spec) -> tuple[int, float, int]:
    """Return bytes of data held, TFLOP, and bytes of ID data."""
    data = spec.inputs["dataset"]
    inside = bytes_of(data)
    held, seen = inside, pictures_of(data)
    others = [_outliers(item) for item in spec.inputs.get("outliers", ())]
    held += sum(size for _, size in others)
    if others:
        mixed = spec.settings.get("mixing") == "shuffled"
        seen += sum(count for count, _ in others) if mixed else seen
    return held, 3 * seen * spec.settings["epochs"] * forward_tflop(spec, data), inside


def needs(spec: Spec) -> Needs:
    """Return what the job that makes an artifact may use."""
    stage = STAGES[spec.stage]
    memory, minutes = stage.mem_mb, stage.minutes
    settings, threads, held, tflop = spec.settings, 1, 0, 0.0
    match spec.stage:
        case "dataset":
            pixels = bytes_of(spec)
            held, threads = min(pixels, LARGE_BYTES), _threads(pixels)
            minutes = max(minutes, ceil(3 * pictures_of(spec) / PICTURES_PER_MINUTE / threads))
        case "generator" if settings["source"] == "hub":
            memory = 16_000
        case "encoder" | "detector":
            held, tflop, inside = _training(spec)
            threads = _threads(inside)
        case "features" | "outputs" | "epochs":
            network = spec.inputs["encoder" if spec.stage == "features" else "detector"]
            sets = spec.inputs.get("datasets") or (spec.inputs["dataset"],)
            pixels = sum(map(bytes_of, sets))
            held, threads = min(pixels, LARGE_BYTES), _threads(pixels)
            tflop = sum(pictures_of(item) * forward_tflop(network, item) for item in sets)
            if spec.stage == "epochs":
                tflop *= network.settings["epochs"]
        case "scores":
            held = OUTPUT_BYTES * max(map(pictures_of, spec.inputs["outputs"].inputs["datasets"]))
            if "training" in spec.inputs:
                data = spec.inputs["training"].inputs["datasets"][0]
                held += OUTPUT_BYTES * pictures_of(data)
                minutes, threads = 2 * minutes, _threads(bytes_of(data))
            passes = PASSES * len(settings.get("magnitudes", ()))  # forth and back
            network = spec.inputs.get("detector")
            for item in spec.inputs.get("datasets", ()):
                tflop += passes * pictures_of(item) * forward_tflop(network, item)
        case "distances" | "ood_features":
            data = spec.inputs["features"].inputs["dataset"]
            held = pictures_of(data) * 768 * 4 * 2
            minutes = max(minutes, ceil(pictures_of(data) / 1000))
        case "images" | "trajectory" | "strips" if settings["resolution"]:
            memory = 16_000 if settings["dtype"] != "float32" else 24_000
            guided = 2 if settings["guidance"] != 1 else 1
            each = SD_TFLOP * guided * (settings["steps"] + 1) * (settings["resolution"] / 512) ** 2
            slow = 1 if settings["dtype"] != "float32" else 4
            tflop = slow * each * _images(spec) / 3
        case "pixel_statistics":
            pixels = sum(map(bytes_of, spec.inputs["datasets"]))
            minutes = max(minutes, ceil(pixels / (20 * 2**20) / 60))  # 20 MiB a second
        case "gallery" | "figures":
            held = LARGE_BYTES
    memory = min(memory + ceil(2.5 * held / 2**20), LARGEST_MB)
    return Needs(memory, max(minutes, ceil(tflop / TFLOPS / 60)), threads)
