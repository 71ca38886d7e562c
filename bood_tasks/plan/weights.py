"""Weights from outside, as specs know them: released ones by name, others by their content."""

from pathlib import Path

from bood_tasks.artifacts.outside import locate
from bood_tasks.artifacts.spec import Spec
from bood_tasks.catalogue.weights import RELEASED, WEIGHTS
from bood_tasks.config.root import Config
from bood_tasks.plan.datasets import content


def weights(config: Config, value: str, setting: str) -> tuple[dict, Path]:
    """Return a spec's settings of the weights that a setting names, and where they lie.

    Released weights need not be there yet: jobs read them only if their checksums are right.
    Raises FileNotFoundError, naming the setting, for a file of one's own that is not there.
    """
    if not value.startswith(RELEASED):
        path = locate(value, setting)
        return {"content": content(path, None)}, path
    name = value.removeprefix(RELEASED)
    files = {file: checksum for file, (_, checksum) in WEIGHTS[name].files.items()}
    return {"released": name, "files": files}, WEIGHTS[name].path_in(folder(config, name))


def folder(config: Config, name: str) -> Path:
    """Return where released weights should lie."""
    return Path(config.run.data, "weights", name)


def lacks(config: Config, spec: Spec) -> bool:
    """Whether a spec reads released weights that are needed and not there."""
    name = spec.settings.get("released")
    made = Path(spec.manifest).is_file()
    return name is not None and not made and not WEIGHTS[name].holds(folder(config, name))
