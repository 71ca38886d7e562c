"""How far statistics of the pixels alone tell a test set from ID (method: section 9).

A detector that does not beat the best of them may have learnt brightness, contrast or resampling.
They are of the pictures as a detector sees them: after they were resized.

Leaves pixel_statistics.json: for each OOD set the best statistic with its figures, how many of its
pictures are exact copies of ID ones, and, for ID as well, the median colourfulness.
"""

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from bood_tasks.jobs.job import read_job
from bood_tasks.scoring.controls import Pictures, fingerprints, picture_batches, write_controls

VERSION = 2
COLOUR = "colourfulness"
NEAR_ZERO = 12  # of 255: black as the eye sees it, though JPEG or resizing moved it (our choice)


def _of_batch(images: UInt8[ndarray, "n h w 3"]) -> dict[str, Float[ndarray, " n"]]:
    values = images / 255
    red, green, blue = np.moveaxis(values, -1, 0)
    sides = np.stack([red - green, (red + green) / 2 - blue])  # of Hasler and Suesstrunk
    spread = np.linalg.norm(sides.std((2, 3)), axis=0)
    across, down = np.abs(np.diff(values, axis=2)), np.abs(np.diff(values, axis=1))
    each = (1, 2, 3)
    return {
        "mean": values.mean(each),
        "std": values.std(each),
        "near-zero share": (images.max(-1) <= NEAR_ZERO).mean((1, 2)),
        COLOUR: spread + 0.3 * np.linalg.norm(sides.mean((2, 3)), axis=0),
        "total variation": (across.sum(each) + down.sum(each)) / values[0].size,
    }


def statistics(images: Pictures) -> dict[str, Float[ndarray, " n"]]:
    """Return five statistics of each picture x, its values in [0, 1].

    `mean` and `std` over pixels and channels; the share of pixels whose three channels are all
    at most NEAR_ZERO; colourfulness σ + 0.3 μ, the lengths of the standard deviations and of the
    means of R - G and (R + G) / 2 - B, 0 for grey (Hasler & Suesstrunk 2003); total variation
    Σ |∂x| over horizontal and vertical neighbours, divided by h w 3, so that it does not grow with
    the picture.
    """
    parts = [_of_batch(batch) for batch in picture_batches(images)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def main(argv: list[str] | None = None) -> None:
    write_controls(
        read_job(argv),
        lambda data, split: statistics(data[f"{split}/images"]),
        lambda data, split: fingerprints(data[f"{split}/images"]),
        typical=(COLOUR,),
    )
