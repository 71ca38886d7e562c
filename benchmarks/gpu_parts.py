"""One part of gpu.py: prints its figures, a line of JSON each, as they come.

    PYTHONPATH=. python benchmarks/gpu_parts.py encoder --tiny

Parts run our stages' own code at full size, in `--tiny` at a size for a CPU. Each way of running
(plain, blocks, whole, graphs) is forced in turn; what `run.compile: auto` would take of them is the
best of those that were timed. Packages that our modules only name in annotations or need for files
(jaxtyping, zarr, psutil, rich) get stand-ins where they are missing.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path

STAND_INS = ("jaxtyping", "psutil", "rich", "rich.progress", "zarr")
missing: list[str] = []  # of them, in this process
BATCH, STEPS = 64, 50  # of Stable Diffusion v1.4's shapes: PNDM, guidance 7.5, 512 pixels, fp16
EPOCHS = 200
BACKWARD = 3  # operations of a step, in forward passes


class _Anything:
    """What a stand-in's names are: a type of any parameters."""

    def __class_getitem__(cls, _item: object) -> type:
        return object


def stand_in() -> None:
    """Put stand-ins for missing packages in place, and their names into `missing`."""
    missing[:] = [n for n in STAND_INS if importlib.util.find_spec(n.split(".")[0]) is None]
    for name in missing:
        module = types.ModuleType(name)
        module.__getattr__ = lambda _name: _Anything
        sys.modules[name] = module
    return missing


def say(**figures: object) -> None:
    """Print figures at once."""
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
    print(json.dumps(rounded), flush=True)


def wait(device: str) -> None:
    """Wait for the device."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def force(way: str) -> None:
    """Let every Pace of this process take one way from the first step."""
    from bood_tasks.jobs import compiling

    compiling.choose = lambda *_args, **_more: compiling.Choice(way, f"{way}: forced")


def timed(work: Callable[[], object], device: str, *, repeats: int = 1) -> float:
    """Return the seconds of a call, after one that warms up."""
    work()
    wait(device)
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    wait(device)
    return (time.perf_counter() - began) / repeats


# --- the parts ---


def device(tiny: bool, on: str) -> None:
    """The device's name and its bf16 rate: a product of two square matrices."""
    import platform

    import torch

    name = torch.cuda.get_device_name() if on == "cuda" else "cpu"
    say(device=name, torch=torch.__version__, python=platform.python_version())
    say(bf16_tflops=bf16_rate(64 if tiny else 8192, on) / 1e12)


def bf16_rate(size: int, on: str) -> float:
    """Return the operations a second of a product of two square bf16 matrices."""
    import torch

    a, b = (torch.randn(size, size, device=on, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / timed(lambda: a @ b, on, repeats=20)


def bench_of(tiny: bool, on: str):
    """Return the generator that is timed, and the batch's size."""
    import generation

    pipe = generation.load(on, sd14=not tiny)
    return generation.Bench(pipe, saved_size=None if tiny else 256), 2 if tiny else BATCH


def generation_(tiny: bool, on: str) -> None:
    """Decoding: the first batch, then images a second of each way; the best is the figure."""
    from bood_tasks.networks.compiled import run_as, uncompile

    began = time.perf_counter()
    bench, size = bench_of(tiny, on)
    steps = 4 if tiny else STEPS
    say(loading_seconds=time.perf_counter() - began)
    say(first_batch_seconds=bench.seconds(size, steps))
    best = size / bench.batch_seconds(size, steps, warm=False)
    say(plain_images_per_second=best, images_per_second=best)
    for way in () if tiny else ("blocks", "whole"):
        run_as(way, bench.generator.networks)
        say(**{f"{way}_compiling_seconds": bench.seconds(size, 1)})
        own = size / bench.batch_seconds(size, steps, warm=False)
        best = max(best, own)
        say(**{f"{way}_images_per_second": own}, images_per_second=best)
        for network in bench.generator.networks:
            uncompile(network)
    flops = bench.generator.flops(resolution=None, scheduler="pndm", steps=steps, guidance=7.5)
    say(tflops=best * flops / 1e12)


def variants(tiny: bool, on: str) -> None:
    """What could make decoding faster: images a second of each, nothing compiled."""
    import generation

    bench, size = bench_of(tiny, on)
    for found in generation.variants(bench, size=size, steps=4 if tiny else STEPS):
        say(**{found["variant"]: found.get("images_per_second", found.get("error"))})


def _training(tiny: bool, on: str, *, ood: bool, ways: tuple[str, ...]) -> None:
    import training

    from bood_tasks.training.recipe import Recipe

    rows, width, depth = (64, 4, 18) if tiny else (50_000, 64, 34)
    images, labels = training.pictures(rows, training.CLASSES)
    recipe = Recipe(
        epochs=1, batch_size=16 if tiny else 256, lr=0.1, weight_decay=5e-4, crop_padding=4,
        flip=True, clip_norm=1.0, precision="bf16" if on == "cuda" else "fp32",
    )  # fmt: skip
    shape = {"depth": depth, "width": width, "stem": "cifar"}
    best = float("inf")
    for way in ways:
        force(way)
        few = 10 * recipe.batch_size
        bench = training.Ours(shape, recipe, on, ood=ood)
        first = bench.seconds(images[:few], labels[:few])
        if way == "plain":
            say(first_step_seconds=first)  # ten of them, more than the first
        bench.seconds(images[:few], labels[:few])
        epoch = bench.seconds(images, labels)
        minutes = (first + EPOCHS * epoch) / 60
        best = min(best, minutes)
        say(**{f"{way}_start_seconds": first, f"{way}_epoch_seconds": epoch},
            minutes_of_200_epochs=best)  # fmt: skip


def encoder(tiny: bool, on: str) -> None:
    """ResNet-34, 50,000 pictures of 32 pixels: an epoch, extrapolated to 200 with its start."""
    _training(tiny, on, ood=False, ways=("plain",) if tiny else ("plain", "blocks", "whole"))


def detector(tiny: bool, on: str) -> None:
    """The same with as many OOD rows and equation 7's loss."""
    _training(tiny, on, ood=True, ways=("plain",) if tiny else ("plain", "blocks"))


def resnet34_224(tiny: bool, on: str) -> None:
    """A training step of ImageNet's ResNet-34: its operations as a share of the bf16 rate."""
    import torch
    import torch.nn.functional as F

    from bood_tasks.networks.compiled import compile_blocks
    from bood_tasks.networks.flops import resnet_flops
    from bood_tasks.networks.resnet import ResNet

    torch.backends.cudnn.benchmark = True
    side, rows, width = (32, 2, 4) if tiny else (224, 256, 64)
    shape = {"depth": 18 if tiny else 34, "width": width, "stem": "imagenet"}
    net = ResNet(**shape, outputs=100).to(on, memory_format=torch.channels_last)
    x = torch.randn(rows, 3, side, side, device=on).contiguous(memory_format=torch.channels_last)
    y = torch.zeros(rows, dtype=torch.long, device=on)
    optimiser = torch.optim.SGD(
        net.parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=on == "cuda" or None
    )

    def step() -> None:
        with torch.autocast(on, torch.bfloat16):
            loss = F.cross_entropy(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    rate = bf16_rate(64 if tiny else 8192, on)
    flops = BACKWARD * rows * resnet_flops(**shape, outputs=100, size=side)
    best = 0.0
    for way in ("plain",) if tiny else ("plain", "blocks"):
        if way == "blocks":
            compile_blocks(net)
        seconds = timed(step, on, repeats=1 if tiny else 10)
        best = max(best, flops / seconds / rate)
        say(**{f"{way}_images_per_second": rows / seconds}, share_of_bf16_rate=best)


def demo(tiny: bool, on: str) -> None:
    """A shard of 200 pictures of the shipped generator: plainly, as graphs, with its blocks
    compiled; from nothing, as a job does it."""
    import generation
    import numpy as np

    from bood_tasks.networks.compiled import run_as

    count, size, steps = (4, 2, 2) if tiny else (200, 50, 20)
    for way in ("plain",) if tiny or on == "cpu" else ("plain", "graphs", "blocks"):
        bench = generation.Bench(generation.load(on, sd14=False), saved_size=None)
        bench.decode(np.arange(size), 1)
        began = time.perf_counter()
        if way != "plain":
            run_as(way, bench.generator.networks)
        for start in range(0, count, size):
            bench.decode(np.arange(start, start + size), steps).cpu()
        seconds = time.perf_counter() - began
        if way == "plain":
            say(seconds_of_200_pictures=seconds)
        say(**{f"{way}_seconds": seconds})


def gan(tiny: bool, on: str) -> None:
    """50,000 pictures of a BigGAN of 32 pixels, drawn and written as the stage does it."""
    import numpy as np
    import torch

    from bood_tasks.generators.biggan.biggan import Generator, Shape
    from bood_tasks.generators.pixels import to_uint8
    from bood_tasks.synthesis.shards import Batches, BlockWriter, item_noise

    count, size, channels = (8, 4, 4) if tiny else (50_000, 512, 64)
    shape = Shape(resolution=32, channels=channels, latent=128, classes=10)
    generator = Generator(shape).to(on, torch.float16 if on == "cuda" else torch.float32).eval()
    dtype = next(generator.parameters()).dtype

    @torch.inference_mode()
    def draw(rows: np.ndarray):
        z = item_noise([shape.latent], 0, "gan_images", rows.tolist()).to(on, dtype)
        made = generator(z, torch.from_numpy(rows % shape.classes).to(on))
        return to_uint8(made.float(), None, "bilinear")

    batches = Batches(draw, size, pad=True)
    list(batches(0, size))
    wait(on)
    began = time.perf_counter()
    for part in batches(0, count):
        part.cpu()
    drawn = time.perf_counter() - began
    say(drawn_seconds_of_50000=drawn * 50_000 / count)
    if "zarr" in missing:
        say(unwritten="zarr is missing: pictures were drawn and not written")
        return
    import zarr

    with tempfile.TemporaryDirectory() as folder:
        array = zarr.create_array(
            Path(folder) / "x", shape=(count, 32, 32, 3), chunks=(1, 32, 32, 3),
            shards=(min(500, count), 32, 32, 3), dtype="uint8",
        )  # fmt: skip
        began = time.perf_counter()
        with BlockWriter(array, (lambda file: None), min(500, count), 0) as writer:
            for part in batches(0, count):
                writer.put(part)
        say(seconds_of_50000_pictures=(time.perf_counter() - began) * 50_000 / count)


def scores(tiny: bool, on: str) -> None:
    """Fit to 50,000 training outputs of 512 channels, and score as many; seconds of each."""
    import torch

    from bood_tasks.scoring.posthoc.base import Outputs
    from bood_tasks.scoring.posthoc.table import score_named

    rows, width = (300, 16) if tiny else (50_000, 512)
    random = torch.Generator().manual_seed(0)
    features = torch.randn(rows, width, generator=random).relu().to(on)
    head = torch.nn.Linear(width, 10).to(on).requires_grad_(False)
    outputs = Outputs(
        features, head(features), labels=torch.arange(rows, device=on) % 10, head=head
    )
    for name, settings in {
        "knn": {"neighbours": 50}, "mahalanobis": {}, "vim": {"dimension": None}
    }.items():  # fmt: skip
        score = score_named(name)
        state = score.fit(outputs, **settings)
        fit = timed(lambda score=score, own=settings: score.fit(outputs, **own), on)
        said = timed(lambda score=score, state=state: score.score(outputs, state), on)
        say(**{f"{name}_fit_seconds": fit, f"{name}_score_seconds": said})


def distances(tiny: bool, on: str) -> None:
    """Steps to the boundary of 50,000 x 768 features, and of the nearest 5 % alone."""
    import distances as script

    from bood_tasks.synthesis.pruning import nearest_steps
    from bood_tasks.synthesis.stepping import Stepping, count_steps

    rows, dim, classes = (64, 32, 4) if tiny else (50_000, 768, 100)
    features, labels, anchors = (
        item.to(on) for item in script.make_features(rows, dim, classes, 20.0)
    )
    stepping = Stepping(0.015, 100, 0.1, "raw")
    nearest = {"rate": 0.05, "scope": "per_class", "misclassified": "drop"}
    say(seconds=timed(lambda: count_steps(features, labels, anchors, stepping), on))
    pruned = timed(lambda: nearest_steps(features, labels, anchors, stepping, **nearest), on)
    say(nearest_seconds=pruned)


def samplers(tiny: bool, on: str) -> None:
    """Images a second of each sampler at its usual steps, nothing compiled."""
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

    bench, size = bench_of(tiny, on)
    stored = bench.pipe.scheduler.config
    for name, kind, steps in (
        ("unipc_20", UniPCMultistepScheduler, 20),
        ("dpmsolver++_20", DPMSolverMultistepScheduler, 20),
        ("ddim_50", DDIMScheduler, 50),
    ):
        bench.pipe.scheduler = kind.from_config(stored)
        say(**{f"{name}_images_per_second": size / bench.batch_seconds(size, steps)})


PARTS: dict[str, tuple[Callable[[bool, str], None], tuple[str, ...]]] = {  # and what each needs
    "device": (device, ()),
    "generation": (generation_, ("diffusers", "transformers")),
    "encoder": (encoder, ()),
    "detector": (detector, ()),
    "resnet34_224": (resnet34_224, ()),
    "variants": (variants, ("diffusers", "transformers")),
    "demo": (demo, ("diffusers", "transformers")),
    "gan": (gan, ()),
    "scores": (scores, ("sklearn",)),
    "distances": (distances, ()),
    "samplers": (samplers, ("diffusers", "transformers")),
}


def run(name: str, *, tiny: bool, on: str) -> None:
    """Run a part, or say what it lacks."""
    part, needs = PARTS[name]
    lacking = [package for package in needs if importlib.util.find_spec(package) is None]
    if lacking:
        say(skipped=f"needs {', '.join(lacking)}")
        return
    part(tiny, on)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--tiny", action="store_true", help="in seconds, on the CPU")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    stand_in()
    if missing and options.part == "device":
        say(stand_ins=", ".join(missing))
    import torch

    on = "cuda" if torch.cuda.is_available() and not options.tiny else "cpu"
    run(options.part, tiny=options.tiny, on=on)


if __name__ == "__main__":
    main()
