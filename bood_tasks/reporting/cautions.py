"""What a reader must know of the pictures and the training before any figure of the report."""

from collections.abc import Mapping

from bood_tasks.catalogue.titles import CONTROLS, row_name
from bood_tasks.reporting.tables.summary import Lookup
from bood_tasks.scoring.pixel_statistics import COLOUR
from bood_tasks.training.trained import doubts, steps_of

GREY = 0.01  # median colourfulness up to which a set is grey (JPEG moves it a little)


def find_colour_warnings(
    pixels: Mapping[str, Mapping], id_name: str, grey_outliers: list[str]
) -> list[str]:
    """Return the sets and outliers that colour alone tells from ID: grey beside colour.

    `pixels` is pixel_statistics.json, `grey_outliers` the rows whose outliers are grey.
    """
    found = {name: fact[COLOUR] for name, fact in pixels.items() if COLOUR in fact}
    if id_name not in found:
        return []
    coloured = found.pop(id_name) > GREY
    unlike = ", ".join(name for name, value in found.items() if (value > GREY) != coloured)
    ours, theirs = ("in colour", "grey") if coloured else ("grey", "in colour")
    told = []
    if unlike:
        told.append(
            f"{id_name} is {ours} and these sets are {theirs}: {unlike}. A detector may tell "
            "them by colour alone; take sets that are like yours in it."
        )
    if coloured and grey_outliers:
        told.append(
            f"{id_name} is in colour and the outliers of {', '.join(grey_outliers)} are grey, as "
            "all that the shipped generators draw: such a row learns to tell colour. Take a "
            "generator of coloured pictures, or other rows."
        )
    return told


def find_untrained(
    table: Lookup, trained: Mapping[str, Mapping], classes: int, pictures: int
) -> list[str]:
    """Return the rows whose networks are hardly trained.

    `trained`: epochs, steps and batch size of those that began with random weights, by
    `method|variant`. `pictures`: of the ID training split.
    """
    found = {}
    for label in table.labels():
        name = "|".join(label[:2])
        if label[0] in CONTROLS or row_name(*label[:2]) in found:
            continue
        row, given = table.accuracy(label), trained.get(name)
        steps = given and steps_of(pictures, **given)
        why = doubts(accuracy=row and row["mean"], classes=classes, steps=steps)
        found[row_name(*label[:2])] = "; ".join(why)
    rows = [f"{name} ({why})" for name, why in found.items() if why]
    if not rows:
        return []
    return [
        f"Hardly trained, so its figures mean little: {', '.join(rows)}. Raise detector.epochs; "
        "auto looks at the number of pictures."
    ]
