"""How far each artifact of a plan is, from the store and the logs alone: whoever makes it, here,
in another terminal or on a cluster's node.

A job at work holds its artifact's lock, which says where, and writes `.progress/now`; one that
ended without a manifest has left its log.
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bood_tasks.artifacts.locks import holder, lock_path
from bood_tasks.artifacts.spec import Spec
from bood_tasks.artifacts.usage import duration
from bood_tasks.jobs.progress import Now, how_far

State = Literal["finished", "running", "failed", "stopped", "waiting"]
SECONDS_TO_START = 120.0  # a log that young without a word of an error: its job imports, or waits
READ_BYTES = 2**16  # of a log's end
SHOWN = 8  # lines of what an error says
RAISED = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)\b")


@dataclass(frozen=True)
class Standing:
    """One artifact: its state, since when (seconds since 1970), where it is made, how far that is,
    and, of one that failed, what its log says last."""

    state: State
    since: float = 0.0
    where: str = ""
    now: Now | None = None
    said: str = ""


def log_of(spec: Spec) -> Path:
    """Return the log that its rule gives an artifact's job."""
    return Path("logs", spec.stage, f"{spec.name}-{spec.digest}.log")


def last_words(log: Path) -> tuple[State, str]:
    """Return how a job ended that left no artifact, and what it said of it.

    `failed` with its error, `stopped` after Ctrl-C; a job that said nothing of an end was killed,
    which is `stopped` with its last line.
    """
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, log.stat().st_size - READ_BYTES))
            text = handle.read().decode("utf-8", errors="replace")
    except OSError:
        return "stopped", ""
    lines = [line for line in text.splitlines() if line.strip()]
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith("error: "):
            return "failed", "\n".join(lines[number : number + SHOWN]).removeprefix("error: ")
        if RAISED.match(lines[number]):
            state = "stopped" if lines[number].startswith("KeyboardInterrupt") else "failed"
            return state, "\n".join(lines[number : number + SHOWN])
    return "stopped", lines[-1] if lines else ""


def standing(spec: Spec) -> Standing:
    """Return how far an artifact is."""
    manifest, log = Path(spec.manifest), log_of(spec)
    if manifest.is_file():
        return Standing("finished", manifest.stat().st_mtime)
    maker = holder(manifest.parent)
    if maker:
        since = _written(lock_path(manifest.parent)) or time.time()
        return Standing("running", since, maker, how_far(manifest.parent, since))
    written = _written(log)
    if written is None:
        return Standing("waiting")
    state, said = last_words(log)
    young = time.time() - written < SECONDS_TO_START
    if state == "stopped" and young and "KeyboardInterrupt" not in said:
        return Standing("running", written, "starts" if maker == "" else "no locks here")
    return Standing(state, written, said=said)


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def blocked(specs: Mapping[str, Spec], failed: Iterable[str]) -> set[str]:
    """Return the digests of all that is made, directly or not, from what failed."""
    without, found = set(failed), set()
    for digest, spec in specs.items():  # a plan lists what something is made from before it
        if digest not in without and any(item.digest in without for item in spec.upstream()):
            without.add(digest)
            found.add(digest)
    return found


def shown(now: Now | None) -> str:
    """Return progress in words.

    >>> shown(Now(120, 480, "images", 12.0))
    '120/480 images, 30.0 s left'
    """
    if now is None:
        return ""
    left = now.seconds_left
    ends = f", {duration(left)} left" if left and now.done < now.total else ""
    return f"{now.done:,}/{now.total:,} {now.unit}{ends}"
