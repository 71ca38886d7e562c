"""The specs of an automatic choice, rung by rung. Imports no torch.

What a rung tries is known when the one before has ended: its artifact names the candidates that go
on. So a plan is a function of the configuration and of the rungs that are finished, and the
workflow plans on whenever one has (`checkpoint choice_artifact`).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bood_tasks.artifacts.spec import Spec, readable
from bood_tasks.config.candidates import Candidates, candidates, row_of
from bood_tasks.config.choice import HELD_OUT
from bood_tasks.config.root import Config
from bood_tasks.plan.datasets import dataset
from bood_tasks.plan.detectors import detector, method_file
from bood_tasks.plan.resources import hours_of
from bood_tasks.plan.scoring import label_scores, metrics
from bood_tasks.plan.sizes import Sizes
from bood_tasks.plan.synthesis import gan_images, texts

FILE = "choice.json"  # of a rung's artifact
SAMPLED = ("gan_generator", "language_model")  # their samples are of all classes that they know
Effort = Callable[[Iterable[Spec]], float]
# A budget's minutes must be the same before and after a data set is read: facts are not looked at.
ESTIMATED = Sizes(unknown=10_000, finished=False)


def lineage(specs: Iterable[Spec]) -> dict[str, Spec]:
    """Return specs with all that they are made from, by digest."""
    found: dict[str, Spec] = {}
    left = list(specs)
    while left:
        spec = left.pop()
        if spec.digest not in found:
            found[spec.digest] = spec
            left.extend(spec.upstream())
    return found


def at_hand(found: Candidates, specs: Iterable[Spec]) -> list[str]:
    """Return which generators of these specs are not trained here, and so have seen the classes
    that `held-out` leaves out: their samples hold what the validation outliers are."""
    if HELD_OUT not in found.choice.validation:
        return []
    stages = {spec.stage for spec in specs if spec.settings.get("source") == "local"}
    return [stage for stage in SAMPLED if stage in stages]


def _scores(found: Candidates, label: str, number: int) -> dict[str, Spec]:
    """Return all that one candidate's figures in a rung are made from."""
    return lineage(
        spec
        for fold in found.views()
        for spec in label_scores(found.at_rung([label], number, fold), [row_of(label)])[1]
    )


def rung(
    found: Candidates, labels: list[str], number: int, before: Spec | None, of_texts: bool
) -> Spec:
    """Spec of one rung: these candidates' figures, and which of them go on."""
    choice, count = found.choice, len(_drawn(found))
    last = number == choice.rungs - 1
    results, sets = [], {}
    for fold in found.views():
        config = found.at_rung(labels, number, fold)
        results.append(metrics(config, f"{config.id}-rung{number}", map(row_of, labels)))
        sets |= found.sets(fold)
    base = found.config.rows[choice.row]
    settings = {
        "rung": number,
        "rungs": choice.rungs,
        "share": found.share(number),
        "by": choice.by,
        "score": found.score,
        "sets": list(map(list, sets.items())),
        "row": {
            "name": choice.row,
            **base.model_dump(include={"method", "variant", "outliers", "set"}),
            "scores": list(base.scores),
        },
        "fixed": list(found.fixed),
        "candidates": [
            {"label": label, "settings": found.every[label].settings,
             "set": found.every[label].row.set, "outliers": found.every[label].row.outliers}
            for label in labels
        ],
        "own": {name: found.own[name] for name in choice.settings},
        "possible": len(found.every) - len(found.fixed),
        "drawn": count,
        "going_on": 0 if last else found.left(number + 1, count),
        "texts": of_texts,
        "only": list(found.config.only.rows or ()),
        "at_hand": at_hand(found, lineage(results).values()),
    }  # fmt: skip
    inputs: dict = {"metrics": tuple(results)}
    if choice.rules and last:
        setting, values = found.scaled
        settings["rules"] = {
            "setting": setting, "values": values, "quantile": choice.rules.quantile
        }  # fmt: skip
        inputs["statistics"] = tuple(statistics(found, value) for value in values)
    if before:
        inputs["before"] = before
    return Spec("choice", readable(choice.row, f"rung{number}"), settings, inputs)


def statistics(found: Candidates, value: float) -> Spec:
    """Spec of how far outliers of one scale or temperature lie from ID."""
    config, rules, name = found.config, found.choice.rules, found.scaled[0]
    section, key = name.split(".")
    own, seed = config.for_row(found.choice.row), found.seeds[0]
    changed = {key: value, "count": min(rules.count, getattr(own, section).count)}
    own = own.model_copy(update={section: getattr(own, section).model_copy(update=changed)})
    made = gan_images(own, seed) if section == "gan_images" else texts(own, seed)
    judge = detector(config, rules.row, seed)
    inputs = {
        "outliers": made,
        "detector": judge,
        "datasets": (dataset(config, config.id), dataset(config, rules.noise)),
    }
    settings = {"count": changed["count"], "crop": config.image.crop}
    return Spec(
        "outlier_statistics", made[0].name.split("-seed")[0], settings, inputs, method_file(judge)
    )


def going_on(done: Spec) -> list[str] | None:
    """Return the candidates that a finished rung lets go on; None while it is not finished."""
    if not Path(done.manifest).is_file():
        return None
    path = Path(done.manifest).with_name(FILE)
    return json.loads(path.read_text(encoding="utf-8"))["going_on"]


def rungs(config: Config, *, of_texts: bool = False) -> list[Spec]:
    """Return the specs of the rungs that can be planned: up to the first that is not finished.

    `of_texts`: the configuration is the `text` part of another.

    Raises ValueError for a budget too small for a single candidate.
    """
    found = candidates(config)
    labels, specs = [*found.fixed, *_drawn(found)], []
    for number in range(found.choice.rungs):
        specs.append(rung(found, labels, number, specs[-1] if specs else None, of_texts))
        labels = going_on(specs[-1])
        if labels is None:
            break
    return specs


# --- what it costs ---


def _minutes(device: str) -> Effort:
    def effort(specs: Iterable[Spec]) -> float:
        return sum(
            60 * (hours_of(spec, ESTIMATED.operations(spec), device) or 0.0) for spec in specs
        )

    return effort


def _efforts(config: Config) -> dict[str, tuple[float, Effort]]:
    """Return what bounds a choice, by setting: the bound, and how it is counted."""
    budget = config.choice.budget
    bounds = {
        "jobs": (budget.jobs, lambda specs: float(sum(1 for _ in specs))),
        "minutes": (budget.minutes, _minutes(budget.device)),
    }
    return {name: (bound, effort) for name, (bound, effort) in bounds.items() if bound is not None}


def most(
    found: Candidates, count: int, known: dict[tuple[str, int], dict[str, Spec]] | None = None
) -> list[dict[str, Spec]]:
    """Return, for each rung, what it makes at most if `count` candidates are drawn: those that need
    most jobs go on. What earlier rungs have made is not made again. `known` keeps what each
    candidate needs, for the next call."""
    known = {} if known is None else known

    def needed(label: str, number: int) -> dict[str, Spec]:
        if (label, number) not in known:
            known[label, number] = _scores(found, label, number)
        return known[label, number]

    made: dict[str, Spec] = {}
    labels, parts = list(found.drawn[:count]), []
    for number in range(found.choice.rungs):
        of_each = {label: needed(label, number) for label in (*found.fixed, *labels)}
        if number:
            labels.sort(key=lambda label: -len(of_each[label]))
            labels = labels[: found.left(number, count)]
        new: dict[str, Spec] = {}
        for label in (*found.fixed, *labels):
            new |= {digest: spec for digest, spec in of_each[label].items() if digest not in made}
        if number == found.choice.rungs - 1 and found.choice.rules:
            looked = lineage(statistics(found, value) for value in found.scaled[1])
            new |= {digest: spec for digest, spec in looked.items() if digest not in made}
        parts.append(new)
        made |= new
    return parts


def _ends(found: Candidates) -> int:
    """Return the jobs of a choice besides those of its candidates: metrics, and each rung's own."""
    return found.choice.rungs * (len(found.views()) + 1)


_DRAWN: dict[str, list[str]] = {}  # asked for by every rung


def _drawn(found: Candidates) -> list[str]:
    """Return the candidates that the budget allows, besides those that are fixed.

    Raises ValueError, with the least budget that would do, if it allows none.
    """
    bounds = _efforts(found.config)
    if not bounds:
        return list(found.drawn)
    key = found.config.model_dump_json(exclude={"run"})
    if key not in _DRAWN:
        _DRAWN[key] = _within(found, bounds)
    return _DRAWN[key]


def _within(found: Candidates, bounds: Mapping[str, tuple[float, Effort]]) -> list[str]:
    known: dict[tuple[str, int], dict[str, Spec]] = {}

    def costs(count: int) -> dict[str, float]:
        parts = most(found, count, known)
        specs = [spec for part in parts for spec in part.values()]
        ends = {"jobs": _ends(found)}
        return {name: effort(specs) + ends.get(name, 0) for name, (_, effort) in bounds.items()}

    def fits(count: int) -> bool:
        return all(cost <= bounds[name][0] for name, cost in costs(count).items())

    if not fits(1):
        name, cost = next((n, c) for n, c in costs(1).items() if c > bounds[n][0])
        raise ValueError(
            f"choice.budget.{name} must be at least {cost:,.0f}, which the row as it is, the "
            f"references and one candidate take, got {bounds[name][0]:g}; raise it, or lower "
            "choice.rungs, choice.folds or the number of seeds"
        )
    low, high = 1, len(found.drawn)  # the largest number that fits, by halving
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return list(found.drawn[:low])


def planned_rungs(config: Config) -> list[dict[str, Spec]]:
    """Return what each rung makes at most: for `bood plan`."""
    found = candidates(config)
    return most(found, len(_drawn(found)))
