"""What only a device shows: `make test-gpu`, six minutes on one GPU (an estimate: they ran with
`--gpu-device cpu` alone so far). They are marked here, and see what the device machine has."""

import os
from pathlib import Path

import pytest

from tests.conftest import HIDDEN

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def device(request) -> str:
    """The device under test, a name of torch's."""
    return request.config.getoption("--gpu-device")


@pytest.fixture(scope="session")
def jobs_environment(device) -> dict[str, str]:
    """The environment of a job that may use the device."""
    hidden = HIDDEN if device == "cpu" else {}
    return {name: value for name, value in os.environ.items() if name not in HIDDEN} | hidden
