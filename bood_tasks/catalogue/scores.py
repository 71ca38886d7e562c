"""The scores that a row of a table may name. Imports nothing heavy.

A score is a function of what a trained detector leaves: a post-hoc one of any detector's outputs
or of moved pictures, or a method's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bood_tasks.catalogue.methods import CONFIDENCE, METHODS, MethodEntry

LEVEL = 0.95  # of ID samples, the share that a detector is to accept: FPR95's


@dataclass(frozen=True)
class ScoreEntry:
    """One score and every fact of it that others ask for.

    `module`: its module in scoring/posthoc; empty for a method's own.
    `settings`: it has a section of its name in `scoring`.
    `fits`: it is fitted to the training split's outputs.
    `held_out`: it is fitted to the ID validation split, which must be there.
    `gradients`: it passes over the pictures again, to move them along a gradient by its
    `magnitudes`; one that is fitted, only if these are not all 0 (`moves`). Of a setting
    `magnitude` there is one, which none is chosen from.
    `validated`: something of it is chosen on the validation sets: of several magnitudes one.
    `linear`: it reads the last layer, which must be linear.
    `features`: it reads the penultimate features, as those that are `linear` do too.
    `method`: the training module that alone has it; empty: all have.
    `output`: the output of that module that is the score.
    """

    title: str
    paper: str
    module: str = ""
    settings: bool = False
    fits: bool = False
    held_out: bool = False
    gradients: bool = False
    validated: bool = False
    linear: bool = False
    features: bool = False
    method: str = ""
    output: str = ""


SCORES = {
    "msp": ScoreEntry("MSP", "Hendrycks & Gimpel 2017", "logits"),
    "max_logit": ScoreEntry("MaxLogit", "Hendrycks et al. 2022", "logits"),
    "gen": ScoreEntry("GEN", "Liu et al. 2023", "logits", settings=True),
    "klm": ScoreEntry("KL matching", "Hendrycks et al. 2022", "patterns", held_out=True),
    "odin": ScoreEntry(
        "ODIN", "Liang et al. 2018", "odin", settings=True, gradients=True, validated=True
    ),
    "iodin": ScoreEntry(
        "i-ODIN", "Regmi 2024", "odin", settings=True, gradients=True, validated=True
    ),
    "mahalanobis": ScoreEntry(
        "Mahalanobis", "Lee et al. 2018b", "mahalanobis", settings=True, fits=True, gradients=True,
        validated=True, features=True,
    ),
    "mahalanobis_ensemble": ScoreEntry(
        "Mahalanobis, all stages", "Lee et al. 2018b", "mahalanobis", fits=True, validated=True,
        features=True,
    ),
    "rmds": ScoreEntry(
        "Relative Mahalanobis", "Ren et al. 2021", "mahalanobis", fits=True, features=True
    ),
    "she": ScoreEntry("SHE", "Zhang et al. 2023", "patterns", fits=True, features=True),
    "energy": ScoreEntry("Energy", "Liu et al. 2020", "logits"),
    "knn": ScoreEntry(
        "KNN", "Sun et al. 2022", "neighbours", settings=True, fits=True, features=True
    ),
    "nnguide": ScoreEntry(
        "NNGuide", "Park et al. 2023", "neighbours", settings=True, fits=True, features=True
    ),
    "vim": ScoreEntry("ViM", "Wang et al. 2022", "vim", settings=True, fits=True, linear=True),
    "fdbd": ScoreEntry("fDBD", "Liu & Qin 2024", "boundary", fits=True, linear=True),
    "gradnorm": ScoreEntry("GradNorm", "Huang et al. 2021", "boundary", fits=True, linear=True),
    "react": ScoreEntry(
        "ReAct", "Sun et al. 2021", "shaping", settings=True, fits=True, linear=True
    ),
    "dice": ScoreEntry("DICE", "Sun & Li 2022", "shaping", settings=True, fits=True, linear=True),
    "ash": ScoreEntry(
        "ASH", "Djurisic et al. 2023", "shaping", settings=True, fits=True, linear=True
    ),
    "scale": ScoreEntry(
        "SCALE", "Xu et al. 2024", "shaping", settings=True, fits=True, linear=True
    ),
    "adascale": ScoreEntry(
        "AdaSCALE", "Regmi 2025", "adascale", settings=True, fits=True, held_out=True,
        gradients=True, linear=True,
    ),
}  # fmt: skip
for _method in METHODS.values():
    if _method.own_score:
        _moved = _method.own_score == CONFIDENCE  # by `scoring.<name>.magnitudes`
        SCORES[_method.module] = ScoreEntry(
            _method.title, _method.paper, settings=_moved, gradients=_moved,
            method=_method.module, output="" if _moved else _method.own_score,
        )  # fmt: skip
        if _moved:
            SCORES[f"{_method.module}_unperturbed"] = ScoreEntry(
                f"{_method.title}, unperturbed", _method.paper,
                method=_method.module, output=CONFIDENCE,
            )  # fmt: skip


OWN = ScoreEntry("", "")  # of every score of one's own: it reads outputs, and no picture


def entry_of(score: str) -> ScoreEntry:
    """Return what the catalogue says of a score; OWN for one of one's own."""
    return SCORES.get(score, OWN)


def magnitudes_of(settings: Mapping[str, Any]) -> list[float]:
    """Return the step lengths of a score with these settings; none if it has no such setting."""
    return settings.get("magnitudes") or [
        settings[key] for key in ("magnitude",) if key in settings
    ]


def moves(score: str, settings: Mapping[str, Any]) -> bool:
    """Whether a score with these settings passes over the pictures again, along a gradient."""
    entry = entry_of(score)
    return entry.gradients and (not entry.fits or any(magnitudes_of(settings)))


def chooses(score: str, settings: Mapping[str, Any]) -> bool:
    """Whether something of a score with these settings is chosen on the validation sets."""
    entry = entry_of(score)
    return entry.validated and (not entry.gradients or len(magnitudes_of(settings)) > 1)


def why_unfit(method: MethodEntry, score: str) -> str:
    """Return why a method's detector cannot have a score; an empty string if it can."""
    entry = entry_of(score)
    if entry.method not in ("", method.module):
        return f"it reads what only {entry.method} trains"
    if entry.linear and not method.linear:
        return "it needs logits from one linear layer"
    return ""
