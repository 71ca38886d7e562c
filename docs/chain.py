"""Draw docs/chain.svg: the six rooms with what goes in and out, and their stages.

python docs/chain.py        after a stage was added to bood_tasks/catalogue/stages.py
"""

import textwrap
from pathlib import Path
from xml.sax.saxutils import escape

from bood_tasks.catalogue.stages import STAGES

ROOMS = {  # what goes in, what comes out
    "datasets": ("pictures, texts of any origin", "arrays at one size, with splits"),
    "generators": ("weights, or data to train on", "a picture or language model"),
    "synthesis": ("a generator and the ID data", "outliers, in shards"),
    "detectors": ("ID data and outliers", "trained classifiers"),
    "scoring": ("a detector and every data set", "scores, then metrics.csv"),
    "reporting": ("metrics, artifacts of the way", "tables, figures, report.html"),
}
BOX_WIDTH, BOX_HEIGHT, GAP, COLUMNS = 290, 146, 40, 3
LETTERS = 40  # of the stages' names in one line


def corner(number: int) -> tuple[int, int]:
    """Return a box's upper left corner, row by row."""
    row, column = divmod(number, COLUMNS)
    return GAP // 2 + column * (BOX_WIDTH + GAP), GAP // 2 + row * (BOX_HEIGHT + GAP)


def box(number: int, room: str) -> str:
    """Return one room's box."""
    x, y = corner(number)
    stages = ", ".join(name for name, stage in STAGES.items() if stage.room == room)
    lines = [
        ("room", room),
        *zip(("way", "way"), ("in:  " + ROOMS[room][0], "out: " + ROOMS[room][1]), strict=True),
        *(("stage", line) for line in textwrap.wrap(stages, LETTERS)),
    ]
    parts = [f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>']
    heights = {"room": 30, "way": 20, "stage": 16}
    top = y
    for before, (kind, text) in zip(("", *(kind for kind, _ in lines)), lines, strict=False):
        top += heights[kind] + (6 if kind == "stage" and before == "way" else 0)
        parts.append(f'<text class="{kind}" x="{x + 14}" y="{top}">{escape(text)}</text>')
    return "\n".join(parts)


def arrow(number: int) -> str:
    """Return the arrow from one box to the next."""
    (x, y), (to_x, to_y) = corner(number), corner(number + 1)
    if y == to_y:
        middle = y + BOX_HEIGHT // 2
        return f'<path d="M {x + BOX_WIDTH + 4} {middle} H {to_x - 8}"/>'
    start, half = x + BOX_WIDTH // 2, GAP // 2
    down = f"M {start} {y + BOX_HEIGHT + 2} v {half - 2} H {to_x + BOX_WIDTH // 2} V {to_y - 8}"
    return f'<path d="{down}"/>'


def draw() -> str:
    """Return the drawing as SVG text, readable on a light and on a dark page."""
    width = COLUMNS * (BOX_WIDTH + GAP)
    height = len(ROOMS) // COLUMNS * (BOX_HEIGHT + GAP)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            "<title>Six rooms: " + ", ".join(ROOMS) + "</title>",
            "<style>",
            "rect { fill: #f5f8fc; stroke: #2b5c94; stroke-width: 1.5 }",
            "path { fill: none; stroke: #2b5c94; stroke-width: 2; marker-end: url(#head) }",
            "text { font-family: sans-serif; fill: #1c2733 }",
            ".room { font-size: 18px; font-weight: bold; fill: #2b5c94 }",
            ".way { font-size: 14px; white-space: pre }",
            ".stage { font-family: monospace; font-size: 11px; fill: #556270 }",
            "</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="5" '
            'markerHeight="5" orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" '
            'style="fill: #2b5c94; stroke: none; marker-end: none"/></marker></defs>',
            f'<rect x="0" y="0" width="{width}" height="{height}" '
            'style="fill: #ffffff; stroke: none"/>',
            *(box(number, room) for number, room in enumerate(ROOMS)),
            *(arrow(number) for number in range(len(ROOMS) - 1)),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")
