"""The names of rows, scores and settings as people read them."""

from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.scores import SCORES

FORMULA = "=+-@\t\r"  # a cell that begins with one of them is run by a spreadsheet
PIXELS = "pixel_statistics"  # stands in tables beside the methods: what pixels alone could do
TEXTS = "text_statistics"  # the same for texts
CONTROLS = (PIXELS, TEXTS)
BEST, LENGTH = "best", "length"  # their scores
TITLES = {
    PIXELS: "Pixel statistics",
    TEXTS: "Text statistics",
    BEST: "best of five",
    LENGTH: "length before the cut",
}
SETTINGS = {  # those that figures show
    "distances.step_size": "step size α",
    "distances.max_steps": "most steps K",
    "distances.median_steps": "median steps to the boundary",
    "ood_features.extra_steps": "steps after crossing c",
    "ood_features.overshoot": "overshoot, quantile of ID margins",
    "ood_features.rate": "rate r",
    "detector.ood_weight": "weight β",
    "gan_images.scale": "scale σ of the latents",
    "gan_images.count": "number of outliers",
    "texts.temperature": "temperature T",
}


def row_name(method: str, variant: str) -> str:
    """Return a row's name as people read it: `BOOD`, `BOOD · uniform-noise`."""
    title = METHODS[method].title if method in METHODS else TITLES.get(method, method)
    return " · ".join(filter(None, (title, variant)))


def score_name(score: str) -> str:
    """Return a score's name as people read it; an empty one where there is none."""
    return SCORES[score].title if score in SCORES else TITLES.get(score, score)


def setting_name(setting: str) -> str:
    """Return a setting's name as people read it: `rate r`; its own where it has no other."""
    return SETTINGS.get(setting, setting)
