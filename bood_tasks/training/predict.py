"""A network's outputs on many samples."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bood_tasks.jobs.environment import out_of_memory
from bood_tasks.networks.pixels import to_input
from bood_tasks.training.augmentation import centre_crop
from bood_tasks.training.loading import on_device

if TYPE_CHECKING:
    import zarr

ROWS_READ_AHEAD = 2000


def are_tokens(x: "np.ndarray | zarr.Array | Tensor") -> bool:
    """Whether rows are tokens [n, l], not pictures of four dimensions."""
    return x.ndim == 2


def as_input(x: Tensor) -> Tensor:
    """Return network input from pixels [b, 3, h, w], or token numbers from tokens [b, l]."""
    return x.long() if are_tokens(x) else to_input(x)


@torch.inference_mode()
def predict(
    function: Callable[[Tensor], Tensor],
    images: "np.ndarray | zarr.Array",
    *,
    batch_size: int,
    device: str,
    crop: int | None = None,
) -> Tensor:
    """Return function(network input) for every image [n, h, w, 3], or text [n, l], on the CPU,
    float32.

    The next pictures are read while the device works. A batch that the GPU cannot hold is halved.
    """
    starts = range(0, images.shape[0], ROWS_READ_AHEAD)
    parts = []
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(lambda: images[0:ROWS_READ_AHEAD])
        for start in starts:
            block = coming.result()
            following = slice(start + ROWS_READ_AHEAD, start + 2 * ROWS_READ_AHEAD)
            coming = reader.submit(images.__getitem__, following)
            row = 0
            while row < len(block):
                try:
                    rows = on_device(block[row : row + batch_size], device)
                    rows = rows if are_tokens(rows) else centre_crop(rows, crop)
                    parts.append(function(as_input(rows)).float())
                    row += batch_size
                except RuntimeError as error:
                    if not out_of_memory(error):
                        raise
                    if batch_size == 1:
                        raise ValueError(
                            "the network must fit into the GPU's memory with one picture, and "
                            "does not; free the GPU or lower its width"
                        ) from error
                    batch_size //= 2
    return torch.cat(parts).cpu()
