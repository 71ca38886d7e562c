"""What the papers print, and the key from their names to ours: files of embedded/published.

Standard library only: the plan reads it before any data is at hand.
"""

import csv
import json
from functools import cache
from typing import Any

from bood_tasks import EMBEDDED

FOLDER = EMBEDDED / "published"


@cache
def published_key() -> dict[str, Any]:
    """Return key.json, which the README beside it explains."""
    return json.loads((FOLDER / "key.json").read_text(encoding="utf-8"))


def read_published(file: str) -> list[dict[str, Any]]:
    """Return the rows of a .csv file as they stand: text, of printed tables in percent."""
    with (FOLDER / file).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))
