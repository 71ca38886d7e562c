"""Figures saved one after the other, with the captions that the report shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bood_tasks.artifacts.manifest import write_json

NO_DATES = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def save_figure(figure: Figure, folder: Path, name: str, *, formats: Sequence[str]) -> None:
    """Write a figure without anything that differs from run to run."""
    FigureCanvasAgg(figure)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine(None)  # laid out once, it holds for every format
    for kind in formats:
        figure.savefig(folder / f"{name}.{kind}", metadata=NO_DATES[kind])


def runs_shown(rows: Sequence[Mapping]) -> list[int]:
    """Return the indices of the first seed's rows: what depends on one run shows that one."""
    return [index for index, row in enumerate(rows) if row["seed"] == rows[0]["seed"]]


class Album:
    """Saves figures and keeps their captions in reading order."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.captions: list[dict] = []

    def add(
        self,
        name: str,
        figure: Figure,
        title: str,
        caption: str,
        *,
        vector: bool = True,
        warnings: Sequence[str] = (),
    ) -> None:
        """Write `name` as PNG and, unless there are many like it, as SVG; the caption tells what
        the axes cannot, `warnings` what a reader must know about the numbers.

        Names made from other names may be one (a file name keeps `_` of both 犬 and 猫), also where
        a file system takes capitals for small letters: the second is numbered.
        """
        taken = {Path(item["file"]).stem.lower() for item in self.captions}
        first, number = name, 1
        while name.lower() in taken:
            number += 1
            name = f"{first}-{number}"
        formats = ["png", "svg"] if vector else ["png"]
        save_figure(figure, self.folder, name, formats=formats)
        told = {"file": f"{name}.png", "title": title, "caption": caption}
        self.captions.append(told | ({"warnings": list(warnings)} if warnings else {}))

    def finish(self) -> int:
        """Write captions.json: each PNG's title, caption warnings if any, in reading order."""
        write_json(self.folder / "captions.json", {"figures": self.captions})
        return len(self.captions)
