"""The style that all figures share."""

from contextlib import contextmanager

import matplotlib
from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#888888"
CYCLE = (BLACK, VERMILION, BLUE, GREEN, ORANGE, PURPLE, SKY, GREY)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
DPI = 110
STYLE = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # a class or row may hold a dollar sign
    "svg.hashsalt": "bood",  # else every run writes other ids
}
MARKERS = "o^sDvP<>*h"  # ten, seven colours: 70 pairs before one returns


@contextmanager
def house_style():
    """Draw with the settings above, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def panel_grid(count: int, columns: int, *, width: float, height: float) -> tuple[Figure, list]:
    """Return a figure and its `count` axes, each `width` by `height` inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, list(axes[:count])


def class_style(index: int) -> tuple[str, str, bool]:
    """Return colour and marker of a class, and whether it is filled: each second round of the
    colours is open. Black is left to what is not a class."""
    turn, place = divmod(index, len(CYCLE) - 1)
    return CYCLE[1 + place], MARKERS[index % len(MARKERS)], turn % 2 == 0
