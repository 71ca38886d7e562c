"""How many pictures and bytes an artifact has, by its spec alone."""

from bood_tasks.artifacts.spec import Spec
from bood_tasks.catalogue.datasets import CATALOGUE

UNKNOWN_PICTURES = 20_000  # of a folder or an .npz file: nothing is opened for a plan


def pictures_of(dataset: Spec) -> int:
    """Return how many pictures or texts a data set has, all splits, as far as a plan knows."""
    if dataset.stage == "tokens":
        return dataset.settings.get("count") or UNKNOWN_PICTURES
    entry = CATALOGUE.get(dataset.settings["kind"])
    if entry is None:
        return dataset.settings.get("count") or UNKNOWN_PICTURES
    return sum(count or UNKNOWN_PICTURES for count in entry.counts.values())


def bytes_of(dataset: Spec) -> int:
    """Return the size of a data set's pixels or tokens."""
    if dataset.stage == "tokens":
        return pictures_of(dataset) * 4 * dataset.settings["words"]
    return pictures_of(dataset) * 3 * dataset.settings["image"]["size"] ** 2
