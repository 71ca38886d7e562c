"""What was read of a data set, what was left out and why: for the log, the artifact, the report.

`read` in dataset.json: `left_out` and `converted` count by reason, `unreadable` is a number,
`classes` counts each split's samples by class, `published` has the published counts that ours
differ from.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bood_tasks.catalogue.walk import LeftOut

CLASSES_TOLD = 20  # in the log


def by_class(classes: Sequence[str], labels: np.ndarray) -> dict[str, int]:
    """Return the samples of each class; {} where none has a class."""
    if not len(classes) or (labels < 0).all():
        return {}
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    return dict(zip(classes, counts.tolist(), strict=True))


def summarise(
    classes: Sequence[str],
    labels: Mapping[str, Sequence[int] | np.ndarray],
    told: LeftOut,
    *,
    unreadable: int = 0,
    converted: Mapping[str, int] | None = None,
    published: Mapping[str, int | None] | None = None,
) -> dict:
    """Return a data set's summary; see the head of this module. `labels`: those of each split."""
    counts = {split: len(found) for split, found in labels.items()}
    return {
        "left_out": dict(sorted(told.counts.items())),
        "unreadable": unreadable,
        "converted": dict(sorted((converted or {}).items())),
        "classes": {split: by_class(classes, np.asarray(found)) for split, found in labels.items()},
        "published": {
            split: count
            for split, count in (published or {}).items()
            if count is not None and split in counts and count != counts[split]
        },
    }


def report_lines(name: str, counts: Mapping[str, int], facts: Mapping, told: LeftOut) -> list[str]:
    """Return the summary as a log has it."""
    total = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    lines = [f"{name}: read {total}"]
    for split, found in facts["classes"].items():
        if 1 < len(found) <= CLASSES_TOLD:
            each = ", ".join(f"{label} {count:,}" for label, count in found.items())
            lines.append(f"  {split}: {each}")
        elif found:
            least, most = min(found.values()), max(found.values())
            lines.append(f"  {split}: {len(found):,} classes of {least:,} to {most:,}")
    lines += [f"  left out: {line}" for line in told.told()]
    if facts["unreadable"]:
        lines.append(f"  left out: {facts['unreadable']:,} unreadable")
    lines += [f"  {count:,} {how}" for how, count in facts["converted"].items()]
    lines += [
        f"  {split} was published with {count:,}" for split, count in facts["published"].items()
    ]
    return lines
