"""What a run came to, in sentences that rules write from its numbers: the page's first answers.

Rows are ordered by AUROC, averaged over the test sets: FPR95 looks at one threshold alone. Whether
two are told apart is the table's own mark (reporting/tables/apart.py).
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from bood_tasks.catalogue.methods import MADE
from bood_tasks.catalogue.metrics import METRICS, group_average
from bood_tasks.catalogue.titles import CONTROLS, row_name, score_name
from bood_tasks.reporting import choice, ranks
from bood_tasks.reporting.choice import percent
from bood_tasks.reporting.tables.apart import Difference, Differences
from bood_tasks.reporting.tables.layout import MINUS
from bood_tasks.reporting.tables.summary import AVERAGE, Label, average_over_sets

PLAIN = "none"
REFERENCE = ("ce", "", "energy")  # what every row is held against, where the run has it


class Finding(NamedTuple):
    """One answer of the page: what was asked, in a word or two, and what the numbers say."""

    topic: str
    text: str


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
        return f"{self.name} (AUROC {percent(self.auroc)}, FPR95 {percent(self.fpr95)})"


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


def reference(lines: Sequence[Contender]) -> Contender | None:
    """Return the line that all are held against: cross-entropy by energy, else by its first."""
    plain = [line for line in lines if line.label[:2] == REFERENCE[:2]]
    return next((x for x in plain if tuple(x.label) == REFERENCE), plain[0] if plain else None)


@dataclass(frozen=True)
class Told:
    """What sentences are written from: the lines, best first, and the differences of each two."""

    lines: Sequence[Contender]
    outliers: Mapping[str, str]
    differences: Differences

    def between(self, one: Contender, other: Contender, dataset: str = AVERAGE) -> Difference:
        """Return the difference of two lines' AUROC; unbounded where it is not known."""
        found = self.differences.find(one.label, other.label, dataset, "auroc")
        return found or Difference(one.mean - other.mean, -1.0, 1.0)

    def first(self, *kinds: str, score: str = "") -> Contender | None:
        """Return the best line that was shown outliers of these kinds, of this score if given."""
        return next(
            (
                x
                for x in self.lines
                if self.outliers.get("|".join(x.label[:2]), PLAIN) in kinds
                and score in ("", x.label[2])
            ),
            None,
        )


def _points(found: Difference, metric: str = "auroc") -> str:
    """Return a difference without its sign, and its interval: `4.5 points of AUROC (95 % 2.6 to
    6.5)`."""
    found = found if found.value >= 0 else found.turned
    ends = f"{100 * found.low:.1f} to {100 * found.high:.1f}".replace("-", MINUS)
    return f"{100 * found.value:.1f} points of {METRICS[metric].title} (95 % {ends})"


def _compared(told: Told, one: Contender, other: Contender, whose: str) -> str:
    """Say whether a line is better than another one."""
    found = told.between(one, other)
    if not found.apart:
        return f"it cannot be told apart from {whose}, {other.said}: they differ by " + _points(
            found
        )
    word = "better" if found.value > 0 else "worse"
    return f"it is {word} than {whose}, {other.said}, by {_points(found)}"


def _best(told: Told, tests: Sequence[str], seeds: int) -> Finding:
    """Say what is best, and from how many it can be told apart."""
    best, *others = told.lines
    word = f"the average over {len(tests)} test sets" if len(tests) > 1 else f"{tests[0]}"
    text = f"Best on {word} is {best.said}"
    if not others:
        return Finding("Best", f"{text}.")
    text += f"; {_compared(told, best, others[0], 'the next')}."
    same = sum(not told.between(best, line).apart for line in others)
    if len(others) > 1:
        text += (
            f" Of all {len(others)} others {same} cannot be told apart from it."
            if same
            else f" It can be told from each of the {len(others)} others."
        )
    if seeds == 1:
        text += " With one seed this is over samples alone: another training may differ more."
    return Finding("Best", text)


def _against_plain(told: Told) -> Finding | None:
    """Set the best line beside plain cross-entropy."""
    best, plain = told.lines[0], reference(told.lines)
    if plain is None or plain is best:
        return plain and Finding("Against plain", f"The best is plain: {plain.name}.")
    text = f"Against {plain.said} the best has {_more(told, best, plain, 'auroc')}"
    text = f"{text} and {_more(told, best, plain, 'fpr95')}".rstrip(",")  # of a clause that ends it
    return Finding("Against plain", f"{text}.")


def _more(told: Told, one: Contender, other: Contender, metric: str) -> str:
    found = told.differences.find(one.label, other.label, AVERAGE, metric)
    if found is None:
        gain = statistics.fmean(getattr(one, metric)) - statistics.fmean(getattr(other, metric))
        return f"{100 * gain:+.1f} points of {METRICS[metric].title}".replace("-", MINUS)
    text = f"{_points(found, metric)} {'more' if found.value >= 0 else 'less'}"
    return text if found.apart else f"{text}, which is not told from none,"


def _of_outliers(told: Told) -> list[Finding]:
    """Say what generated outliers give beside none, and whether noise does as well."""
    made = told.first(*MADE)
    if made is None:
        return []
    found = []
    plain = told.first(PLAIN, score=made.label[2]) or told.first(PLAIN)
    if plain:
        same_score = ", by the same score" if plain.label[2] == made.label[2] else ""
        of = _compared(told, made, plain, f"the best row that was shown none{same_score}")
        text = f"Best with generated outliers is {made.said}; {of}."
        found.append(Finding("Generated outliers", text))
    if noise := told.first("noise"):
        ahead = told.between(noise, made)
        if ahead.apart and ahead.value < 0:
            verdict = f"does less well: {noise.said}, by {_points(ahead)}"
        elif ahead.value >= 0:
            verdict = f"does no worse: {noise.said}, so the generator has not shown its worth here"
        else:
            verdict = f"comes close: {noise.said}, and cannot be told apart: {_points(ahead)}"
        found.append(Finding("Noise instead", f"Plain noise as outliers {verdict}."))
    return found


def _of_near(told: Told, columns: Mapping[str, str]) -> Finding | None:
    """Say on which sets training on generated outliers, or else the best row, costs or gains AUROC
    against plain. `columns`: data set, or average over a group, by what it is called."""
    plain = reference(told.lines)
    line = told.first(*MADE, "mixed", "natural", "noise")
    if plain is None or line is None or line is plain:
        return None
    sides: dict[str, list[str]] = {"worse": [], "better": [], "no different": []}
    for name, dataset in columns.items():
        found = told.differences.find(line.label, plain.label, dataset, "auroc")
        if found is None:
            return None
        side = ("better" if found.value > 0 else "worse") if found.apart else "no different"
        sides[side].append(f"{name} ({100 * found.value:+.1f})".replace("-", MINUS))
    parts = [f"{side} on {', '.join(names)}" for side, names in sides.items() if names]
    text = f"Of rows with outliers the best, {line.name}, is against {plain.name}"
    return Finding("Near and far", f"{text}: {'; '.join(parts)}, in points of AUROC.")


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
    return (
        f"Statistics of the pixels alone, the best for each set, reach an AUROC of "
        f"{100 * reach:.1f}, above {below or 'none'} of the {len(lines)} rows."
    )


def findings(
    results: pd.DataFrame,
    outliers: Mapping[str, str],
    pixels: Mapping[str, Mapping],
    differences: Differences,
    groups: Sequence[str] = (),
    cost: str = "",
) -> list[Finding]:
    """Return what a run came to, the most asked first.

    `results`: the rows of metrics.csv. `outliers`: what kind of outliers each `method|variant` saw
    (plan/reporting.kind_of_outliers). `pixels`: pixel_statistics.json. `differences`: of
    differences.csv. `groups`: the run's groups of test sets. `cost`: what is to say of it.
    """
    lines = contenders(results)
    if not lines:
        return []
    tests = list(dict.fromkeys(results[(results["split"] == "test")]["ood_dataset"]))
    tests = [name for name in tests if name not in ("", AVERAGE)]
    told, best = Told(lines, outliers, differences), lines[0]
    columns = {name: group_average(name) for name in groups} or {name: name for name in tests}
    held_out = (results["split"] == "validation").any() and len(lines) > 1
    chosen = choice.sentences(choice.candidates(results)) if held_out else []
    found = [
        _best(told, tests, len(best.auroc)),
        _against_plain(told),
        _of_near(told, columns),
        *_of_outliers(told),
        Finding("Pixels alone", _of_pixels(lines, pixels, tests)),
        Finding("Over data sets", ranks.said(results)),
        Finding("Hardest", _of_sets(results, best)),
        Finding("Cost", cost),
        Finding("Validation", " ".join(chosen)),
    ]
    return [finding for finding in found if finding and finding.text]
