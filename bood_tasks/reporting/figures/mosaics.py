"""Contact sheets: pictures enlarged by whole factors and placed pixel for pixel, with labels."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from numpy import ndarray

from bood_tasks.reporting.figures.style import BLACK, DPI, GREY, SKY, VERMILION

MOST_BARS = 8
SMALLEST_TILE = 96
Images = UInt8[ndarray, "_ _ _ 3"]  # bands may differ in number and size
LETTER = 8  # pixels of a wide letter at the house size
LARGEST_TILE = 128


# --- one feature across the boundary (the paper's Figure 2) ---


def pick_steps(count: int, crossed_at: int, shown: int) -> list[int]:
    """At most `shown` (4 or more) of the steps 0 ... count - 1.

    First, crossing and last are always there, the others spread evenly before and after.
    """
    after = min(count - crossed_at, shown // 2)
    before = min(crossed_at, shown - after)
    picked = [
        *np.linspace(0, crossed_at - 1, before).round(),
        *np.linspace(crossed_at, count - 1, after).round(),
    ]
    return [int(step) for step in picked]


def trajectory(
    images: UInt8[ndarray, "n h w 3"],
    probabilities: Float[ndarray, "n v"],
    predictions: Int[ndarray, " n"],
    classes: Sequence[str],
    *,
    source: int,
    crossed_at: int,
    step_size: float,
    columns: int,
) -> Figure:
    """Decodes of one feature step by step, with the classifier's probabilities under each.

    From `crossed_at` on the prediction is no longer `source`: those have a heavy frame.
    """
    steps = pick_steps(len(images), crossed_at, columns)
    peaks = probabilities[steps].max(0)
    peaks[source] = np.inf
    bars = sorted(np.argsort(-peaks, kind="stable")[:MOST_BARS].tolist())
    told = (
        f"probability (black: {classes[source]}, hatched: the class predicted instead)",
        f"one step moves every coordinate by α = {step_size:.4g}",
    )
    width = max(1.35 * len(steps) + 0.9, LETTER * max(map(len, told)) / DPI)
    figure = Figure(figsize=(width, 1.8 + 0.2 * len(bars)), layout="constrained")
    axes = figure.subplots(2, len(steps), height_ratios=[1.2, 0.2 * len(bars)], squeeze=False)
    for column, step in enumerate(steps):
        beyond = step >= crossed_at
        picture, chart = axes[:, column]
        picture.imshow(images[step], interpolation="nearest")
        picture.set_xticks([])
        picture.set_yticks([])
        for spine in picture.spines.values():
            spine.set(visible=True, color=VERMILION if beyond else GREY, lw=3 if beyond else 0.8)
        word = " crosses" if step == crossed_at else f" (+{step - crossed_at})" if beyond else ""
        picture.set_title(f"step {step}{word}", fontweight="bold" if beyond else "normal")
        values = probabilities[step, bars]
        drawn = chart.barh(range(len(bars)), values, color=SKY, edgecolor=BLACK, lw=0.5)
        for place, which in enumerate(bars):
            if which == source:
                drawn[place].set(facecolor=BLACK)
            elif which == predictions[step]:
                drawn[place].set(facecolor=VERMILION, hatch="///")
        chart.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "½", "1"])
        chart.set_yticks(range(len(bars)), [classes[i] for i in bars] if column == 0 else [])
        chart.invert_yaxis()
    axes[0, 0].set_ylabel("decoded")
    figure.supxlabel("\n".join(told), fontsize=9)
    return figure


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


# --- pictures (Figures 1, 3, 7, 8) ---


def strips(
    images: UInt8[ndarray, "r n h w 3"],
    values: Sequence[float],
    names: Sequence[str],
    *,
    symbol: str,
    default: float,
    title: str,
) -> Figure:
    """Figure 3: a row of decodes per value of a setting, a column per feature.

    `symbol` is the setting as the paper writes it (c, α); the row of its default says so.
    """
    labels = [
        f"{symbol} = {value:.4g}" + ("\n(default)" if value == default else "") for value in values
    ]
    size = max(images.shape[2:4])
    wanted = max(SMALLEST_TILE, LETTER * max(map(len, names)))
    side = size * -(-wanted // size)  # a whole factor fills the tile
    return lay_out(
        [
            (label, [mosaic(image[None], columns=1, side=side) for image in row])
            for label, row in zip(labels, images, strict=True)
        ],
        names,
        title=title,
        margin=24 + LETTER * max(len(line) for label in labels for line in label.split("\n")),
        apart=6,
    )


def _shrink(images: Images, side: int) -> Images:
    """Means of square blocks, so that a picture fits its tile without aliasing."""
    n, h, w, _ = images.shape
    block = -(-max(h, w) // side)
    if block == 1:
        return images
    h, w = h // block, w // block
    blocks = images[:, : h * block, : w * block].reshape(n, h, block, w, block, 3)
    return blocks.mean((2, 4)).round().astype(np.uint8)


def class_grids(
    classes: Mapping[str, Sequence[Images]],
    headings: Sequence[str],
    *,
    title: str,
    columns: int,
) -> Figure:
    """Figures 1, 7 and 8: a band per class, in it a grid of pictures under each heading."""
    largest = max(max(images.shape[1:3]) for grids in classes.values() for images in grids)
    side = min(LARGEST_TILE, max(SMALLEST_TILE, largest))
    return lay_out(
        [
            (name, [mosaic(_shrink(images, side), columns=columns, side=side) for images in grids])
            for name, grids in classes.items()
        ],
        headings,
        title=title,
        margin=24 + LETTER * max(map(len, classes)),
        apart=24,
    )
