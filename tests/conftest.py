"""Settings for every test. Imports nothing of the package: jaxtyping must hook it first.

Every test but those of tests/gpu runs on the CPU, whatever the machine has: devices are hidden from
this process and from all that it starts before anything imports torch.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
ASKED_FOR = {"cluster": "Slurm", "browser": "Chromium and its driver"}
HIDDEN = {
    "BOOD_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"
}  # fmt: skip


def pytest_addoption(parser):
    parser.addoption(
        "--gpu-device",
        default="",
        help="run tests/gpu, on this device of torch's: cuda, mps, or cpu to try the tests",
    )
    for name, needs in ASKED_FOR.items():
        parser.addoption(f"--{name}", action="store_true", help=f"run tests/{name} (needs {needs})")


def pytest_ignore_collect(collection_path, config):
    """`make test` needs no Slurm, no browser and no root; `make test-all`, `make test-cluster` and
    `make test-browser` run what is left out here."""
    for name in ASKED_FOR:
        if HERE / name in (collection_path, *collection_path.parents):
            return not config.getoption(f"--{name}")
    if HERE / "gpu" in (collection_path, *collection_path.parents):
        return not config.getoption("--gpu-device")
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Hide all devices from tests of the CPU; a child process that is to see one says so itself."""
    if config.getoption("--gpu-device") in ("", "cpu"):
        os.environ.update(HIDDEN)


def pytest_collection_modifyitems(config, items):
    """Skip what needs a device where there is none of that kind."""
    device = config.getoption("--gpu-device")
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu and device != "cpu":
        import torch

        here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not here.get(device, False):
            for item in on_gpu:
                item.add_marker(pytest.mark.skip(reason=f"no {device or 'GPU'} here"))


# A busy machine makes an example slow without making it wrong.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture
def nobodys_plan(monkeypatch):
    """Jobs believe the content that their settings name: a stand-in, which no plan has hashed."""
    from bood_tasks.jobs.job import Job

    monkeypatch.setattr(Job, "require_planned", lambda self: None)
