"""The metrics of a score, and which of them each table shows.

A metric is named with its convention, the side that is called positive: `("fpr95", "id")`. Metrics
that have but one value, whichever side is positive, have the convention "".
"""

from dataclasses import dataclass

AVERAGE = "average"  # the data set that an average over the test sets goes by
_OF = f"{AVERAGE} of "  # a group of them; no name of a data set holds a blank


def group_average(group: str) -> str:
    """Return the data set that the average over a group of test sets goes by."""
    return f"{_OF}{group}"


def is_average(dataset: str) -> bool:
    """Whether a data set is an average over test sets: over all, or over a group."""
    return dataset == AVERAGE or dataset.startswith(_OF)


def average_title(dataset: str) -> str:
    """Return an average as the head of a column: `Average`, `Average of near`."""
    return dataset[0].upper() + dataset[1:]


@dataclass(frozen=True)
class MetricEntry:
    """One metric, as people read it."""

    title: str
    higher_is_better: bool = True

    @property
    def heading(self) -> str:
        """The metric at the head of a column, with an arrow to the better side."""
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"


METRICS = {
    "fpr95": MetricEntry("FPR95", higher_is_better=False),
    "auroc": MetricEntry("AUROC"),
    "aupr_in": MetricEntry("AUPR-IN"),
    "aupr_out": MetricEntry("AUPR-OUT"),
    "id_acc": MetricEntry("ACC"),
}

IN_SUMMARY = (("fpr95", "id"), ("auroc", ""))  # summary.md and the page, of every data set
AVERAGED = (("aupr_in", ""), ("aupr_out", ""))  # summary.md, of the average alone
IN_BOOD = (("fpr95", "id"), ("fpr95", "ood"), ("auroc", ""))  # BOOD's tables 1 to 3 and 6 to 8
IN_GOE = (("auroc", ""), ("aupr_in", ""), ("aupr_out", ""), ("fpr95", "ood"))  # GOE's tables
IN_GOE_SETS = (("fpr95", "ood"), ("auroc", ""))  # below GOE's tables, of each test set
IN_BOOD_CURVES = IN_SUMMARY  # figures 5 and 6
IN_GOE_CURVES = (("auroc", ""), ("fpr95", "ood"))  # GOE's figures 2 to 5


def headings(shown: tuple[tuple[str, str], ...]) -> list[str]:
    """Return the metrics as people read them: `FPR95 ↓`, `AUROC ↑`."""
    return [METRICS[metric].heading for metric, _ in shown]


def titled(shown: tuple[tuple[str, str], ...]) -> dict[str, tuple[str, str]]:
    """Return {title: metric and convention}."""
    return {METRICS[metric].title: (metric, convention) for metric, convention in shown}


def better(metric: str, one: float, other: float) -> float:
    """Return the better of two values."""
    return (max if METRICS[metric].higher_is_better else min)(one, other)
