"""Configuration files laid over each other, as Snakemake's --configfile does."""

from pathlib import Path

import yaml

from bood_tasks.config import Config, load
from bood_tasks.config_fields import merged

# PyYAML has an error of its own for syntax only: a value unlike its tag gives any of these.
UNREADABLE = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def effective_config(files: list[Path]) -> Config:
    """Return the configuration that the files make, each an overlay on those before.

    Raises ConfigError for settings, ValueError for YAML that cannot be used.
    """
    raw: dict = {}
    for path in files:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except UNREADABLE as error:
            raise ValueError(f"{path} is no YAML: {error!r}") from None
        if not isinstance(content, dict | None):
            raise ValueError(f"{path} must hold a mapping, got {type(content).__name__}")
        raw = merged(raw, content or {})
    return load(raw)
