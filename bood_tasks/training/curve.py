"""The loss curve that a training run leaves."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_curve(curve: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a curve as CSV, one point per row; all points have the same columns."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(curve[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(curve)
