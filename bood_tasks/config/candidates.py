"""The candidates of an automatic choice, as rows, and the configurations that they are tried in."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from typing import Any

from pydantic import BaseModel, ValidationError

from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.config.checks import check_row
from bood_tasks.config.choice import CORRUPTED, HELD_OUT, SCALED, Choice
from bood_tasks.config.datasets import CorruptedDataset, FoldDataset, TextFold, is_text
from bood_tasks.config.explain import closest, explain
from bood_tasks.config.fields import merged
from bood_tasks.config.root import OVERRIDDEN, Config, Row
from bood_tasks.config.synthesis import GENERATED

MOST = 10_000  # combinations of settings
OWN = ""  # the label of the row as it is


@dataclass(frozen=True)
class Candidate:
    """One combination of settings: a row, and what sets it apart, by dotted names ({} of the row as
    it is and of references)."""

    row: Row
    settings: dict[str, Any]


@dataclass(frozen=True)
class Candidates:
    """All candidates of a configuration by their labels, which are the variants of their rows.

    `own`: what the row has for each setting that is chosen. `fixed`: the row as it is and the
    references, which stay to the end. `drawn`: the others, in the order in which they are taken
    where there are too many.
    """

    config: Config
    own: dict[str, Any]
    every: dict[str, Candidate]
    fixed: tuple[str, ...]
    drawn: tuple[str, ...]

    @property
    def choice(self) -> Choice:
        return self.config.choice

    @property
    def score(self) -> str:
        """The score that candidates are compared by."""
        return self.choice.score or self.config.rows[self.choice.row].scores[0]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the last rung."""
        return self.choice.seeds or self.config.seeds

    @property
    def scaled(self) -> tuple[str, list[float]] | None:
        """The setting that rules without training choose, and its values in rising order."""
        for name in SCALED:
            values = {*self.choice.settings.get(name, ()), self.own.get(name)}
            if name in self.own and all(isinstance(x, int | float) for x in values):
                return name, sorted(values)
        return None

    def left(self, number: int, count: int) -> int:
        """Return how many of `count` candidates that are no references a rung has, at least one."""
        return max(1, ceil(count / self.choice.eta**number))

    def share(self, number: int) -> float:
        """Return the share of the whole training that a rung has."""
        return self.choice.eta ** (number + 1 - self.choice.rungs)

    def views(self) -> list[int | None]:
        """Return each candidate's trainings: on all classes (None), or without a fold."""
        whole = [None] if set(self.choice.validation) - {HELD_OUT} else []
        folds = range(self.choice.folds) if HELD_OUT in self.choice.validation else ()
        return [*whole, *folds]

    def sets(self, fold: int | None) -> dict[str, str]:
        """Return the kind of each validation set of a view, by its name."""
        if fold is not None:
            return {_left_out(self.config, fold): HELD_OUT}
        found = {CORRUPTED: _corrupted(self.config)}
        kinds = [kind for kind in self.choice.validation if kind != HELD_OUT]
        return {found.get(kind, kind): kind for kind in kinds}

    def at_rung(self, labels: Iterable[str], number: int, fold: int | None) -> Config:
        """Return the configuration of one rung and view: no test sets, and a row a candidate."""
        config, last = self.config, number == self.choice.rungs - 1
        datasets, name = dict(config.datasets), config.id
        if fold is None:
            if CORRUPTED in self.choice.validation:
                made = CorruptedDataset(kind="corrupted", of=config.id)
                datasets.setdefault(_corrupted(config), made)
        else:
            kind = TextFold if is_text(datasets[name]) else FoldDataset
            of = {"kind": "text_fold" if kind is TextFold else "fold", "of": config.id,
                  "folds": self.choice.folds, "fold": fold}  # fmt: skip
            name = f"{config.id}+fold{fold}"
            datasets[name] = kind(**of, part="kept")
            datasets[_left_out(config, fold)] = kind(**of, part="left_out")
        update = {
            "id": name,
            "datasets": datasets,
            "test": [],
            "control": [],
            "validation": list(self.sets(fold)),
            "seeds": self.seeds if last else self.seeds[:1],
            "rows": config.rows | {row_of(x): self._shortened(x, number) for x in labels},
        }
        return config.model_copy(update=update)

    def _shortened(self, label: str, number: int) -> Row:
        """Return a candidate's row with the length of a rung."""
        row, share = self.every[label].row, self.share(number)
        whole = _with_row(self.config, row_of(label), row).for_row(row_of(label))
        short: dict[str, dict[str, int]] = {}
        for name in self.choice.shortened:
            section, key = name.split(".")
            settings = getattr(whole, section)
            value = getattr(settings, key)
            shard = settings.shard if name == "images.per_class" else 1  # shards are shared
            less = min(value, ceil(value * share / shard) * shard)
            if less < value:
                short.setdefault(section, {})[key] = less
        return row.model_copy(update={"set": merged(row.set, short), "scores": [self.score]})


def row_of(label: str) -> str:
    """Return the name of a candidate's row; no row of the configuration can have such a name."""
    return f"choice/{label}"


def _corrupted(config: Config) -> str:
    """Return the name of the corrupted ID data set: the configuration's own if it has one."""
    made = CorruptedDataset(kind="corrupted", of=config.id)
    own = [name for name, item in config.datasets.items() if item == made]
    return own[0] if own else f"{config.id}+corrupted"


def _left_out(config: Config, fold: int) -> str:
    return f"{config.id}+fold{fold}+left-out"


def _with_row(config: Config, name: str, row: Row) -> Config:
    return config.model_copy(update={"rows": config.rows | {name: row}})


def _as_outliers(value: Any) -> Any:
    """Return a row's outliers as a row keeps them: {name: share}."""
    return ({} if value == "none" else {value: 1.0}) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "+".join(f"{key}:{_shown(item)}" for key, item in value.items())
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if is_number else str(value)


def _overrides(settings: dict[str, Any]) -> dict:
    """Return {section: {setting: value}} of settings by dotted names."""
    found: dict = {}
    for name, value in settings.items():
        for part in reversed(name.split(".")):
            value = {part: value}
        found = merged(found, value)
    return found


def _own_value(config: Config, row: str, name: str) -> Any:
    """Return what the row has for a setting. Raises ValueError for a name that is none."""
    if name == "outliers":
        return config.rows[row].outliers
    section, *parts = name.split(".")
    if section not in OVERRIDDEN:
        raise ValueError(
            f"choice.settings.{name} must be in a section that a row may change, got {section!r}"
            f"{closest(section, OVERRIDDEN)}"
        )
    value = getattr(config.for_row(row), section)
    for part in parts:
        known = getattr(type(value), "model_fields", {})
        if part not in known:
            raise ValueError(
                f"choice.settings.{name} must name a setting, got {part!r}{closest(part, known)}"
            )
        value = getattr(value, part)
    if isinstance(value, BaseModel):
        known = type(value).model_fields
        raise ValueError(
            f"choice.settings.{name} must name one setting, got a section of several; name "
            f"{name}.{next(iter(known))} or another of {', '.join(known)}"
        )
    return value


def _candidate(base: Row, label: str, settings: dict[str, Any], overrides: dict) -> Candidate:
    changed: dict[str, Any] = {"variant": label, "set": merged(base.set, overrides)}
    if "outliers" in settings:
        changed["outliers"] = settings["outliers"]
        if settings["outliers"] is None:
            raise ValueError("choice.settings.outliers must name sources or none, got null")
    try:
        row = Row.model_validate(base.model_dump() | changed)
    except ValidationError as error:
        raise ValueError("; ".join(explain(error, Row, "choice.settings"))) from None
    row.outliers = _as_outliers(row.outliers)
    return Candidate(row, settings)


def candidates(config: Config) -> Candidates:
    """Return the candidates of a configuration's choice.

    Raises ValueError, naming the setting, for a row, setting, value or validation set that cannot
    be.
    """
    choice = config.choice
    if choice.row not in config.rows:
        raise ValueError(
            f"choice.row must name a row, got {choice.row!r}{closest(choice.row, config.rows)}"
        )
    base = config.rows[choice.row]
    own = {name: _own_value(config, choice.row, name) for name in choice.settings}
    count = prod(map(len, choice.settings.values()))
    if count > MOST:
        raise ValueError(
            f"choice.settings must have at most {MOST:,} combinations, got {count:,}; name fewer "
            "values"
        )
    short = {name: name.rpartition(".")[2] for name in own}
    if len(set(short.values())) < len(short):
        short = {name: name for name in own}
    every = {OWN: _candidate(base, OWN, {}, {})}
    for label, overrides in choice.references.items():
        every[label] = _candidate(base, label, {}, overrides)
    fixed = tuple(every)
    for values in product(*choice.settings.values()):
        settings = dict(zip(own, values, strict=True))
        if all(_equal(name, value, own[name]) for name, value in settings.items()):
            continue
        label = ", ".join(f"{short[name]}={_shown(value)}" for name, value in settings.items())
        if label in every:
            raise ValueError(f"choice.settings must have each value once, got {label} twice")
        plain = {name: value for name, value in settings.items() if name != "outliers"}
        every[label] = _candidate(base, label, settings, _overrides(plain))
    drawn = [label for label in every if label not in fixed]
    if not drawn:
        raise ValueError(
            "choice.settings must have another value than the row's own, got "
            + ", ".join(f"{name}: {_shown(value)}" for name, value in own.items())
        )
    random.Random(0).shuffle(drawn)
    found = Candidates(config, own, every, fixed, tuple(drawn[: choice.candidates]))
    _check_validation(found)
    _check_candidates(found)
    _check_rules(found)
    return found


def _equal(name: str, value: Any, own: Any) -> bool:
    return (_as_outliers(value) if name == "outliers" else value) == own


def _check_validation(found: Candidates) -> None:
    """Raise ValueError for validation outliers that are test data, or that cannot be made."""
    config, choice = found.config, found.choice
    data, own = config.datasets[config.id], config.for_row(choice.row)
    tests = {name: config.datasets[name] for name in config.test}
    for name in choice.validation:
        if name in (CORRUPTED, HELD_OUT):
            if getattr(data, "validation_per_class", 1) == 0 or getattr(data, "validation", 1) == 0:
                raise ValueError(
                    f"choice.validation must not have {name} while datasets.{config.id} holds "
                    "nothing out for validation; hold some out"
                )
            continue
        if name in tests:
            raise ValueError(
                f"choice.validation must not name a test set, got {name!r}: its figures would then "
                f"say nothing of other data; take {CORRUPTED}, {HELD_OUT} or a set of `validation`"
            )
        if name not in config.validation:
            known = (CORRUPTED, HELD_OUT, *config.validation)
            raise ValueError(
                f"choice.validation must name a set of `validation`, {CORRUPTED} or {HELD_OUT}, "
                f"got {name!r}{closest(name, known)}"
            )
        item = config.datasets[name]
        twin = [test for test, of in tests.items()
                if of == item or (item.kind in CATALOGUE and of.kind == item.kind)]  # fmt: skip
        if twin:
            raise ValueError(
                f"choice.validation must not name the data of a test set, got {name!r}, which are "
                f"those of {twin[0]!r}; take others"
            )
    if CORRUPTED in choice.validation and is_text(data):
        raise ValueError(
            f"choice.validation must not have {CORRUPTED} for texts, of which none are made; take "
            f"{HELD_OUT} or a set of `validation`"
        )
    if HELD_OUT not in choice.validation:
        return
    count = len(getattr(data, "classes", None) or ()) or getattr(
        CATALOGUE.get(data.kind), "classes", None
    )
    if count and (choice.folds > count or count - ceil(count / choice.folds) < 2):
        raise ValueError(
            f"choice.folds must leave two classes of {count} in the training, got {choice.folds}; "
            "take another number"
        )
    trained_before = {
        "detector.pretrained": own.detector.pretrained,
        "image.whole": config.image.whole,
        "detector.network": not isinstance(own.detector.network, str),
        "detector.epochs": own.detector.epochs == 0,
    }
    if named := [setting for setting, given in trained_before.items() if given]:
        raise ValueError(
            f"choice.validation must not have {HELD_OUT} with {named[0]} as row {choice.row} has "
            f"it: no network without these classes can be trained so; write validation: "
            f"[{CORRUPTED}]"
        )


def _check_candidates(found: Candidates) -> None:
    """Raise ValueError for a value that the schema refuses, or a training too short for its row."""
    config, choice = found.config, found.choice
    score = found.score
    if score not in config.rows[choice.row].scores:
        known = config.rows[choice.row].scores
        raise ValueError(
            f"choice.score must be a score of row {choice.row}, got {score!r}"
            f"{closest(score, known)}"
        )
    sources = {*GENERATED, *config.sources, *config.datasets}
    for label, candidate in found.every.items():
        for source in set(candidate.row.outliers) - sources:
            raise ValueError(
                f"choice.settings.outliers must name outlier sources, got {source!r}"
                f"{closest(source, sources)}"
            )
        if tested := set(candidate.row.outliers) & set(config.test):
            raise ValueError(
                "choice.settings.outliers must not name a test set, got "
                f"{sorted(tested)[0]!r}: its figures would then say nothing of other data"
            )
        where = f"choice.references.{label}" if label in choice.references else "choice.settings"
        whole = _with_row(config, row_of(label), candidate.row)
        try:
            check_row(whole, row_of(label))
            check_row(found.at_rung([label], 0, None), row_of(label))
        except ValueError as error:
            text = str(error).replace(f"rows.{row_of(label)}.set", where)
            told = f" (candidate {label})" if label else ""
            raise ValueError(f"{text}{told}") from None


def _check_rules(found: Candidates) -> None:
    """Raise ValueError for rules that have nothing to look at."""
    config, rules = found.config, found.choice.rules
    if rules is None:
        return
    if not found.scaled:
        raise ValueError(
            f"choice.rules must be null unless {' or '.join(SCALED)} is among choice.settings with "
            f"numbers, got {', '.join(found.own)}"
        )
    if rules.row not in config.rows or config.rows[rules.row].outliers:
        plain = [name for name, row in config.rows.items() if not row.outliers]
        raise ValueError(
            f"choice.rules.row must name a row without outliers, got {rules.row!r}"
            f"{closest(rules.row, plain)}"
        )
    if rules.noise not in config.datasets or rules.noise in config.test:
        known = set(config.datasets) - set(config.test)
        raise ValueError(
            f"choice.rules.noise must name a data set that is no test set, got {rules.noise!r}"
            f"{closest(rules.noise, known)}"
        )
