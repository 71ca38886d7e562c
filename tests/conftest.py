"""Settings for every test. Imports nothing of the package: jaxtyping must hook it first."""

from pathlib import Path

from hypothesis import settings

CLUSTER = Path(__file__).parent / "cluster"


def pytest_addoption(parser):
    parser.addoption("--cluster", action="store_true", help="run tests/cluster (needs Slurm)")


def pytest_ignore_collect(collection_path, config):
    """`make test` needs no Slurm and no root; `make test-cluster` runs what is left out here."""
    if CLUSTER in (collection_path, *collection_path.parents):
        return not config.getoption("--cluster")
    return None


# A busy machine makes an example slow without making it wrong.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
