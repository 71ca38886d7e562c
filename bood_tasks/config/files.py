"""Which files a configuration is made from.

The packaged default is always the base. A `config.yaml` in the working folder is laid over it, and
then come the files that a command names: YAML files, or presets by their name.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from bood_tasks import PROJECT

DEFAULT = PROJECT / "config.yaml"
PRESETS = PROJECT / "workflow" / "presets"
OWN = Path("config.yaml")


def own() -> Path | None:
    """Return the working folder's config.yaml; None where there is none or it is the default."""
    return OWN if OWN.is_file() and not OWN.samefile(DEFAULT) else None


def presets() -> list[str]:
    """Return the names of the packaged presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset(name: str) -> Path:
    """Return a packaged preset by its name. Raises ValueError, with the nearest name."""
    if name not in presets():
        from bood_tasks.config.explain import closest

        raise ValueError(
            f"--preset must name a packaged preset, got {name!r}{closest(name, presets())}"
        )
    return PRESETS / f"{name}.yaml"


def found(given: str | Path) -> Path:
    """Return the file that is meant: one that is here, else one of the package by its path in a
    clone (`workflow/presets/demo.yaml`), else a preset by its name (`demo`).

    Raises FileNotFoundError.
    """
    path = Path(given)
    if path.exists():
        return path
    for packaged in (PROJECT / path, PRESETS / f"{path}.yaml"):
        if not path.is_absolute() and packaged.is_file():
            return packaged
    from bood_tasks.config.explain import closest

    raise FileNotFoundError(
        f"{given} is neither a file nor a packaged preset{closest(path.stem, presets())}"
    )


def shown(path: str | Path) -> str:
    """Return a file's name as `found` finds it again from the working folder."""
    path = Path(path).absolute()
    if path.is_relative_to(PROJECT) and not path.is_relative_to(Path.cwd()):
        return str(path.relative_to(PROJECT))
    return os.path.relpath(path)


def overlays(given: Iterable[str | Path]) -> list[Path]:
    """Return the files that are meant, less the default itself, which is always the base."""
    files = [found(item) for item in given]
    return [path for path in files if not path.samefile(DEFAULT)]
