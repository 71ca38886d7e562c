"""Contact sheets: pictures enlarged by whole factors and placed pixel for pixel, with labels."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from numpy import ndarray

from bood_tasks.plots import DPI

SMALLEST_TILE = 96
Images = UInt8[ndarray, "_ _ _ 3"]  # bands may differ in number and size


def _tile(image: UInt8[ndarray, "h w 3"], side: int) -> UInt8[ndarray, "side side 3"]:
    factor = max(1, side // max(image.shape[:2]))
    large = image.repeat(factor, 0).repeat(factor, 1)
    tile = np.full((side, side, 3), 255, np.uint8)
    top, left = ((side - size) // 2 for size in large.shape[:2])
    tile[top : top + large.shape[0], left : left + large.shape[1]] = large
    return tile


def mosaic(images: Images, *, columns: int, side: int, gap: int = 3) -> UInt8[ndarray, "h w 3"]:
    """Return the pictures in tiles of `side` pixels, row by row."""
    rows = max(1, -(-len(images) // columns))
    sheet = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = ((side + gap) * place for place in divmod(index, columns))
        sheet[top : top + side, left : left + side] = _tile(image, side)
    return sheet


def lay_out(
    bands: Sequence[tuple[str, Sequence[UInt8[ndarray, "_ _ 3"]]]],
    heads: Sequence[str],
    *,
    title: str,
    margin: int,
    apart: int,
) -> Figure:
    """Lay out labelled bands of mosaics, pixel for pixel."""
    top = 8 + (22 if title else 0) + (20 if any(heads) else 0)
    widths = [max(mosaics[i].shape[1] for _, mosaics in bands) for i in range(len(heads))]
    heights = [max(part.shape[0] for part in mosaics) for _, mosaics in bands]
    width = margin + sum(widths) + apart * (len(widths) - 1) + 8
    height = top + sum(heights) + 10 * (len(heights) - 1) + 8
    canvas = np.full((height, width, 3), 255, np.uint8)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)

    def write(text: str, x: float, y: float, **how) -> None:
        figure.text(x / width, 1 - y / height, text, **how)

    y = top
    for (label, mosaics), band in zip(bands, heights, strict=True):
        write(label, margin - 10, y + band / 2, ha="right", va="center")
        x = margin
        for part, step in zip(mosaics, widths, strict=True):
            canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
            x += step + apart
        y += band + 10
    x = margin
    for head, step in zip(heads, widths, strict=True):
        write(head, x + step / 2, top - 6, ha="center", va="bottom")
        x += step + apart
    write(title, 8, 6, ha="left", va="top", fontsize=10, fontweight="bold")
    figure.figimage(canvas, 0, 0, zorder=-1)
    return figure


def contact_sheet(bands: Mapping[str, Images], *, title: str, columns: int) -> Figure:
    """One class: a band of pictures per label, each at least SMALLEST_TILE pixels wide."""
    side = max([SMALLEST_TILE, *(max(images.shape[1:3]) for images in bands.values())])
    return lay_out(
        [(label, [mosaic(images, columns=columns, side=side)]) for label, images in bands.items()],
        [""],
        title=title,
        margin=110,
        apart=0,
    )
