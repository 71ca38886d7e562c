"""Which row and which score to take, by validation outliers alone, and what that choice is worth.

A run's rows, each with its scores, are ordered by their AUROC on the validation sets, averaged
over sets and then seeds. The test sets choose nothing: they tell afterwards how far the choice fell
short of the best in hindsight (its regret), and how far validation orders rows as the tests do.
"""

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr, ttest_rel

from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.catalogue.titles import CONTROLS, row_name, score_name
from bood_tasks.reporting.tables.summary import Label

LEVEL = 0.05  # of the test that tells two rows apart
BY = ("auroc", "fpr95")
Seeds = Mapping[int, float]  # a figure in 0..1 of each seed


@dataclass(frozen=True)
class Candidate:
    """One row read by one score. `validation` and `test`: its figures of each seed, averaged over
    the sets, by metric."""

    label: Label
    validation: Mapping[str, Seeds]
    test: Mapping[str, Seeds]

    @property
    def name(self) -> str:
        method, variant, score = self.label
        return f"{row_name(method, variant)} by {score_name(score)}"


def mean(seeds: Seeds) -> float:
    """Return the mean over the seeds."""
    return statistics.fmean(seeds.values())


def spread(seeds: Seeds) -> float | None:
    """Return the standard deviation over the seeds (ddof = 1); None of one."""
    return statistics.stdev(seeds.values()) if len(seeds) > 1 else None


def _sign(by: str) -> int:
    return 1 if METRICS[by].higher_is_better else -1


def _averages(rows: pd.DataFrame) -> dict[tuple, dict[str, dict[int, float]]]:
    """Return, by label and metric, each seed's mean over the sets."""
    found: dict[tuple, dict[str, dict[int, float]]] = {}
    keys = ["method", "variant", "score", "metric", "seed"]
    for (*label, metric, seed), value in rows.groupby(keys, sort=False)["value"].mean().items():
        found.setdefault(tuple(label), {}).setdefault(metric, {})[int(seed)] = float(value)
    return found


def candidates(
    results: pd.DataFrame, *, by: str = "auroc", sets: Sequence[str] = ()
) -> list[Candidate]:
    """Return every row and score of metrics.csv, the best on validation outliers first.

    `by`: auroc or fpr95 (ID positive). `sets`: the validation sets that count; all without. Raises
    ValueError for others, and where there are none.
    """
    if by not in BY:
        raise ValueError(f"by must be one of {', '.join(BY)}, got {by!r}")
    rows = results[
        results["metric"].isin(BY)
        & results["convention"].isin(["", "id"])
        & ~results["method"].isin(CONTROLS)
    ]
    held_out, tests = (rows[rows["split"] == split] for split in ("validation", "test"))
    known = list(dict.fromkeys(held_out["ood_dataset"]))
    if not known:
        raise ValueError(
            "rows are chosen on validation outliers, and this run has none; name data sets under "
            "`validation` (corrupted ID pictures need no others: {kind: corrupted, of: <id>})"
        )
    for name in sets:
        if name in set(tests["ood_dataset"]):
            raise ValueError(
                f"rows must not be chosen on a test set, got {name!r}: its figures would then say "
                f"nothing of other data; validation sets: {', '.join(known)}"
            )
        if name not in known:
            raise ValueError(f"validation sets are {', '.join(known)}, got {name!r}")
    chosen = _averages(held_out[held_out["ood_dataset"].isin(sets)] if sets else held_out)
    tested = _averages(tests)
    found = [Candidate(label, of, tested.get(label, {})) for label, of in chosen.items()]
    return sorted(found, key=lambda item: -_sign(by) * mean(item.validation[by]))


def chance(one: Candidate, other: Candidate, by: str) -> float | None:
    """Return the probability of a difference on validation as large by chance: the paired t-test
    over the seeds that both have; None for fewer than two.

    Differences that are all equal are chance if they are 0, and certain otherwise.
    """
    a, b = one.validation[by], other.validation[by]
    shared = sorted(set(a) & set(b))
    if len(shared) < 2:
        return None
    left, right = (np.array([x[seed] for seed in shared]) for x in (a, b))
    if np.ptp(left - right) == 0:
        return float(left[0] == right[0])
    return float(ttest_rel(left, right).pvalue)


def tied(found: Sequence[Candidate], by: str = "auroc") -> list[Candidate]:
    """Return those that cannot be told apart from the first, which is not among them."""
    first, *others = found
    chances = {item.label: chance(first, item, by) for item in others}
    return [x for x in others if (p := chances[x.label]) is None or p >= LEVEL]


@dataclass(frozen=True)
class Worth:
    """What choosing on validation was worth on the test sets, in points of 0..1.

    `regret`: by metric, how much worse the choice is than the best in hindsight, of the means over
    the seeds. `by_seed`: by metric, the same of each seed's own choice. `hindsight`: by metric, the
    best. `correlation`: Spearman's, of validation and test over the candidates; None for fewer than
    three or where all are equal.
    """

    regret: Mapping[str, float]
    by_seed: Mapping[str, Seeds]
    hindsight: Mapping[str, Candidate]
    correlation: float | None


def worth(found: Sequence[Candidate], by: str = "auroc") -> Worth | None:
    """Return what the choice of the first by validation was worth; None without test sets."""
    found = [item for item in found if item.test]
    if not found:
        return None
    regret, hindsight, by_seed = {}, {}, {}
    for metric in BY:
        sign = _sign(metric)
        hindsight[metric] = max(found, key=lambda item: sign * mean(item.test[metric]))
        best = mean(hindsight[metric].test[metric])
        regret[metric] = max(0.0, sign * (best - mean(found[0].test[metric])))
        by_seed[metric] = _regrets_by_seed(found, by, metric)
    sides = [[mean(getattr(x, part)[by]) for x in found] for part in ("validation", "test")]
    known = len(found) > 2 and all(len(set(side)) > 1 for side in sides)
    correlation = float(spearmanr(*sides).statistic) if known else None
    return Worth(regret, by_seed, hindsight, correlation)


def _regrets_by_seed(found: Sequence[Candidate], by: str, metric: str) -> dict[int, float]:
    """Return each seed's regret, had it alone been run."""
    seeds = set.intersection(*(set(item.validation[by]) & set(item.test[metric]) for item in found))
    regrets = {}
    for seed in sorted(seeds):
        first = max(found, key=lambda item: _sign(by) * item.validation[by][seed])
        values = [_sign(metric) * item.test[metric][seed] for item in found]
        regrets[seed] = max(values) - _sign(metric) * first.test[metric][seed]
    return regrets


def percent(values: Collection[float]) -> str:
    """Return the mean of a figure over seeds in percent, with the deviation if there are more."""
    told = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.1f}{told}"


def points(seeds: Seeds) -> str:
    """Return a figure in percent, with its spread over seeds if it has one."""
    return percent(seeds.values())


def sentences(found: Sequence[Candidate], by: str = "auroc") -> list[str]:
    """Say what validation chooses, from what it cannot tell it, and what that was worth."""
    first, sets = found[0], METRICS[by].title
    told = [
        f"Chosen on validation outliers alone: {first.name} ({sets} {points(first.validation[by])} "
        "there)."
    ]
    if same := tied(found, by):
        several = f"{len(same)} others" if len(same) > 1 else same[0].name
        one_seed = len(first.validation[by]) < 2
        why = ", as one seed tells nothing apart" if one_seed else " by more than chance"
        told.append(f"Validation cannot tell it from {several}{why}.")
    if (of := worth(found, by)) is None:
        return told
    parts = [f"{100 * of.regret[metric]:.1f} points of {METRICS[metric].title}" for metric in BY]
    text = f"Its regret on the test sets, against the best in hindsight, is {' and '.join(parts)}"
    if len(of.by_seed[by]) > 1:
        parts = [f"{points(of.by_seed[metric])}" for metric in BY]
        text += f" (had one seed been run: {' and '.join(parts)})"
    told.append(f"{text}.")
    if of.correlation is not None:
        told.append(
            f"Over the {len(found)} rows and scores, validation and test have a rank correlation "
            f"of {of.correlation:.2f}."
        )
    return told
