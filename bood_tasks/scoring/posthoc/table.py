"""The post-hoc scores by name."""

from bood_tasks.detectors.confidence import energy, msp
from bood_tasks.scoring.posthoc.base import Score
from bood_tasks.scoring.posthoc.dice import dice, fit_dice
from bood_tasks.scoring.posthoc.knn import fit_knn, knn
from bood_tasks.scoring.posthoc.mahalanobis import (
    fit_mahalanobis,
    fit_mahalanobis_ensemble,
    mahalanobis,
    mahalanobis_ensemble,
)
from bood_tasks.scoring.posthoc.react import fit_react, react
from bood_tasks.scoring.posthoc.vim import fit_vim, vim

SCORES = {
    "msp": Score(lambda training: {}, lambda outputs, state: msp(outputs.logits)),
    "energy": Score(lambda training: {}, lambda outputs, state: energy(outputs.logits)),
    "mahalanobis": Score(fit_mahalanobis, mahalanobis),
    "mahalanobis_ensemble": Score(fit_mahalanobis_ensemble, mahalanobis_ensemble),
    "knn": Score(fit_knn, knn),
    "vim": Score(fit_vim, vim),
    "react": Score(fit_react, react),
    "dice": Score(fit_dice, dice),
}
