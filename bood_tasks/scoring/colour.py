"""What colour alone tells apart: a set of grey pictures beside one in colour."""

from collections.abc import Mapping

from bood_tasks.scoring.pixel_statistics import COLOUR

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
