"""What the ID data set's own files tell before a plan is made: pictures of each class, their sizes.

The splits are cut as the stage `dataset` cuts them, by the same reader. The Snakefile imports this
module, so the readers are imported where they are used.
"""

import json
from collections import Counter
from pathlib import Path

from bood_tasks.artifacts.spec import to_json
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.config.automatic import Facts
from bood_tasks.config.datasets import is_text, per_class
from bood_tasks.config.root import Config
from bood_tasks.plan.datasets import dataset
from bood_tasks.plan.networks import made_with

LOOKED_AT = 200  # pictures whose size is asked, evenly over the training split


def look(config: Config) -> Facts:
    """Return what is known of a configuration's ID data set before anything is made.

    Of a published set, which need not be here, it is what the catalogue says. Raises ValueError or
    OSError that names the setting and the cure.
    """
    name, item = config.id, config.datasets[config.id]
    if is_text(item):
        raise ValueError(f"id must name pictures for auto, got {name}, which holds texts")
    if item.kind in CATALOGUE:
        count = per_class(item)
        if count is None:
            raise ValueError(
                f"id must name a set whose pictures are counted for auto, got {name}; write numbers"
            )
        classes = map(str, range(CATALOGUE[item.kind].classes))
        counts = dict.fromkeys(classes, count)
        return Facts(name, counts, lambda: None, lambda: made_with(config))
    import numpy as np

    from bood_tasks.datasets.dataset import open_dataset

    spec = dataset(config, name)
    settings = json.loads(to_json(spec.settings))
    splits, classes = open_dataset(settings, Path(spec.source) if spec.source else None)
    rows = splits["train"]
    counted = Counter(rows.labels.tolist())

    def side() -> float:
        chosen = np.linspace(0, len(rows.labels) - 1, min(LOOKED_AT, len(rows.labels))).astype(int)
        return float(np.median([_shorter(rows.read(int(row))) for row in chosen]))

    counts = {title: counted[label] for label, title in enumerate(classes)}
    return Facts(name, counts, side, lambda: made_with(config))


def _shorter(picture: object) -> int:
    """Return the shorter side of an opened picture or of an array, in pixels."""
    if hasattr(picture, "shape"):
        return min(picture.shape[:2])
    with picture:
        return min(picture.size)
