"""The page's tables of what each row gains and costs beside the best and beside plain.

Cells are those of own_tables.py.
"""

from collections.abc import Sequence

from bood_tasks.artifacts.usage import duration
from bood_tasks.catalogue.metrics import AVERAGE, METRICS
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.reporting.findings import Contender, reference
from bood_tasks.reporting.line_costs import LineCost
from bood_tasks.reporting.own_tables import cell_line
from bood_tasks.reporting.tables.apart import SIGN, Difference, Differences
from bood_tasks.reporting.tables.layout import DASH, MINUS

SHOWN = ("auroc", "fpr95")


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", MINUS)


def _difference(found: Difference | None) -> list[dict]:
    """Return a cell of a difference: its points, its interval, the mark of one that holds 0."""
    if found is None:
        return [cell_line(DASH)]
    ends = f"{_signed(found.low)} to {_signed(found.high)}"
    return [cell_line(_signed(found.value), mark="" if found.apart else SIGN, beside=ends)]


def _named(line: Contender) -> list[dict]:
    method, variant, score = line.label
    return [cell_line(row_name(method, variant)), cell_line(score_name(score))]


def differences_table(lines: Sequence[Contender], differences: Differences) -> dict | None:
    """Return each line's difference from the best by AUROC, and from plain, on the average over the
    test sets; None of one line, or where no difference is known."""
    if len(lines) < 2 or not differences:
        return None
    against = {"the best": lines[0]}
    if (plain := reference(lines)) and plain is not lines[0]:
        against[plain.name] = plain
    heads = [[cell_line("Method"), cell_line("Score")]] + [
        [cell_line(f"{METRICS[metric].title} beside"), cell_line(name)]
        for name in against
        for metric in SHOWN
    ]
    body = [
        [_named(line)]
        + [
            _difference(differences.find(line.label, other.label, AVERAGE, metric))
            for other in against.values()
            for metric in SHOWN
        ]
        for line in lines
    ]
    title = f"Differences from the best, {lines[0].name}, and from plain, in points"
    mark = "the 95 % interval of the difference, in small type, holds 0: not told apart"
    return {"title": title, "heads": heads, "lines": body, "notes": [], "marks": [(SIGN, mark)]}


def costs_table(costs: Sequence[LineCost]) -> dict | None:
    """Return what each line took, the more than plain, and that for each point of AUROC gained;
    None where no time is known."""
    if not any(cost.hours for cost in costs):
        return None

    def took(hours: float | None) -> list[dict]:
        if hours is None:
            return [cell_line(DASH)]
        sign = MINUS if hours < 0 else ""
        return [cell_line(sign + duration(3600 * abs(hours)))]

    heads = [
        [cell_line("Method"), cell_line("Score")],
        [cell_line("time of one seed")],
        [cell_line("more than plain")],
        [cell_line("AUROC gained"), cell_line("points")],
        [cell_line("time for a point")],
        [cell_line("device")],
    ]
    body = [
        [
            _named(cost.line), took(cost.hours), took(cost.more), _difference(cost.gain),
            took(cost.per_point), [cell_line(", ".join(sorted(cost.devices)))],
        ]
        for cost in costs
    ]  # fmt: skip
    return {
        "title": "Cost beside quality", "heads": heads, "lines": body, "notes": [],
        "marks": [(SIGN, "a gain that is not told from none, so without a price")],
    }  # fmt: skip
