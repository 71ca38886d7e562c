"""`auto`: settings that look at the ID pictures, resolved while planning.

What is chosen stands in specs as if it had been written, so limits and costs know it, and the same
pictures give the same artifacts. The rules are ours: they give a network of random weights enough
steps on few pictures, and ask for no more neighbours than there are pictures.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from bood_tasks.catalogue.augmentations import views
from bood_tasks.config.checks import require_full_queue
from bood_tasks.config.methods import Queued
from bood_tasks.config.root import Config

AUTO = "auto"
STEPS = 600  # of a training from random weights that is done
EPOCHS = (10, 100)
BATCHES = (16, 64)
SIDES = (32, 64)  # of pictures, in pixels; larger ones take a GPU and are written
KERNEL = "bilinear"
SELECTED = 10  # features of each class that are selected at least
IMAGES = (25, 100)  # made of each class


@dataclass(frozen=True)
class Facts:
    """What the ID data set's files tell. `counts`: training pictures of each class. `side`: asks
    for the median of the pictures' shorter sides, in pixels; None where it is not known. `network`:
    asks for the side and the kernel that a network of somebody else's was made with."""

    name: str
    counts: Mapping[str, int]
    side: Callable[[], float | None]
    network: Callable[[], tuple[int | None, str | None]] = lambda: (None, None)

    @property
    def pictures(self) -> int:
        """The training pictures of all classes."""
        return sum(self.counts.values())

    @property
    def fewest(self) -> int:
        """The training pictures of the smallest class."""
        return min(self.counts.values())


def _within(value: float, bounds: tuple[int, int]) -> int:
    return int(min(max(value, bounds[0]), bounds[1]))


def _size(facts: Facts, _: Mapping) -> tuple[int, str]:
    wanted = facts.network()[0]
    if wanted:
        return wanted, "the network was made with pictures of that size"
    side = facts.side()
    if side is None:
        raise ValueError(
            f"image.size must be a number for id = {facts.name}, got auto: only files of your own "
            "are looked at while planning; write one, 32 for CIFAR's pictures"
        )
    fitting = [size for size in SIDES if size <= side] or [SIDES[0]]
    return fitting[-1], f"the pictures' shorter sides have a median of {side:g} pixels"


def _kernel(facts: Facts, _: Mapping) -> tuple[str, str]:
    wanted = facts.network()[1]
    if wanted:
        return wanted, "the network's pictures were resized so"
    return KERNEL, "no network of somebody else's says otherwise"


def _batch(facts: Facts, _: Mapping) -> tuple[int, str]:
    size = 2 ** round(math.log2(max(1, facts.pictures / 16)))
    return _within(size, BATCHES), f"{facts.pictures:,} training pictures"


def _epochs(facts: Facts, section: Mapping) -> tuple[int, str]:
    steps = math.ceil(facts.pictures / section["batch_size"])
    return _within(math.ceil(STEPS / steps), EPOCHS), f"{steps} steps an epoch"


def _few(most: int, share: float = 1.0) -> Callable[[Facts, Mapping], tuple[int, str]]:
    """Return a rule: `most`, or where that is less a share of the smallest class's pictures."""

    def rule(facts: Facts, _: Mapping) -> tuple[int, str]:
        part = max(1, math.floor(share * facts.fewest))
        return min(most, part), f"the smallest class has {facts.fewest:,} training pictures"

    return rule


def _rate(facts: Facts, _: Mapping) -> tuple[float, str]:
    rate = min(1.0, max(0.05, math.ceil(100 * SELECTED / facts.fewest) / 100))
    return rate, f"the smallest class has {facts.fewest:,} training pictures"


def _images(facts: Facts, _: Mapping) -> tuple[int, str]:
    mean = facts.pictures / len(facts.counts)
    return _within(mean, IMAGES), f"{mean:.0f} training pictures a class"


# Of a sampler: what it asks of each class's training pictures.
OF_A_CLASS = {"dreamood": ("neighbours", "boundary"), "hamos": ("neighbours",)}
# Section and setting: its rule, and what stands there until the pictures are looked at. In order:
# epochs follow from the batch size.
Rule = Callable[[Facts, Mapping], tuple[Any, str]]
RULES: dict[tuple[str, ...], tuple[Rule, int | float | str]] = {
    ("image", "size"): (_size, SIDES[-1]),
    ("image", "kernel"): (_kernel, KERNEL),
    ("encoder", "batch_size"): (_batch, 64),
    ("encoder", "epochs"): (_epochs, 10),
    ("detector", "batch_size"): (_batch, 64),
    ("detector", "epochs"): (_epochs, 10),
    ("detector", "vos", "queue"): (_few(1000), 1),
    ("detector", "npos", "queue"): (_few(1000), 1),
    ("detector", "npos", "neighbours"): (_few(300, 0.25), 1),
    ("detector", "npos", "boundary"): (_few(200, 0.25), 1),
    ("detector", "npos", "points"): (_few(2, 0.25), 1),
    ("detector", "gcos", "queue"): (_few(1000), 4),
    ("detector", "hamos", "queue"): (_few(1000), 1),
    ("detector", "hamos", "neighbours"): (_few(200, 0.25), 1),
    ("ood_features", "rate"): (_rate, 0.05),
    ("ood_features", "dreamood", "neighbours"): (_few(300, 0.25), 1),
    ("ood_features", "dreamood", "boundary"): (_few(50, 0.25), 1),
    ("ood_features", "hamos", "neighbours"): (_few(200, 0.25), 1),
    ("images", "per_class"): (_images, 25),
    ("scoring", "knn", "neighbours"): (_few(50, 0.25), 1),
    ("scoring", "nnguide", "neighbours"): (_few(10, 0.25), 1),
}


def _below(sections: object, way: tuple[str, ...]) -> dict | None:
    """Return the mapping that holds a setting, if all on the way to it is there."""
    for part in way[:-1]:
        sections = sections.get(part) if isinstance(sections, dict) else None
    return sections if isinstance(sections, dict) else None


def _mapping(value: object) -> Mapping:
    """Return a mapping as it is; of what the check of types will refuse, nothing."""
    return value if isinstance(value, Mapping) else {}


def _overriding(raw: Mapping) -> Iterator[tuple[str, dict]]:
    """Yield where sections of settings stand, and those sections: the base and all overrides."""
    yield "", raw
    ablations = _mapping(raw.get("ablations"))
    named = {f"rows.{name}": row for name, row in _mapping(raw.get("rows")).items()}
    named |= {f"sources.{name}": item for name, item in _mapping(raw.get("sources")).items()}
    named |= {"ablations": ablations}
    for where, item in named.items():
        if isinstance(item, dict) and isinstance(item.get("set"), dict):
            yield f"{where}.set.", item["set"]
    for name, sections in _mapping(ablations.get("variants")).items():
        yield f"ablations.variants.{name}.", sections


def asked(raw: Mapping) -> list[str]:
    """Return the settings of a configuration that are `auto` by a rule of RULES."""
    return [
        where + ".".join(way)
        for where, sections in _overriding(raw)
        for way in RULES
        if (found := _below(sections, way)) and found.get(way[-1]) == AUTO
    ]


def filled(raw: Mapping, facts: Facts | None = None) -> tuple[dict, dict[str, str]]:
    """Return a configuration with a value in place of each `auto`, and {setting = value: why} of
    each.

    Without `facts`, values that merely pass the checks stand there. Raises ValueError for a value
    that the facts do not tell.
    """
    content, chosen = deepcopy(dict(raw)), {}
    for where, sections in _overriding(content):
        for way, (rule, stand_in) in RULES.items():
            found = _below(sections, way)
            if not found or found.get(way[-1]) != AUTO:
                continue
            if facts is None:
                found[way[-1]] = stand_in
                continue
            base = _below(content, way) or {}
            usual = {"batch_size": 128}  # config/training.py's
            found[way[-1]], why = rule(facts, usual | base | found)
            value = found[way[-1]]
            shown = value if isinstance(value, str) else f"{value:g}"
            chosen[f"{where}{'.'.join(way)} = {shown}"] = why
    return content, chosen


def require_enough(config: Config, facts: Facts) -> None:
    """Raise ValueError for a row that asks for more neighbours or features than there are pictures.

    Known before the first job, so no table waits for a row that cannot be made.
    """
    few = min(facts.counts, key=lambda name: facts.counts[name])
    for name, row in config.rows.items():
        own, method = config.for_row(name), config.method(name)
        asked_for = []  # setting, value, pictures, whose
        for score in ("knn", "nnguide"):
            if score in row.scores:
                item = getattr(own.scoring, score)
                most = round(facts.pictures * getattr(item, "share", 1))
                setting = f"scoring.{score}.neighbours"
                asked_for.append(
                    (setting, item.neighbours, most, "training pictures that it keeps")
                )
        of_class = f"training pictures of {few}, the smallest class"
        drawn = [config.for_source(name, x) for x in row.outliers if config.kind_of(x) == "images"]
        for item in (made.ood_features for made in drawn):
            for key in OF_A_CLASS.get(item.sampler, ()):
                value = getattr(getattr(item, item.sampler), key)
                setting = f"ood_features.{item.sampler}.{key}"
                asked_for.append((setting, value, facts.fewest, of_class))
        for setting, value, most, what in asked_for:
            if value > most:
                raise ValueError(
                    f"{setting} must be at most {most} for row {name}, the {what}, got {value}; "
                    f"lower it, write auto, or leave the row out by only.rows"
                )
        section = getattr(own.detector, method.section) if method.section else None
        if isinstance(section, Queued):
            shown = facts.fewest * views(own.detector.augment)
            require_full_queue(
                section, f"detector.{method.section}", epochs=own.detector.epochs, pictures=shown
            )
