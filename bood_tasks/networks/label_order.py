"""The order of a network's logits, by the names of their classes."""

from collections.abc import Sequence

SHOWN = 5


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


def order_of(theirs: Sequence[str], ours: Sequence[str], setting: str) -> list[int]:
    """Return for each of our classes, in order, which of the network's logits is its own.

    Names are compared as they are and, if not all are alike so, without case, `_` and `-`. Raises
    ValueError that names `setting` and the classes that only one side has, or that stand twice.

    >>> order_of(["dog", "Tabby_cat"], ["tabby cat", "dog"], "x")
    [1, 0]
    """
    if set(theirs) != set(ours):
        theirs, plain = [*map(_plain, theirs)], [*map(_plain, ours)]
    else:
        theirs, plain = list(theirs), list(ours)
    twice = sorted({name for name in theirs if theirs.count(name) > 1})
    if twice:
        raise ValueError(f"{setting} must name each class once, got {_some(twice)} several times")
    absent = [name for name, key in zip(ours, plain, strict=True) if key not in theirs]
    extra = [name for name in theirs if name not in plain]
    if absent or extra:
        parts = [f"lack {_some(absent)}"] if absent else []
        parts += [f"have also {_some(extra)}"] if extra else []
        raise ValueError(
            f"{setting} must be the names of the ID data set's {len(ours)} classes, and they "
            f"{' and '.join(parts)}; name the folders of the classes alike, or, where the network "
            "was trained on other classes, write new_head: true and train it"
        )
    return [theirs.index(key) for key in plain]
