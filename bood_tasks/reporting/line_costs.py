"""What each row and score of a table took, beside what it gives: hours by the jobs' own clocks.

The hours of a line are those of all jobs behind its scores, of one seed, mean over the seeds:
generator, outliers, trainings, passes, fits. A job that several lines share counts in each, as
whoever wants one line alone would have to run it.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bood_tasks.artifacts.manifest import read_facts
from bood_tasks.artifacts.spec import ROOT
from bood_tasks.artifacts.usage import duration
from bood_tasks.reporting.findings import Contender, reference
from bood_tasks.reporting.tables.apart import Difference, Differences
from bood_tasks.reporting.tables.summary import AVERAGE, Label

HEADS = (
    "method", "variant", "score", "hours", "hours_more", "auroc", "fpr95", "auroc_gain", "low",
    "high", "hours_per_point", "devices", "resumed",
)  # fmt: skip


@dataclass(frozen=True)
class LineCost:
    """One line: `hours` of one seed, None where a job's time is not known; `more` than plain; the
    `gain` of AUROC over plain, None of plain itself; `resumed`: a job behind it was."""

    line: Contender
    hours: float | None
    more: float | None
    gain: Difference | None
    devices: frozenset[str]
    resumed: bool = False

    @property
    def per_point(self) -> float | None:
        """Hours more than plain for each point of AUROC that was gained; None where none was, or
        where the gain is not told from none."""
        if self.more is None or not self.gain or not self.gain.apart or self.gain.value <= 0:
            return None
        return max(self.more, 0.0) / (100 * self.gain.value)


class Job(NamedTuple):
    """What one artifact took. `hours` None: not known, as it was copied from elsewhere or removed.
    Of a `resumed` job they are those of its last try."""

    hours: float | None
    device: str = ""
    resumed: bool = False


def measured_hours(made: Sequence[Mapping[str, str]]) -> list[Job]:
    """Return what each artifact, {stage, name, digest}, took by its run.json."""
    found = []
    for item in made:
        manifest = Path(ROOT, item["stage"], item["name"], item["digest"], "manifest.json")
        facts = read_facts(manifest) if manifest.is_file() else {}
        hours = facts["seconds"] / 3600 if "seconds" in facts else None
        found.append(Job(hours, str(facts.get("device", "")), bool(facts.get("resumed"))))
    return found


def line_costs(
    lines: Sequence[Contender],
    rows: Iterable[Mapping],
    hours: Sequence[Job],
    differences: Differences,
) -> list[LineCost]:
    """Return what each line took, in their order.

    `rows`: of each score of a run its label, and as `behind` the places in `hours` of all that it
    rests on.
    """
    runs: dict[Label, list[float | None]] = {}
    devices: dict[Label, set[str]] = {}
    resumed: set[Label] = set()
    for row in rows:
        label = row["method"], row["variant"], row["score"]
        behind = [hours[place] for place in row["behind"]]
        known = all(job.hours is not None for job in behind)
        runs.setdefault(label, []).append(sum(job.hours for job in behind) if known else None)
        devices.setdefault(label, set()).update(job.device for job in behind if job.device)
        if any(job.resumed for job in behind):
            resumed.add(label)
    took = {label: None if None in each else statistics.fmean(each) for label, each in runs.items()}
    plain = reference(lines)
    base = took.get(tuple(plain.label)) if plain else None
    found = []
    for line in lines:
        label = tuple(line.label)
        own = took.get(label)
        more = None if own is None or base is None else own - base
        gain = differences.find(label, plain.label, AVERAGE, "auroc") if plain else None
        on = frozenset(devices.get(label, ()))
        found.append(LineCost(line, own, more, gain, on, label in resumed))
    return found


def cells(cost: LineCost) -> dict[str, object]:
    """Return a line of cost.csv, figures as fractions."""
    line, gain = cost.line, cost.gain
    method, variant, score = line.label
    values = (
        method, variant, score, cost.hours, cost.more, line.mean, statistics.fmean(line.fpr95),
        *((gain.value, gain.low, gain.high) if gain else (None,) * 3), cost.per_point,
        " and ".join(sorted(cost.devices)), cost.resumed,
    )  # fmt: skip
    return dict(zip(HEADS, values, strict=True))


def said(costs: Sequence[LineCost]) -> str:
    """Say what the best line took beside plain, and which gain was the cheapest; "" where no time
    is known."""
    known = [cost for cost in costs if cost.hours is not None]
    if not known:
        return ""
    first, on = known[0], " and ".join(sorted(set().union(*(cost.devices for cost in known))))
    text = f"One seed of {first.line.name}, with all that it rests on, took "
    text += duration(3600 * first.hours) + (f" on {on}" if on else "")
    plain = reference([cost.line for cost in known])
    base = next((cost for cost in known if cost.line is plain), None)
    if base and base is not first:
        text += f"; {plain.name} {duration(3600 * base.hours)}"
    paid = [cost for cost in known if cost.per_point is not None]
    if paid:
        cheapest = min(paid, key=lambda cost: cost.per_point)
        text += f". The cheapest gain over plain is that of {cheapest.line.name}: "
        text += (
            f"{duration(3600 * cheapest.per_point)} for each point of AUROC"
            if cheapest.per_point
            else "it took no longer"
        )
        trained = [cost for cost in paid if is_trained_otherwise(cost, plain)]
        if trained and cheapest not in trained:
            cheapest = min(trained, key=lambda cost: cost.per_point)
            text += (
                f"; of other trainings, that of {cheapest.line.name}: "
                f"{duration(3600 * cheapest.per_point)}"
            )
    if lost := len(costs) - len(known):
        text += f". Of {lost} lines the time is not known"
    if some := sum(cost.resumed for cost in known):
        text += f". Behind {some} lines is a resumed job, which counts its last try alone"
    return text + "."


def is_trained_otherwise(cost: LineCost, plain: Contender) -> bool:
    """Whether a line's detector is another one than plain's."""
    return tuple(cost.line.label[:2]) != tuple(plain.label[:2])
