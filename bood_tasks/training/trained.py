"""Whether a network is trained at all: what a log and a report warn of."""

import math

ABOVE_CHANCE = 0.2  # of the way from chance to certainty, below which a network has hardly learnt
FEW_STEPS = 200  # from random weights (our choice)


def steps_of(pictures: int, *, epochs: int, batch_size: int, steps: int | None) -> int:
    """Return how many steps a training on so many pictures takes; `steps`: where that is set."""
    return steps or epochs * math.ceil(pictures / batch_size)


def doubts(*, accuracy: float | None, classes: int, steps: int | None) -> list[str]:
    """Return why a classifier may be untrained; nothing where it seems trained.

    `accuracy` on ID samples in [0, 1]; `steps` of its training from random weights; None: unknown,
    or none.
    """
    found, chance = [], 1 / classes
    if accuracy is not None and accuracy < chance + ABOVE_CHANCE * (1 - chance):
        found.append(f"an ID accuracy of {accuracy:.1%} where chance is {chance:.1%}")
    if steps is not None and steps < FEW_STEPS:
        found.append(f"{steps:,} training steps from random weights, of which {FEW_STEPS} are few")
    return found
