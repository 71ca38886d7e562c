"""What a reader must know of the pictures and the training before any figure of the report."""

from collections.abc import Mapping

from bood_tasks.catalogue.titles import CONTROLS, row_name
from bood_tasks.reporting.tables.summary import Lookup
from bood_tasks.training.trained import doubts, steps_of


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
