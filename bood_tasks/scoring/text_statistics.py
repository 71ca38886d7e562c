"""How far the plainest facts of a text tell a test set from ID: the row that a detector must beat.

Length before the cut stands on its own too: the cut takes it away from the detector, and where no
text is shortened or padded it tells nothing.

Leaves text_statistics.json: for each OOD set the best statistic and the length's figures, and how
many of its texts ID training or test has, too, word for word.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.datasets.vocabulary import PAD, UNKNOWN
from bood_tasks.jobs.job import read_job
from bood_tasks.scoring.controls import compared, figures

VERSION = 1
FILE = "text_statistics.json"
LENGTH = "length"


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


def _of(artifact: Artifact, split: str) -> dict[str, Float[ndarray, " n"]]:
    return statistics(artifact[f"{split}/tokens"][:], artifact[f"{split}/length"][:])


def _texts(artifact: Artifact, split: str) -> list[bytes]:
    return [row.tobytes() for row in artifact[f"{split}/tokens"][:]]


def _copies(data: Mapping[str, Artifact], settings: Mapping) -> dict[str, dict[str, int]]:
    """Count each set's texts that ID training or test has, too; ID test's that training has."""
    inside = data[settings["id"]]
    known = {split: set(_texts(inside, split)) for split in ("train", "test")}
    own = _texts(inside, "test")
    counts = {settings["id"]: {"in_training": sum(text in known["train"] for text in own)}}
    for name, _ in compared(settings):
        found = _texts(data[name], "test")
        counts[name] = {
            f"in_{word}": sum(text in known[split] for text in found)
            for split, word in (("train", "training"), ("test", "test"))
        }
    return counts


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    data = dict(zip(settings["datasets"], job.inputs["datasets"], strict=True))
    facts = _copies(data, settings)
    for name, split in compared(settings):
        inside, outside = _of(data[settings["id"]], split), _of(data[name], "test")
        threshold = settings["threshold"]
        facts[name] |= figures(inside, outside, threshold=threshold)
        alone = ({LENGTH: each[LENGTH]} for each in (inside, outside))
        facts[name][LENGTH] = figures(*alone, threshold=threshold)
    with job.draft() as draft:
        write_json(draft.folder / FILE, facts)
        draft.finish(rows={"data sets": len(facts)})
