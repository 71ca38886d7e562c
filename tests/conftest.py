"""Settings for every test. Imports nothing of the package: jaxtyping must hook it first."""

from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
ASKED_FOR = {"cluster": "Slurm", "browser": "Chromium and its driver"}


def pytest_addoption(parser):
    for name, needs in ASKED_FOR.items():
        parser.addoption(f"--{name}", action="store_true", help=f"run tests/{name} (needs {needs})")


def pytest_ignore_collect(collection_path, config):
    """`make test` needs no Slurm, no browser and no root; `make test-all`, `make test-cluster` and
    `make test-browser` run what is left out here."""
    for name in ASKED_FOR:
        if HERE / name in (collection_path, *collection_path.parents):
            return not config.getoption(f"--{name}")
    return None


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where there is none."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu:
        import torch

        if not torch.cuda.is_available():
            for item in on_gpu:
                item.add_marker(pytest.mark.skip(reason="no GPU here"))


# A busy machine makes an example slow without making it wrong.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
