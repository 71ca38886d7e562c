"""How far the plainest facts of a text tell a test set from ID: the row that a detector must beat.

Also reported: the length before the cut, which the detector cannot see.

Leaves text_statistics.json: for each OOD set the best statistic and the length's figures, and how
many of its texts ID training or test has, too, word for word.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.titles import LENGTH
from bood_tasks.jobs.job import read_job
from bood_tasks.networks.padding import PAD, UNKNOWN
from bood_tasks.scoring.controls import write_controls

VERSION = 1


def statistics(
    tokens: Int[ndarray, "n l"], lengths: Int[ndarray, " n"]
) -> dict[str, Float[ndarray, " n"]]:
    """Return four statistics of each text: its words before the cut and after it, the share of
    unknown words, and the mean logarithm of its words' numbers: rare words have large ones."""
    there = tokens != PAD
    words = there.sum(1)
    ranks = np.where(there, np.log1p(tokens), 0).sum(1) / words
    return {
        LENGTH: lengths.astype(float),
        "length after the cut": words.astype(float),
        "unknown words": (tokens == UNKNOWN).sum(1) / words,
        "rarity of words": ranks,
    }


def _of(texts: Artifact, split: str) -> dict[str, Float[ndarray, " n"]]:
    return statistics(texts[f"{split}/tokens"][:], texts[f"{split}/length"][:])


def _marks(texts: Artifact, split: str) -> list[bytes]:
    return [row.tobytes() for row in texts[f"{split}/tokens"][:]]


def main(argv: list[str] | None = None) -> None:
    write_controls(read_job(argv), _of, _marks, alone=(LENGTH,))
