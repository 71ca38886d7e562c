"""Concurrent requests share passes of the network: whatever came while one ran goes into the next.

Nobody waits for a batch to fill: alone, a sample is run at once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from bood_tasks.deploy.detector import Detector, Verdict


@dataclass
class Batcher:
    """Runs a detector on samples that come one by one; `ran` is told the size of each batch."""

    detector: Detector
    pool: Executor  # of one thread
    most: int
    tpr: float
    threshold: float | None
    ran: Callable[[int], object] = lambda size: None

    def __post_init__(self):
        self.queue: asyncio.Queue = asyncio.Queue()

    async def judge(self, row: np.ndarray) -> tuple[float, str, str]:
        """Return a sample's score, decision and class. Raises ValueError for one that is not
        finite."""
        answer = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((row, answer))
        return await answer

    def _run(self, rows: list[np.ndarray]) -> list[tuple | ValueError]:
        def judged(part: list[np.ndarray]) -> Verdict:
            return self.detector.judge(part, tpr=self.tpr, threshold=self.threshold)

        try:
            found = judged(rows)
        except ValueError as error:
            if len(rows) == 1:
                return [error]
            return [answer for row in rows for answer in self._run([row])]  # one ends no others
        told = zip(found.scores, found.decisions, found.classes, strict=True)
        return [(float(score), str(decision), str(label)) for score, decision, label in told]

    async def work(self) -> None:
        """Run batches for ever."""
        loop = asyncio.get_running_loop()
        while True:
            waiting = [await self.queue.get()]
            while len(waiting) < self.most and not self.queue.empty():
                waiting.append(self.queue.get_nowait())
            waiting = [(row, answer) for row, answer in waiting if not answer.done()]
            if not waiting:
                continue
            self.ran(len(waiting))
            try:
                found = await loop.run_in_executor(
                    self.pool, self._run, [row for row, _ in waiting]
                )
            except Exception as error:  # the next batch may be run
                found = [error] * len(waiting)
            for (_, answer), told in zip(waiting, found, strict=True):
                if answer.done():
                    continue
                if isinstance(told, Exception):
                    answer.set_exception(told)
                else:
                    answer.set_result(told)
