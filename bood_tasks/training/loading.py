"""Where training's pictures lie, and how its batches reach the device.

On the device if they fit, else in the host's memory, else they stay in their zarr array and worker
processes read each batch ahead of time. The rows of a batch are the same in every case.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.augmentations import resizes_parts
from bood_tasks.jobs.environment import run_setting
from bood_tasks.networks.padding import PAD
from bood_tasks.training.augmentation import Aspects, Pixels, to_device

if TYPE_CHECKING:
    import zarr

SHARE_OF_MEMORY = 0.5  # of what is free; the rest is for weights and activations
ROWS_AT_ONCE = 2000
BATCHES_AHEAD = 3
T, U = TypeVar("T"), TypeVar("U")


def to_pixels(images: np.ndarray, device: torch.device | str) -> Pixels:
    """Return [n, 3, h, w] uint8 on the device from [n, h, w, 3]."""
    return to_device(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))), device)


def in_one(parts: Sequence[Tensor]) -> Tensor:
    """Return texts [n, l] of several sources, padded behind, as one batch."""
    width = max(rows.shape[1] for rows in parts)
    return torch.cat([F.pad(rows, (0, width - rows.shape[1]), value=PAD) for rows in parts])


def on_device(rows: np.ndarray, device: torch.device | str) -> Tensor:
    """Return pictures as to_pixels does, and tokens [n, l] as they are."""
    return to_device(torch.from_numpy(rows), device) if rows.ndim == 2 else to_pixels(rows, device)


def samples_of(artifact: Artifact, split: str = "") -> "zarr.Array":
    """Return a split's pictures or tokens, or those of an artifact that has no splits."""
    prefix = f"{split}/" if split else ""
    return artifact[f"{prefix}images" if f"{prefix}images" in artifact else f"{prefix}tokens"]


def require_labels(labels: np.ndarray, classes: int, origin: str) -> None:
    """Raise ValueError, naming where they are from, for labels that are none of the classes."""
    if bad := sorted({int(x) for x in labels} - set(range(classes))):
        raise ValueError(
            f"training labels must be 0 to {classes - 1}, got {bad[0]} in {origin}; make it again: "
            "remove that folder"
        )


def training_rows(data: Artifact, augment: str) -> "tuple[zarr.Array, Aspects | None]":
    """Return the pictures, or tokens [n, l], that an augmentation takes its crops of.

    Where the augmentation resizes parts and the data set has its training pictures whole: these,
    squashed [n, s, s, 3], and their aspect ratios.
    """
    if resizes_parts(augment) and "train/whole" in data:
        return data["train/whole"], torch.from_numpy(data["train/aspect"][:])
    return samples_of(data, "train"), None


def ahead(make: Callable[[T], U], orders: Iterable[T]) -> Iterator[U]:
    """Yield make(order) of each order; a thread makes the next BATCHES_AHEAD meanwhile."""
    coming: deque[Future[U]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for order in orders:
            coming.append(thread.submit(make, order))
            if len(coming) > BATCHES_AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


class InMemory:
    """Pictures, or tokens [n, l], in memory, the device's or the host's."""

    def __init__(self, images: Pixels | Tensor):
        self.images = images
        # Of each text, on the host: how wide a batch must be is not asked of the device.
        self.lengths = (images != PAD).sum(1).cpu().numpy() if images.ndim == 2 else None

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, orders: Iterable[np.ndarray], device: torch.device) -> Iterator[Pixels]:
        """Yield the pictures of each order's rows, on the device; texts as wide as the longest."""
        if self.images.device.type == "cpu" != torch.device(device).type:
            for images in ahead(self._gathered, orders):
                yield images.to(device, non_blocking=True)
            return
        for rows in orders:
            index = to_device(torch.from_numpy(rows), self.images.device)
            width = None if self.lengths is None else int(self.lengths[rows].max(initial=0))
            images = self.images if width is None else self.images[:, :width]
            yield to_device(images[index], device)

    def _gathered(self, rows: np.ndarray) -> Pixels:
        """Return rows of the host's pictures where a GPU reads them without the host."""
        images = self.images[torch.from_numpy(rows)]
        return images.pin_memory() if torch.cuda.is_available() else images


class _Rows:
    """Reads one batch: the rows of a zarr array, in the order asked for."""

    def __init__(self, images: "zarr.Array"):
        self.images = images

    def __getitem__(self, rows: np.ndarray) -> UInt8[Tensor, "b 3 h w"]:
        if len(rows) == 0:  # a shuffled batch may lack a source
            return torch.empty(0, self.images.shape[3], *self.images.shape[1:3], dtype=torch.uint8)
        order = np.argsort(rows)  # zarr reads rising rows, each chunk once
        found = np.empty((len(rows), *self.images.shape[1:]), np.uint8)
        found[order] = self.images.oindex[rows[order]]
        return torch.from_numpy(np.ascontiguousarray(found.transpose(0, 3, 1, 2)))


class FromDisk:
    """Pictures in a zarr array that is larger than memory; batches keep their order."""

    def __init__(self, images: "zarr.Array"):
        self.images = images

    def __len__(self) -> int:
        return self.images.shape[0]

    def batches(self, orders: Iterable[np.ndarray], device: torch.device) -> Iterator[Pixels]:
        """Yield the pictures of each order's rows, read ahead by worker processes."""
        from torch.utils.data import DataLoader  # a tenth of torch's own import time

        loader = DataLoader(
            _Rows(self.images),
            sampler=orders,
            batch_size=None,
            num_workers=min(run_setting("workers"), os.cpu_count() or 1),
            multiprocessing_context="forkserver",  # zarr's threads do not survive a fork
            pin_memory=torch.device(device).type == "cuda",
        )
        for images in loader:
            yield to_device(images, device)


def _left_in_cgroup() -> float:
    """Return what a batch system's limit (cgroup v2) leaves this process; infinity without one."""
    try:
        group = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
        folder = Path("/sys/fs/cgroup", group)
        limit, used = ((folder / f"memory.{name}").read_text() for name in ("max", "current"))
        return float(limit) - float(used)
    except (OSError, ValueError):  # "max", or another kind of cgroup
        return math.inf


def free_bytes(device: torch.device | str) -> int:
    """Return how much memory a device, or the host, has left."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(min(psutil.virtual_memory().available, _left_in_cgroup()))


def load_where_it_fits(
    images: "np.ndarray | zarr.Array", device: torch.device | str
) -> InMemory | FromDisk:
    """Return pictures [n, h, w, 3] where they fit: on the device, on the host, or left in zarr.

    Tokens [n, l] are small: always on the device.
    """
    if images.ndim == 2:
        return InMemory(on_device(images[:], device))
    size = int(np.prod(images.shape))
    for home in dict.fromkeys((str(device), "cpu")):
        if size > SHARE_OF_MEMORY * free_bytes(home):
            continue
        if isinstance(images, np.ndarray):
            return InMemory(to_pixels(images, home))
        shape = (images.shape[0], images.shape[3], *images.shape[1:3])
        held = torch.empty(shape, dtype=torch.uint8, device=home)
        for start in range(0, len(held), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            held[part] = to_pixels(images[part], home)
        return InMemory(held)
    if isinstance(images, np.ndarray):  # it is in memory already
        return InMemory(torch.from_numpy(images).permute(0, 3, 1, 2))
    return FromDisk(images)
