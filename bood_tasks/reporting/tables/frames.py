"""The CSV files of results as frames, and as one dict per row for tables that are read by people.

In a dict a value that is missing is None, in a file it is empty.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bood_tasks.artifacts.manifest import DamagedArtifact
from bood_tasks.artifacts.store import Artifact
from bood_tasks.scoring.metrics import COLUMNS

Row = dict
DTYPES = {str: "str", int: "Int64", float: "float64", bool: "bool"}
TYPES = COLUMNS | {
    "epoch": int, "mean": float, "std": float, "low": float, "high": float,
    "n_seeds": int, "published": float, "published_std": float, "delta": float,
    "ours": float, "comparable": bool, "difference": float, "apart": int,
    "count": int, "knn": float, "mahalanobis": float, "confidence": float, "pixels": float,
}  # fmt: skip


def read_csv(path: Path) -> pd.DataFrame:
    """Return a CSV file of results with numbers as numbers; an empty number is NaN or NA."""
    return pd.read_csv(
        path,
        dtype=defaultdict(lambda: "str", {name: DTYPES[kind] for name, kind in TYPES.items()}),
        keep_default_na=False,
        na_values={name: [""] for name, kind in TYPES.items() if kind in (int, float)},
    )


def read_metrics(metrics: Artifact) -> pd.DataFrame:
    """Return metrics.csv of an artifact; raises DamagedArtifact unless it has all its rows."""
    found = read_csv(metrics.folder / "metrics.csv")
    wanted = metrics.rows.get("metrics", len(found))
    if len(found) != wanted:
        raise DamagedArtifact(
            f"{metrics.folder}/metrics.csv must have the {wanted:,} rows of its manifest, got "
            f"{len(found):,}; make it again: remove that folder"
        )
    return found


def records(frame: pd.DataFrame) -> list[Row]:
    """Return one dict per row of a frame; what is missing is None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def csv_text(rows: pd.DataFrame | Iterable[Row]) -> str:
    """Return rows as a CSV file at full precision."""
    return pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")
