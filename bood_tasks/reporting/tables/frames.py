"""The CSV files of results as frames, and as one dict per row for tables that are read by people.

In a dict a value that is missing is None, in a file it is empty.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

Row = dict
COUNTS = ("seed", "epoch", "n_seeds", "n_id", "n_ood")
NUMBERS = ("value", "mean", "std", "published", "published_std", "delta", "ours")
TYPES = dict.fromkeys(COUNTS, "Int64") | dict.fromkeys(NUMBERS, "float64") | {"comparable": "bool"}


def read_csv(path: Path) -> pd.DataFrame:
    """Return a CSV file of results with numbers as numbers; an empty number is NaN or NA."""
    return pd.read_csv(
        path,
        dtype=defaultdict(lambda: "str", TYPES),
        keep_default_na=False,
        na_values={name: [""] for name in (*COUNTS, *NUMBERS)},
    )


def records(frame: pd.DataFrame) -> list[Row]:
    """Return one dict per row of a frame; what is missing is None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def csv_text(rows: pd.DataFrame | Iterable[Row]) -> str:
    """Return rows as a CSV file at full precision."""
    return pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")
