"""The names of rows and scores as people read them."""

from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.scores import SCORES

PIXELS = "pixel_statistics"  # stands in tables beside the methods: what pixels alone could do
TEXTS = "text_statistics"  # the same for texts
CONTROLS = (PIXELS, TEXTS)
BEST, LENGTH = "best", "length"  # their scores
TITLES = {
    PIXELS: "Pixel statistics",
    TEXTS: "Text statistics",
    BEST: "best of four",
    LENGTH: "length before the cut",
}


def row_name(method: str, variant: str) -> str:
    """Return a row's name as people read it: `BOOD`, `BOOD · uniform-noise`."""
    title = METHODS[method].title if method in METHODS else TITLES.get(method, method)
    return " · ".join(filter(None, (title, variant)))


def score_name(score: str) -> str:
    """Return a score's name as people read it; an empty one where there is none."""
    return SCORES[score].title if score in SCORES else TITLES.get(score, score)
