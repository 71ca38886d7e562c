"""What shards of pictures and of texts share: each item's own noise, batches that fit the device,
blocks written while the next are made, and outliers.json."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import zarr
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from bood_tasks.artifacts.locks import try_hold
from bood_tasks.artifacts.manifest import MANIFEST_COPY, write_json
from bood_tasks.artifacts.store import Draft, block_file
from bood_tasks.jobs import seeds
from bood_tasks.jobs.environment import out_of_memory, run_setting
from bood_tasks.jobs.job import Job
from bood_tasks.jobs.progress import progress
from bood_tasks.networks.compiled import run_as
from bood_tasks.training.pace import pace_of

BATCH_ON_CPU, LARGEST_BATCH = 50, 64  # beyond, neither gets faster
PROBES = (2, 4)  # images of two small batches whose memory tells that of one more
SHARE_OF_MEMORY = 0.85
BLOCKS_WAITING = 4  # batches that may wait for the disk, in the host's memory
FACTS = "outliers.json"  # what all items of an outlier shard have in common
Rows = Shaped[Tensor, "b ..."]


def item_streams(seed: int, stage: str, *items: Sequence[int | str]) -> list[torch.Generator]:
    """Return each item's own stream of random numbers, on the CPU.

    `items`: columns that name the items, e.g. classes and numbers.
    """
    return [
        torch.Generator().manual_seed(seeds.stream(seed, stage, *item))
        for item in zip(*items, strict=True)
    ]


def noise_of(streams: Sequence[torch.Generator], shape: Sequence[int]) -> Float[Tensor, "b ..."]:
    """Return standard-normal noise of a shape per item, each from its own stream, on the CPU."""
    return torch.stack([torch.randn(*shape, generator=stream) for stream in streams])


def item_noise(
    shape: Sequence[int], seed: int, stage: str, *items: Sequence[int | str]
) -> Float[Tensor, "b ..."]:
    """Return the first noise of each item's stream."""
    return noise_of(item_streams(seed, stage, *items), shape)


def fitting_batch(
    decode: Callable[[int], object], device: torch.device, *, largest: int = LARGEST_BATCH
) -> int:
    """Return how many images one batch may hold: as many as the device's memory allows.

    `decode(n)` decodes n images in as few steps as possible; the memory of two small batches is
    extrapolated. Multiples of 8 from 8 on, at most `largest`.
    """
    if device.type != "cuda":
        return BATCH_ON_CPU
    peaks = []
    for images in PROBES:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        decode(images)
        torch.cuda.synchronize(device)
        peaks.append(torch.cuda.max_memory_allocated(device))
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return batch_within(free, *peaks, largest=largest)


def batch_within(
    free: int, first_peak: int, second_peak: int, *, largest: int = LARGEST_BATCH
) -> int:
    """Return the largest batch whose memory, linear in its images, stays below the share.

    The peaks are those of PROBES images.

    >>> batch_within(100, 20, 30), batch_within(1000, 20, 30), batch_within(15, 20, 30)
    (8, 64, 1)
    """
    each = max(1, (second_peak - first_peak) / (PROBES[1] - PROBES[0]))
    base = first_peak - PROBES[0] * each
    fits = int((SHARE_OF_MEMORY * free - base) // each)
    return max(1, min(largest, fits // 8 * 8 if fits >= 8 else fits))


class Batches:
    """Makes rows start..stop in batches that fit: halved, not failed, when memory runs out.

    `decode(rows)` returns the pictures or texts of those rows, on any device. With `pad` every
    batch has the full size (a compiled network knows one shape): the last row is made again and
    dropped. `speed` may change how the networks run, once, after a batch; every batch has the full
    size from then on.
    """

    def __init__(
        self,
        decode: Callable[[np.ndarray], Rows],
        size: int,
        *,
        pad: bool,
        speed: "Speed | None" = None,
    ):
        self.decode, self.size, self.halvings = decode, size, 0
        self.always_padded, self.speed = pad, speed

    @property
    def pad(self) -> bool:
        return self.always_padded or (self.speed is not None and self.speed.fixed)

    def __call__(self, start: int, stop: int) -> Iterator[Rows]:
        """Yield the rows in order. Raises ValueError if not even one fits."""
        while start < stop:
            wanted = min(self.size, stop - start)
            numbers = np.arange(start, start + wanted)
            began = time.perf_counter()
            if self.pad:
                numbers = np.minimum(np.arange(start, start + self.size), stop - 1)
            try:
                made = self.decode(numbers)[:wanted]
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                if self.size == 1:
                    raise ValueError(
                        "run.image_batch: not even one image fits into the GPU's memory; set "
                        "run.attention: sliced and run.vae_slicing: true, images.dtype: float16, "
                        "a smaller images.resolution, or free the GPU"
                    ) from error
                made = None
            if made is None:  # outside: the error's frames hold the memory that is wanted
                self.size, self.halvings = self.size // 2, self.halvings + 1
                torch.cuda.empty_cache()
                continue
            start += wanted
            if self.speed is not None:
                self.speed.passed(began, rows=stop - start, size=self.size)
            yield made


class Speed:
    """How a job's networks run: plainly at first, then as the time of the first batches says.

    A batch is `each` evaluations. `later`: rows of the shards that follow in the job.
    """

    def __init__(self, label: str, networks: Sequence[nn.Module], *, each: int, of: object):
        self.networks, self.each, self.later = networks, each, 0
        self.device = next(networks[0].parameters()).device
        asked = run_setting("image_batch")
        self.pace = pace_of(label, "inference", networks, self.device, of, asked)

    @property
    def fixed(self) -> bool:
        """Whether the networks run for one shape of batches."""
        return self.pace.way != "plain"

    def _left(self, rows: int, size: int) -> int:
        return self.each * -(-(rows + self.later) // size)

    def begin(self, *, rows: int, size: int) -> None:
        """Change at once where the costs are known from an earlier job, or run.compile says so."""
        if not self.pace.decided and self.pace.begin(self._left(rows, size)):
            run_as(self.pace.way, self.networks)

    def passed(self, began: float, *, rows: int, size: int) -> None:
        """Take a batch's time; `rows` are left in the shard."""
        if not self.pace.timing:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = time.perf_counter() - began
        if self.pace.lap(self.each, seconds, left=self._left(rows, size)):
            run_as(self.pace.way, self.networks)


def missing_rows(draft: Draft, array: zarr.Array, block: int) -> list[tuple[int, int]]:
    """Return the ranges of rows, whole blocks, that no earlier try of this artifact has kept."""
    count, found = array.shape[0], []
    for start in range(0, count, block):
        if not draft.keeps(block_file(array, start // block)):
            first = found.pop()[0] if found and found[-1][1] == start else start
            found.append((first, min(start + block, count)))
    return found


class BlockWriter:
    """Writes rows, from row `done` on, to a zarr array in whole blocks, by a thread.

    `keep` hears of the file of each block that is written. Leaving the context waits for the last
    block; an error of the disk comes up at the next `put`, and what was kept stays.
    """

    def __init__(self, array: zarr.Array, keep: Callable[[Path], object], block: int, done: int):
        self.array, self.keep, self.block, self.done = array, keep, block, done
        self.waiting: list[np.ndarray] = []
        self.pool = ThreadPoolExecutor(1)
        self.futures: deque[Future] = deque()

    def __enter__(self) -> "BlockWriter":
        return self

    def __exit__(self, kind: type | None, *_rest: object) -> None:
        try:
            while self.futures and kind is None:
                self.futures.popleft().result()
            if kind is None:
                self._write(last=True)
        finally:
            self.pool.shutdown()

    def put(self, rows: Rows) -> None:
        """Take a batch; returns at once unless the disk is far behind."""
        wait = None
        if rows.device.type == "cuda":  # the copy waits for the device, this thread does not
            host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            rows = host.copy_(rows, non_blocking=True)
            ready = torch.cuda.Event()
            ready.record()
            wait = ready.synchronize
        else:
            rows = rows.cpu()
        self.futures.append(self.pool.submit(self._add, rows, wait))
        while self.futures and (len(self.futures) > BLOCKS_WAITING or self.futures[0].done()):
            self.futures.popleft().result()

    def _add(self, rows: Rows, wait: Callable[[], object] | None) -> None:
        if wait is not None:
            wait()
        self.waiting.append(rows.numpy())
        self._write(last=False)

    def _write(self, *, last: bool) -> None:
        """Write the whole blocks that wait; at the end also what is left."""
        if not self.waiting:
            return
        rows = np.concatenate(self.waiting)
        ready = len(rows) if last else len(rows) // self.block * self.block
        for start in range(0, ready, self.block):
            part = rows[start : min(start + self.block, ready)]
            self.array[self.done : self.done + len(part)] = part
            self.keep(block_file(self.array, self.done // self.block))
            self.done += len(part)
        self.waiting = [rows[ready:]] if ready < len(rows) else []


def each_shard(job: Job, make: Callable[[Job], None]) -> None:
    """Make a job's shard, then those that follow in its pack and that nobody has made or makes.

    Raises ValueError for a shard without items.
    """
    for shard in (job, *job.then):
        start, stop = shard.settings["start"], shard.settings["stop"]
        if not 0 <= start < stop:
            raise ValueError(f"a shard must cover at least one item, got {start}..{stop}")
    make(job)
    for further in job.then:
        with try_hold(further.out.parent) as free:
            if free and not further.out.with_name(MANIFEST_COPY).is_file():
                make(further)


def rows_after(job: Job) -> int:
    """Return how many items of each class, or at all, the shards after a job's own have."""
    return sum(item.settings["stop"] - item.settings["start"] for item in job.then)


def write_blocks(
    draft: Draft,
    array: zarr.Array,
    parts: Callable[[int, int], Iterator[Rows]],
    *,
    block: int,
    stage: str,
    unit: str,
) -> tuple[float, int]:
    """Fill an artifact's array with parts(start, stop), but for the blocks that were kept.

    `parts` may go on beyond `stop`.
    A killed job loses `block` rows at most. Returns the rows a second and how many were there.
    """
    gaps, began = missing_rows(draft, array, block), time.monotonic()
    count = array.shape[0]
    done = count - sum(stop - start for start, stop in gaps)
    with progress(stage, count, unit, done=done) as advance:
        for start, stop in gaps:
            with BlockWriter(array, draft.keep, block, start) as writer:
                for part in parts(start, stop):
                    writer.put(part := part[: stop - start])
                    advance(len(part))
                    start += len(part)
                    if start == stop:
                        break
    return (count - done) / max(time.monotonic() - began, 1e-9), done


def write_pictures(
    draft: Draft, batches: Batches, *, count: int, side: int, block: int, stage: str
) -> dict[str, float]:
    """Write the artifact's `images` [count, side, side, 3]; return what run.json tells of it."""
    block = min(block, count)
    images = draft.array("images", (count, side, side, 3), "uint8", chunk=1, shard=block)
    rate, resumed_at = write_blocks(draft, images, batches, block=block, stage=stage, unit="images")
    return {
        "images_per_second": round(rate, 2),
        "batch": batches.size,
        "halvings": batches.halvings,
        "resumed_at": resumed_at,
    }


def describe_outliers(
    draft: Draft,
    kind: str,
    settings: Mapping,
    parameters: Sequence[str],
    classes: list[str] | None,
    **more: object,
) -> None:
    """Write outliers.json: the kind, the seed, the classes, and those settings that made them."""
    chosen = {name: settings[name] for name in parameters}
    facts = {"source": kind, "seed": settings["seed"], "classes": classes, "parameters": chosen}
    write_json(draft.folder / FACTS, facts | more)
