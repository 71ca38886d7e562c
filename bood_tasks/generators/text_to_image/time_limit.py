"""How many steps of a training fit into its time, set once from the rate of the first ones.

Set once, and not watched on: the schedule of the learning rate must know its end, and a killed run
must go on to the same end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

MEASURED = 20, 70  # steps between which the rate is taken: the first ones compile and warm up
LONGEST_LOOK = 0.25  # of the time; slower steps are judged by as few as there are
PLANNED = 0.95  # of the time: what is left pays for checkpoints and for a slower hour


@dataclass
class TimeLimit:
    """Counts the steps that fit into `seconds` from now on, `count` at most.

    `wait()` returns when the device has done all that it was told; it is called twice.
    """

    seconds: float
    count: int
    clock: Callable[[], float]
    wait: Callable[[], object]
    total: int | None = None  # None: not known yet
    mark: tuple[int, float] = field(default=(0, 0.0), init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def see(self, done: int) -> None:
        """Hear, before each step, how many are done since the start."""
        if self.total is not None:
            return
        first, last = MEASURED
        slow = done > 1 and self.clock() - self.began > LONGEST_LOOK * self.seconds
        if done == last or slow:
            self.wait()
            now = self.clock()
            each = (now - self.mark[1]) / (done - self.mark[0])
            left = PLANNED * self.seconds - (now - self.began)
            self.total = min(self.count, done + max(0, int(left / max(each, 1e-9))))
        elif done in (1, first):
            self.wait()
            self.mark = done, self.clock()
