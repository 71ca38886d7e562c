"""The scores of the logits alone: MSP (Hendrycks & Gimpel 2017), energy (Liu et al. 2020)."""

from bood_tasks.detectors.confidence import energy, msp
from bood_tasks.scoring.posthoc.base import Score

SCORES = {
    "msp": Score(lambda outputs, state: msp(outputs.logits)),
    "energy": Score(lambda outputs, state: energy(outputs.logits)),
}
