"""Configuration files laid over each other, as Snakemake's --configfile does."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bood_tasks.config.checks import check
from bood_tasks.config.datasets import is_text
from bood_tasks.config.explain import explain, in_section
from bood_tasks.config.fields import merged
from bood_tasks.config.root import Config
from bood_tasks.config.study import study

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


OF_PICTURES = ("id", "test", "validation", "control", "rows", "ablations", "text")


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which key and how to mend it."""


def _validated(raw: dict[str, Any], prefix: str = "") -> Config:
    """Return a configuration whose settings fit together, without its texts.

    Raises ValueError with one line per problem; `prefix` is where the settings stand.
    """
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ValueError("\n".join(explain(error, Config, prefix))) from None
    try:
        check(config)
        if config.ablations:
            study(config)
    except ValueError as error:
        raise ValueError(in_section(str(error), Config, prefix)) from None
    return config


def _with_texts(config: Config) -> Config:
    """Return a configuration with the texts' own settings in place of the pictures'."""
    settings, shared = config.text, config.model_dump(exclude=set(OF_PICTURES))
    name = settings.get("id")
    named = isinstance(name, str) and name in config.datasets
    if named and not is_text(config.datasets[name]):
        raise ValueError(f"text.id must name texts, got {name!r}, which holds pictures")
    return _validated(merged(shared, settings), "text")


def load(raw: dict[str, Any]) -> Config:
    """Validate a configuration as read from YAML.

    Raises ConfigError with one line per problem.
    """
    try:
        config = _validated(raw)
        if config.text is not None:
            config.set_texts(_with_texts(config))
    except ValueError as error:
        raise ConfigError("config: " + str(error).replace("\n", "\nconfig: ")) from None
    return config


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
