"""Real data for tests that need them: not part of the project, so most machines have none."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[1] / "../shared/realdata"


def realdata() -> Path:
    """Return the folder of real data, $BOOD_REALDATA or ../shared/realdata beside the checkout;
    skip the test where there is none."""
    folder = Path(os.environ.get("BOOD_REALDATA") or BESIDE).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set BOOD_REALDATA")
    return folder
