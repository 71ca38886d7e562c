"""What a run came to, in sentences that rules write from its numbers.

Rows are ordered by AUROC, averaged over the test sets: FPR95 looks at one threshold alone. Two rows
are told apart by Welch's t-test on the averages of their seeds; one seed tells nothing apart.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.stats import ttest_ind

from bood_tasks.catalogue.methods import MADE
from bood_tasks.catalogue.titles import CONTROLS, row_name, score_name
from bood_tasks.reporting.tables.summary import AVERAGE, Label, average_over_sets

LEVEL = 0.05  # of the test that tells two rows apart
PLAIN = "none"


@dataclass(frozen=True)
class Contender:
    """One line of the table: its AUROC and FPR95 (ID positive), averaged over the test sets, of
    each seed."""

    label: Label
    auroc: Sequence[float]
    fpr95: Sequence[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.auroc)

    @property
    def name(self) -> str:
        method, variant, score = self.label
        return f"{row_name(method, variant)} by {score_name(score)}"

    @property
    def said(self) -> str:
        """Its name and figures."""
        return f"{self.name} (AUROC {_percent(self.auroc)}, FPR95 {_percent(self.fpr95)})"


def _percent(values: Sequence[float]) -> str:
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.1f}{spread}"


def contenders(results: pd.DataFrame) -> list[Contender]:
    """Return the lines of a table, best first; without the controls that are no detectors."""
    found = average_over_sets(results)
    lines = []
    for label, rows in found.groupby(["method", "variant", "score"], sort=False):
        if label[0] in CONTROLS:
            continue
        of = {
            metric: rows[(rows["metric"] == metric) & rows["convention"].isin(["", "id"])]
            for metric in ("auroc", "fpr95")
        }
        lines.append(Contender(label, *(of[name]["value"].tolist() for name in of)))
    return sorted(lines, key=lambda line: -line.mean)


def chance(one: Contender, other: Contender) -> float | None:
    """Return the probability of a difference as large by chance (Welch); None for too few seeds.

    Equal values of all seeds differ by chance, or certainly, as their means do.
    """
    if min(len(one.auroc), len(other.auroc)) < 2:
        return None
    if len({*one.auroc}) == len({*other.auroc}) == 1:
        return float(one.mean == other.mean)
    return float(ttest_ind(one.auroc, other.auroc, equal_var=False).pvalue)


def _compared(one: Contender, other: Contender, whose: str) -> str:
    """Say whether a line is better than another one."""
    by_chance = chance(one, other)
    if by_chance is None:
        return f"whether that differs from {whose}, {other.said}, one seed cannot tell"
    if by_chance >= LEVEL:
        return f"these seeds do not tell it from {whose}, {other.said} (p = {by_chance:.2f})"
    word = "better" if one.mean > other.mean else "worse"
    return f"it is {word} than {whose}, {other.said}, by more than chance (p = {by_chance:.3f})"


def _kind(line: Contender, outliers: Mapping[str, str]) -> str:
    return outliers.get("|".join(line.label[:2]), PLAIN)


def _first(lines: Sequence[Contender], outliers: Mapping[str, str], *kinds: str):
    return next((line for line in lines if _kind(line, outliers) in kinds), None)


def _of_outliers(lines: Sequence[Contender], outliers: Mapping[str, str]) -> list[str]:
    """Say what generated outliers give beside none, and whether noise does as well."""
    made = _first(lines, outliers, *MADE)
    if made is None:
        return []
    found = []
    same = [x for x in lines if x.label[2] == made.label[2]]
    plain = _first(same, outliers, PLAIN) or _first(lines, outliers, PLAIN)
    if plain:
        same_score = ", by the same score" if plain.label[2] == made.label[2] else ""
        of = _compared(made, plain, f"the best row that was shown none{same_score}")
        found.append(f"Best with generated outliers is {made.said}; {of}.")
    if noise := _first(lines, outliers, "noise"):
        by_chance = chance(noise, made)
        if by_chance is not None and by_chance < LEVEL and noise.mean < made.mean:
            verdict = f"does less well: {noise.said} (p = {by_chance:.3f})"
        elif noise.mean >= made.mean:
            verdict = f"does no worse: {noise.said}, so the generator has not shown its worth here"
        else:
            verdict = f"comes close: {noise.said}, and these seeds do not tell them apart"
        found.append(f"Plain noise as outliers {verdict}.")
    return found


def _of_sets(results: pd.DataFrame, best: Contender) -> str:
    """Say which test set is the hardest, and what the best row makes of it."""
    tests = results[(results["split"] == "test") & (results["metric"] == "auroc")]
    tests = tests[(tests["ood_dataset"] != "") & ~tests["method"].isin(CONTROLS)]
    names = ["method", "variant", "score"]
    of = tests.groupby(["ood_dataset", *names], sort=False)["value"].mean()
    if of.index.get_level_values(0).nunique() < 2:
        return ""
    hardest = of.groupby(level=0).max().idxmin()
    ranked = of[hardest]
    top, own = ranked.idxmax(), ranked[best.label]
    words = f"Hardest is {hardest}: "
    words += f"no row has an AUROC above {100 * ranked.max():.1f}"
    if top == best.label:
        return f"{words}, and that is the best row's."
    return (
        f"{words} ({row_name(*top[:2])} by {score_name(top[2])}), and the best row's there is "
        f"{100 * own:.1f}."
    )


def _of_pixels(lines: Sequence[Contender], pixels: Mapping[str, Mapping], tests: list[str]) -> str:
    """Say how many rows stay below what pixels alone tell."""
    if not all(name in pixels for name in tests):
        return ""
    reach = statistics.fmean(pixels[name]["auroc"] for name in tests)
    below = sum(line.mean < reach for line in lines)
    which = "every row is above it" if not below else f"{below} of {len(lines)} rows are below it"
    return (
        f"Statistics of the pixels alone, the best for each set, reach an AUROC of "
        f"{100 * reach:.1f}; {which}."
    )


def sentences(
    results: pd.DataFrame, outliers: Mapping[str, str], pixels: Mapping[str, Mapping]
) -> list[str]:
    """Return what a run came to.

    `results`: the rows of metrics.csv. `outliers`: what kind of outliers each `method|variant` saw
    (plan/reporting.kind_of_outliers). `pixels`: pixel_statistics.json.
    """
    lines = contenders(results)
    if not lines:
        return []
    tests = list(dict.fromkeys(results[(results["split"] == "test")]["ood_dataset"]))
    tests = [name for name in tests if name not in ("", AVERAGE)]
    best, *others = lines
    word = f"the average over {len(tests)} test sets" if len(tests) > 1 else f"{tests[0]}"
    first = f"Best on {word} is {best.said}"
    if others:
        first += f"; {_compared(best, others[0], 'the next')}"
    found = [f"{first}.", *_of_outliers(lines, outliers)]
    found += [_of_sets(results, best), _of_pixels(lines, pixels, tests)]
    return [text for text in found if text]
