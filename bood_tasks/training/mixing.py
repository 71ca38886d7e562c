"""Which rows each training step shows: of the ID data set, and of each source of outliers.

A function of seed, stage and step alone, so a killed run goes on with the same rows.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice

import numpy as np
from jaxtyping import Int64

from bood_tasks.jobs import seeds
from bood_tasks.training.recipe import Recipe

Rows = Int64[np.ndarray, " n"]


def shared_out(count: int, shares: Sequence[float]) -> list[int]:
    """Return `count` shared out by the largest remainder; of equal remainders the first."""
    exact = [count * share / sum(shares) for share in shares]
    found = [math.floor(each + 1e-9) for each in exact]
    order = sorted(range(len(shares)), key=lambda k: (found[k] - exact[k], k))
    for k in order[: count - sum(found)]:
        found[k] += 1
    return found


@lru_cache(maxsize=16)  # the steps of one pass ask again and again
def _pass(total: int, *stream: int | str) -> np.ndarray:
    return seeds.generator(*stream).permutation(total)


def rows_at(places: Rows, total: int, *stream: int | str) -> Rows:
    """Return the rows at these places of an endless sequence of reshuffled passes over `total`."""
    number, place = np.divmod(places, total)
    found = np.empty(len(places), np.int64)
    for index in np.unique(number):
        chosen = number == index
        found[chosen] = _pass(total, *stream, "outliers", int(index))[place[chosen]]
    return found


def id_rows(first: int, steps: int, count: int, per_epoch: int, *stream) -> Iterator[np.ndarray]:
    """Yield the rows of steps first..steps: a new order each epoch, no row left out.

    Batches of one epoch differ in size by at most one row.
    """
    for epoch in range(first // per_epoch, math.ceil(steps / per_epoch)):
        parts = np.array_split(
            seeds.generator(*stream, "epoch", epoch).permutation(count), per_epoch
        )
        yield from parts[max(0, first - epoch * per_epoch) :]


class Mixture:
    """The order of `count` ID rows and of sources of `totals` outliers.

    A source's share is that of the outliers shown. With equal mixing every step shows as many
    outliers as a full batch has ID rows, an epoch being a pass over the ID rows. Shuffled (GOE): an
    epoch shows every ID row once and as many outliers as there are, all in one order; a batch holds
    whatever falls into it.

    Raises ValueError for a share too small to have a row of a batch.
    """

    def __init__(
        self, count: int, totals: Sequence[int], shares: Sequence[float], recipe: Recipe,
        *, seed: int, stage: str,
    ):  # fmt: skip
        self.count, self.totals, self.stream = count, totals, (seed, stage)
        self.shuffled = recipe.mixing == "shuffled" and len(totals) > 0
        shown = sum(totals) if self.shuffled else recipe.batch_size
        self.shown = shared_out(shown, shares) if totals else []
        if 0 in self.shown:
            raise ValueError(
                f"a source with the share {shares[self.shown.index(0)]:g} of the outliers has none "
                f"of {shown}; raise its weight or {stage}.batch_size"
            )
        rows = count + shown if self.shuffled else count
        self.per_epoch = math.ceil(rows / recipe.batch_size)

    def steps(self, first: int, steps: int) -> Iterator[list[Rows]]:
        """Yield the rows of each step from first up to steps: the ID ones, then each source's."""
        made = self._shuffled(first, steps) if self.shuffled else self._equal(first, steps)
        yield from islice(made, steps - first)

    def _equal(self, first: int, steps: int) -> Iterator[list[Rows]]:
        ordered = id_rows(first, steps, self.count, self.per_epoch, *self.stream)
        for step, rows in enumerate(ordered, first):
            # The last batch of an epoch may lack a row: of outliers, too.
            also = shared_out(len(rows), self.shown) if self.shown else []
            yield [rows, *(
                self._of(source, np.arange(step * shown, step * shown + taken))
                for source, (shown, taken) in enumerate(zip(self.shown, also, strict=True))
            )]  # fmt: skip

    def _of(self, source: int, places: Rows) -> Rows:
        stream = (*self.stream, "source", source) if source else self.stream
        return rows_at(places, self.totals[source], *stream)

    def _shuffled(self, first: int, steps: int) -> Iterator[list[Rows]]:
        ends = self.count + np.cumsum([0, *self.shown])
        for epoch in range(first // self.per_epoch, math.ceil(steps / self.per_epoch)):
            order = seeds.generator(*self.stream, "mixed", epoch).permutation(ends[-1])
            parts = np.array_split(order, self.per_epoch)
            for part in parts[max(0, first - epoch * self.per_epoch) :]:
                yield [part[part < self.count], *(
                    self._of(source, epoch * shown + part[(part >= start) & (part < stop)] - start)
                    for source, (shown, start, stop) in enumerate(
                        zip(self.shown, ends[:-1], ends[1:], strict=True)
                    )
                )]  # fmt: skip
