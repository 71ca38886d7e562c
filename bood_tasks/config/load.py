"""Read configuration files, lay them over each other as Snakemake does, and validate the result."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bood_tasks.config.automatic import Facts, asked, filled, require_enough
from bood_tasks.config.candidates import candidates
from bood_tasks.config.checks import check
from bood_tasks.config.datasets import OWN_PICTURES, is_text
from bood_tasks.config.explain import closest, explain, in_section, quoting
from bood_tasks.config.fields import merged
from bood_tasks.config.files import DEFAULT
from bood_tasks.config.places import Places, no_yaml, written_twice
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
MOST_VALUES = 200_000  # of a configuration; the largest of the presets has a few thousand
Look = Callable[[Config], Facts]
MOST_BYTES = 1_000_000  # of its file: the parser takes 10 s and 150 MB for so many
OF_PICTURES = ("id", "test", "validation", "control", "rows", "ablations", "choice", "only", "text")


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which key and how to mend it."""


def _chosen(defined: dict[str, Any], names: list[str] | None, kind: str, where: str) -> dict:
    """Return what a list of `only` names, in its order; all of it for none.

    Raises ValueError for a name that is not defined.
    """
    for name in set(names or ()) - set(defined):
        raise ValueError(
            f"only.{kind} must name what {where} defines, got {name!r}{closest(name, defined)}"
        )
    return defined if names is None else {name: defined[name] for name in names}


def _only(config: Config) -> Config:
    """Return the configuration with the rows, variants and sweeps that `only` chooses.

    Raises ValueError for an unknown name, and for a row left out that another one needs.
    """
    only, varied = config.only, config.ablations
    rows = _chosen(config.rows, only.rows, "rows", "rows")
    variants = _chosen(
        varied.variants if varied else {}, only.variants, "variants", "ablations.variants"
    )
    sweeps = _chosen(varied.sweeps if varied else {}, only.sweeps, "sweeps", "ablations.sweeps")
    if only.variants == only.sweeps == []:
        varied = None
    needed = {"ablations.row": varied.row} if varied else {}
    for name, row in rows.items():
        start = row.set.get("detector", {}).get("start", config.detector.start)
        needed[f"detector.start of row {name}"] = start
    for setting, name in needed.items():
        if name in [row for row in config.rows if row not in rows]:
            raise ValueError(f"only.rows must hold {name}, which {setting} names, got {[*rows]}")
    if varied:
        varied = varied.model_copy(update={"variants": variants, "sweeps": sweeps})
    return config.model_copy(update={"rows": rows, "ablations": varied})


def left_out(raw: dict[str, Any], config: Config) -> list[str]:
    """Return a line per list of `only` that leaves something out of what `raw` defines."""
    varied, chosen = raw.get("ablations") or {}, config.ablations
    defined = {
        "rows": (raw["rows"], config.rows),
        "variants": (varied.get("variants") or {}, chosen.variants if chosen else {}),
        "sweeps": (varied.get("sweeps") or {}, chosen.sweeps if chosen else {}),
    }
    lines = []
    for kind, (every, kept) in defined.items():
        if names := [name for name in every if name not in kept]:
            lines.append(f"only.{kind} leaves out {', '.join(names)}")
    if texts := config.of_texts():
        lines += [f"text.{line}" for line in left_out(raw["text"], texts)]
    return lines


def _validated(raw: dict[str, Any], prefix: str = "") -> Config:
    """Return a configuration whose settings fit together, without its texts.

    Raises ValueError with one line per problem; `prefix` is where the settings stand.
    """
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise ValueError("\n".join(explain(error, Config, prefix))) from None
    try:
        config = _only(config)
        check(config)
        if config.ablations:
            study(config)
        if config.choice:
            candidates(config)
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


def _require_names(value: object, path: str = "") -> None:
    """Raise ValueError for a key that YAML reads as something else than text."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if not isinstance(key, str):
            raise ValueError(f"{path or 'a setting'} has the name {key!r}{quoting(key)}")
        _require_names(item, f"{path}.{key}" if path else key)


def _looked_at(raw: dict[str, Any], look: Look | None) -> Config:
    """Return a configuration with what its ID pictures tell in place of each `auto`.

    Raises ValueError for `auto` where nothing can be looked at, and for rows that need more.
    """
    wanted = asked(raw)
    if look is None and wanted:
        raise ValueError(f"{wanted[0]} must be a number where no pictures are looked at, got auto")
    content, chosen = filled(raw)  # stand-ins: enough to know the ID data set
    config = _validated(content)
    if look and (wanted or config.datasets[config.id].kind in OWN_PICTURES):
        facts = look(config)
        content, chosen = filled(raw, facts)
        config = _validated(content) if wanted else config
        require_enough(config, facts)
    config.set_chosen(chosen if wanted else {})
    return config


def load(
    raw: dict[str, Any],
    look: Look | None = None,
    *,
    files: Iterable[str | Path] = (),
    given: Iterable[str] = (),
) -> Config:
    """Validate a configuration as read from YAML.

    `look` returns what the files of a configuration's ID data set tell: what `auto` is chosen by,
    and what rows may ask for. Raises ConfigError with one line per problem, which says where the
    setting stands: `files` are those that `raw` was merged from, the last one counts most, `given`
    the sections that `--config` has set besides.
    """
    try:
        require_bounded(raw)
        _require_names(raw)
        config = _looked_at(raw, look)
        if config.text is not None:
            config.set_texts(_with_texts(config))
    except ValueError as error:
        places = Places([Path(file) for file in files], given)
        lines = [f"config: {line}{places.of(line)}" for line in str(error).split("\n")]
        raise ConfigError("\n".join(lines)) from None
    return config


def _read(path: Path) -> dict[str, Any]:
    """Return the mapping that a file holds: JSON, else YAML, as Snakemake reads it.

    Raises ValueError, naming the file.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} must be a configuration, of at most {MOST_BYTES:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        twice = written_twice(text)
        try:
            content = json.loads(text)
        except ValueError:
            content = yaml.safe_load(text)
    except UNREADABLE as error:
        raise ValueError(f"{path} {no_yaml(error)}") from None
    if twice:
        raise ValueError(f"{path} {twice}; keep one")
    try:
        require_bounded(content)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping, got {type(content).__name__}")
    if other := [key for key in content if not isinstance(key, str)]:
        raise ValueError(
            f"{path} must name its settings by text, got {other[0]!r}{quoting(other[0])}"
        )
    return content


def require_plain(paths: Iterable[str | Path]) -> None:
    """Raise ValueError for a configuration file that has a key twice or cannot be used."""
    for path in paths:
        _read(Path(path))


def require_bounded(content: object) -> None:
    """Raise ValueError for more values than a configuration can mean, anchors counted as written
    out, and for one that holds itself. Reads each mapping and list once."""
    sizes: dict[int, int | None] = {}

    def size(value: object) -> int:
        if not isinstance(value, dict | list):
            return 1
        if id(value) in sizes:
            if (known := sizes[id(value)]) is None:
                raise ValueError("has a value that holds itself; remove the anchor in it")
            return known
        sizes[id(value)] = None
        below = value.values() if isinstance(value, dict) else value
        total = 1 + sum(map(size, below))
        sizes[id(value)] = total
        return total

    try:
        total = size(content)
    except RecursionError:
        raise ValueError("is nested too deeply to be a configuration") from None
    if total > MOST_VALUES:
        shown = f"{total:,}" if total < 10**15 else f"more than {10**15:,}"
        raise ValueError(
            f"must hold at most {MOST_VALUES:,} values, got {shown} (anchors written out)"
        )


def laid_over(base: Path, overlays: list[Path], own: Path | None = None) -> dict[str, Any]:
    """Return the mapping that Snakemake makes of its `configfile:`s and of the `--configfile`s.

    The overlays are merged with each other first, and the result is laid over the base and over
    `own`, the working folder's file. Their keys come first, too: Snakemake starts from the
    overlays, merges a `configfile:` into them, and then lays the overlays over both. Raises
    ValueError for a file that cannot be used.
    """
    overlay: dict[str, Any] = {}
    for path in overlays:
        overlay = merged(overlay, _read(path))
    whole = overlay
    for path in (base, own) if own else (base,):
        whole = merged(merged(whole, _read(path)), overlay)
    return whole


def completed(given: dict[str, Any]) -> dict[str, Any]:
    """Return settings laid over the packaged default, as a module's `config:` is."""
    return merged(merged(given, _read(DEFAULT)), given)


def effective_config(
    files: list[Path], look: Look | None = None, *, own: Path | None = None
) -> Config:
    """Return the configuration that a base file makes with the overlays that follow it; `look`: see
    load, `own`: see laid_over.

    Raises ConfigError for settings, ValueError for files that cannot be used.
    """
    base, *overlays = files
    files = [base, *([own] if own else []), *overlays]
    return load(laid_over(base, overlays, own), look, files=files)
