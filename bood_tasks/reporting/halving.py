"""What successive halving chose, and why: which candidates go on, and what is said at the end.

Successive halving (Jamieson & Talwalkar 2016): each rung has a share of the candidates of the one
before, and trainings that are longer by the same factor, so that every rung costs about the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd
from scipy.stats import spearmanr

from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.catalogue.titles import score_name
from bood_tasks.reporting.choice import (
    LEVEL,
    Candidate,
    candidates,
    chance,
    mean,
    points,
    tied,
)

OWN = ""  # the row as it is
FEWEST = 3  # candidates of which an order says anything


def by_kind(results: pd.DataFrame, sets: Mapping[str, str]) -> pd.DataFrame:
    """Return the figures on validation sets, averaged over the sets of each kind, so that every
    kind has the same weight; `sets`: each set's kind. The kind stands for the data set."""
    found = results[(results["split"] == "validation") & results["ood_dataset"].isin(sets)]
    found = found.assign(ood_dataset=found["ood_dataset"].map(sets))
    keys = ["method", "variant", "score", "ood_dataset", "split", "metric", "convention", "seed"]
    return found.groupby(keys, as_index=False, sort=False)["value"].mean()


@dataclass(frozen=True)
class Rung:
    """One rung's candidates, the best first, by all kinds of validation outliers together and by
    each alone."""

    ordered: list[Candidate]
    of_kind: dict[str, list[Candidate]]

    def labels(self) -> list[str]:
        return [label_of(item) for item in self.ordered]


def label_of(candidate: Candidate) -> str:
    return candidate.label[1]


def ranked(results: pd.DataFrame, sets: Mapping[str, str], by: str) -> Rung:
    """Return the candidates of one rung from its metrics.csv, of all views together."""
    rows = by_kind(results, sets)
    kinds = dict.fromkeys(sets.values())
    return Rung(
        candidates(rows, by=by), {kind: candidates(rows, by=by, sets=[kind]) for kind in kinds}
    )


def survivors(ordered: Sequence[str], fixed: Sequence[str], count: int) -> list[str]:
    """Return those that go on: the fixed ones, and the first `count` others; none if it is 0.

    >>> survivors(["a", "own", "b", "c"], ["own"], 2)
    ['own', 'a', 'b']
    """
    others = [label for label in ordered if label not in fixed]
    return [*fixed, *others[:count]] if count else []


def in_words(label: str, fixed: Sequence[str], row: str) -> str:
    """Return a candidate's name as people read it."""
    if label == OWN:
        return f"row {row} as it is"
    return f"the reference {label}" if label in fixed else label


def compared(first: Candidate, other: Candidate, name: str, by: str) -> str:
    """Say whether the choice can be told from one of the others, and by how much it is better."""
    gap = 100 * abs(mean(first.validation[by]) - mean(other.validation[by]))
    has = f"{name[0].upper()}{name[1:]} has {METRICS[by].title} {points(other.validation[by])}"
    p = chance(first, other, by)
    if p is None:
        return f"{has}, {gap:.1f} points away: one seed cannot tell the choice from it."
    if p >= LEVEL:
        return f"{has}: the choice cannot be told from it, {gap:.1f} points may be chance."
    return f"{has}: the choice is better by {gap:.1f} points, more than chance (p = {p:.2g})."


def at_the_edge(settings: Mapping[str, Any], tried: Mapping[str, Sequence[Any]]) -> list[str]:
    """Say which chosen numbers are the largest or smallest that were tried.

    >>> at_the_edge({"a.b": 3}, {"a.b": [1, 2, 3]})
    ['a.b = 3 is the largest value that was tried: a better one may lie beyond.']
    """
    told = []
    for name, value in settings.items():
        numbers = {x for x in tried.get(name, ()) if isinstance(x, int | float)}
        if isinstance(value, bool) or value not in numbers or len(numbers) < FEWEST:
            continue
        for which, end in (("largest", max(numbers)), ("smallest", min(numbers))):
            if value == end:
                told.append(
                    f"{name} = {value:g} is the {which} value that was tried: a better one may lie "
                    "beyond."
                )
    return told


def foretold(earlier: Mapping[str, float], later: Mapping[str, float]) -> float | None:
    """Return the rank correlation of what two rungs say of the candidates that both had; None for
    fewer than three or where all are equal."""
    both = [label for label in earlier if label in later]
    sides = [[rung[label] for label in both] for rung in (earlier, later)]
    if len(both) < FEWEST or any(len(set(side)) < 2 for side in sides):
        return None
    return float(spearmanr(*sides).statistic)


def biased(stages: Sequence[str]) -> str:
    """Say what generators at hand (plan/choice.at_hand) do to the figures of `held-out`."""
    return (
        f"Figures of held-out are biased: {' and '.join(stages)} of source local may have seen the "
        "classes left out, so outliers near its training look better than they are; with source "
        "train no fold's has."
    )


def sentences(rungs: Sequence[Mapping], last: Rung, settings: Mapping) -> list[str]:
    """Say what was chosen, how, from what it cannot be told, and what speaks against it.

    `rungs`: what choice.json says of each, `settings`: those of the last one's artifact.
    """
    by, fixed, row = settings["by"], settings["fixed"], settings["row"]["name"]
    first = last.ordered[0]
    chosen, kinds = label_of(first), list(last.of_kind)
    weight = ", each of the same weight" if len(kinds) > 1 else ""
    done = len(rungs) == settings["rungs"]
    told = [
        f"{'Chosen' if done else 'So far chosen'} for row {row} on validation outliers alone "
        f"({' and '.join(kinds)}{weight}): {in_words(chosen, fixed, row)}, {METRICS[by].title} "
        f"{points(first.validation[by])} there, read by {score_name(settings['score'])}."
    ]
    drawn, possible = settings["drawn"], settings["possible"]
    of = f"{drawn} of {possible} combinations, drawn at random," if drawn < possible else (
        f"{drawn} combination{'s' * (drawn > 1)}"
    )  # fmt: skip
    each = [
        f"{len(rung['candidates'])} candidates with {rung['share']:.0%} of the training and "
        f"{len(rung['seeds'])} seed{'s' * (len(rung['seeds']) > 1)}"
        for rung in rungs
    ]
    told.append(f"Tried were {of} beside {len(fixed)} fixed: {'; then '.join(each)}.")
    for item in last.ordered:
        if (label := label_of(item)) in fixed and label != chosen:
            told.append(compared(first, item, in_words(label, fixed, row), by))
    same = [label_of(item) for item in tied(last.ordered, by)]
    others = [label for label in same if label not in fixed]
    if others and len(first.validation[by]) > 1:
        told.append(f"Nor can it be told from {'; '.join(others)}.")
    if len(kinds) > 1:
        alone = {kind: label_of(found[0]) for kind, found in last.of_kind.items()}
        if len(set(alone.values())) == 1:
            told.append("Each kind of validation outliers alone would choose the same.")
        else:
            named = [f"{kind} {in_words(x, fixed, row)}" for kind, x in alone.items()]
            told.append(f"Alone would choose: {'; '.join(named)}.")
    if settings["at_hand"]:
        told.append(biased(settings["at_hand"]))
    found = next(x for x in settings["candidates"] if x["label"] == chosen)
    tried: dict[str, list] = {}
    for item in rungs[0]["candidates"]:
        for name, value in (item["settings"] or settings["own"]).items():
            tried.setdefault(name, []).append(value)
    told += at_the_edge(found["settings"], tried)
    if len(rungs) > 1:
        figures = [
            {x["label"]: fmean(x["figures"]["mean"][by]) for x in rung["candidates"]}
            for rung in rungs
        ]
        agreement = foretold(figures[0], figures[-1])
        if agreement is not None:
            told.append(
                "What the first rung says of the candidates of the last has a rank correlation of "
                f"{agreement:.2f} with what the last one says."
            )
    return told
