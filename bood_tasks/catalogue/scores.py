"""The methods and scores that a row of a table may name. Imports nothing heavy.

A method is a training module (see method.py) with the outliers that it sees and the scores that
its paper reads. A score is a function of what a trained detector leaves.
"""

from dataclasses import dataclass

from bood_tasks.catalogue.methods import NOT_LINEAR


@dataclass(frozen=True)
class ScoreEntry:
    """One score. `fits`: on the training split's outputs; `gradients`: passes over the pictures
    again; `validated`: settings are chosen on the validation sets; `methods`: the training modules
    that it can read, none meaning all, `linear` those whose logits are one linear layer."""

    title: str
    paper: str
    fits: bool = False
    gradients: bool = False
    validated: bool = False
    linear: bool = False
    methods: tuple[str, ...] = ()


SCORES = {
    "msp": ScoreEntry("MSP", "Hendrycks & Gimpel 2017"),
    "odin": ScoreEntry("ODIN", "Liang et al. 2018", gradients=True, validated=True),
    "mahalanobis": ScoreEntry("Mahalanobis", "Lee et al. 2018b", fits=True),
    "mahalanobis_ensemble": ScoreEntry(
        "Mahalanobis, all stages", "Lee et al. 2018b", fits=True, validated=True
    ),
    "energy": ScoreEntry("Energy", "Liu et al. 2020"),
    "knn": ScoreEntry("KNN", "Sun et al. 2022", fits=True),
    "vim": ScoreEntry("ViM", "Wang et al. 2022", fits=True, linear=True),
    "react": ScoreEntry("ReAct", "Sun et al. 2021", fits=True, linear=True),
    "dice": ScoreEntry("DICE", "Sun & Li 2022", fits=True, linear=True),
    "godin": ScoreEntry("GODIN", "Hsu et al. 2020", gradients=True, methods=("godin",)),
    "vos": ScoreEntry("VOS", "Du et al. 2022", methods=("vos",)),
    "npos": ScoreEntry("NPOS", "Tao et al. 2023", methods=("npos",)),
}


def fits(module: str, score: str) -> str:
    """Return why a score cannot be read from what a module trains, or an empty string."""
    entry = SCORES[score]
    if entry.methods and module not in entry.methods:
        return f"it reads what only {' and '.join(entry.methods)} trains"
    if entry.linear and module in NOT_LINEAR:
        return "it needs logits from one linear layer"
    return ""
