"""How the steps of a job run on a GPU: plainly, as CUDA graphs, or compiled, whichever ends first.

Compiling a network takes a minute, more than the whole work of a small run. So steps run plainly
while a few are timed, and one function, `choose`, then weighs the work that is left. What each way
costs is measured once per network, batch and device and kept below the artifact store, where
torch's compiler has its cache as well; until it is known, `priors` stand for it. Nothing here
imports torch: the caller applies what was chosen (networks/compiled.py).
"""

import hashlib
import json
import os
import shutil
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.jobs.environment import COMPILED, run_setting

DEVICES = ("cuda",)  # torch's name of ROCm as well; elsewhere `auto` never compiles
LEAST_STEPS = 300  # below, nothing is compiled
LEAST_SAVED = 0.1  # of the plain time: less is not worth a prior's error
WARM = 5.0  # seconds: a shorter first lap is mostly the device's own start
LAPS = 6  # timed after a change
SMALL = 50_000_000  # parameters: below, a GPU waits for its host, which graphs spare
# Until measured. An H200 (torch 2.11) took about 74 s for the 600 layers of Stable Diffusion
# v1.4's UNet and VAE, and had not finished ResNet-34's 87 in training after 40 s, twice.
SECONDS_A_LAYER = {"inference": 0.12, "training": 0.6}
SHARES = {  # of a plain step's time
    "inference": {"whole": 0.8, "blocks": 0.9, "graphs": 0.5},
    "training": {"whole": 0.75, "blocks": 0.8},
}
SECONDS_OF_GRAPHS = 2.0


@dataclass(frozen=True)
class Cost:
    """What a way costs: seconds until it runs, and then a step's share of the plain step's time."""

    seconds: float
    share: float
    measured: bool = False


@dataclass(frozen=True)
class Choice:
    """The way, and a line for the log; `way` None: some steps must be timed first."""

    way: str | None
    why: str


def priors(kind: str, *, layers: int, in_blocks: int, parameters: int) -> dict[str, Cost]:
    """Return what each possible way may cost before any is measured.

    `kind`: inference or training. `layers`: of all networks; `in_blocks`: of the distinct repeated
    blocks among them, 0 where none repeats; layers 0 where the whole cannot be compiled.
    """
    rate, shares = SECONDS_A_LAYER[kind], SHARES[kind]
    found = {"whole": Cost(rate * layers, shares["whole"])} if layers else {}
    if in_blocks:
        found["blocks"] = Cost(rate * in_blocks, shares["blocks"])
    if "graphs" in shares and parameters < SMALL:
        found["graphs"] = Cost(SECONDS_OF_GRAPHS, shares["graphs"])
    return found


def choose(
    setting: bool | str,
    device_type: str,
    *,
    left: int,
    step: float | None,
    costs: Mapping[str, Cost],
) -> Choice:
    """Return how `left` more steps run that take `step` seconds each plainly (None: not known).

    `setting` is run.compile: false is plain; true is whole where that is possible, on any device;
    auto is, on a GPU, the way that ends first, if it saves LEAST_SAVED of the plain time. Compiling
    is for LEAST_STEPS and more; CUDA graphs, which are recorded in a moment, are for fewer as well.
    """
    if setting is False:
        return Choice("plain", "plain: run.compile is false")
    if setting is True:
        way = next((way for way in ("whole", "blocks") if way in costs), "plain")
        return Choice(way, f"{way}: run.compile is true")
    if device_type not in DEVICES:
        return Choice("plain", f"plain: nothing is compiled for {device_type}")
    costs = {way: cost for way, cost in costs.items() if way == "graphs" or left >= LEAST_STEPS}
    if not costs:
        return Choice("plain", f"plain: {left} steps are left, fewer than {LEAST_STEPS} or no way")
    if step is None:
        return Choice(None, "plain for the first steps, which are timed")
    totals = {way: cost.seconds + left * step * cost.share for way, cost in costs.items()}
    plain = left * step
    best = min(totals, key=totals.__getitem__)
    way = best if totals[best] <= (1 - LEAST_SAVED) * plain else "plain"
    others = ", ".join(
        f"{name} {total:.1f} s{'' if costs[name].measured else ' (guessed)'}"
        for name, total in totals.items()
    )
    steps = f"{left} steps of {1000 * step:.3g} ms are left"
    return Choice(way, f"{way}: {steps}, plain {plain:.1f} s, {others}")


def obstacle() -> str:
    """Return what a compiler would lack here, empty if nothing: Triton builds with the host's."""
    import importlib.util

    if importlib.util.find_spec("triton") is None:
        return "the package triton is missing"
    if not (os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))):
        return "no C compiler was found (gcc, clang or CC)"
    return ""


class Pace:
    """Times a job's steps, decides once how the rest runs, and keeps what that cost.

    `of` is all that the costs depend on: networks, batch, precision, device, torch's version. The
    caller runs `way` whenever `begin` or `lap` returns true.
    """

    def __init__(
        self, label: str, device_type: str, costs: Mapping[str, Cost], *of: object,
        folder: Path | None = None,
    ):  # fmt: skip
        self.label, self.device_type = label, device_type
        self.way, self.decided = "plain", False
        self.setting = run_setting("compile")
        name = hashlib.sha256(json.dumps([str(item) for item in of]).encode()).hexdigest()[:16]
        self.path = (folder or COMPILED / "costs") / f"{name}.json"
        self.known = self._read() if self._eligible() else {}
        lacking = obstacle() if self._eligible() else ""
        if lacking:
            print(f"{label}: nothing can be compiled: {lacking}", file=sys.stderr)
        self.costs = {
            way: self._measured(way) or cost
            for way, cost in costs.items()
            if way == "graphs" or not lacking
        }
        self.laps: dict[str, list[tuple[int, float]]] = {"plain": []}

    def _eligible(self) -> bool:
        return self.setting == "auto" and self.device_type in DEVICES

    def _read(self) -> dict:
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _measured(self, way: str) -> Cost | None:
        try:
            own = self.known[way]
            return Cost(own["seconds"], own["step"] / self.known["plain"]["step"], True)
        except (KeyError, TypeError, ZeroDivisionError):
            return None

    def begin(self, left: int) -> bool:
        """Decide before the first step, if that needs no timing; whether the way is another now."""
        try:
            step = float(self.known["plain"]["step"])
        except (KeyError, TypeError, ValueError):
            step = None
        return self._decide(left, step)

    def _decide(self, left: int, step: float | None) -> bool:
        choice = choose(
            self.setting, self.device_type, left=left, step=step, costs=self.costs
        )  # fmt: skip
        if choice.way is None:
            return False
        self.decided = True
        if self._eligible():
            print(f"{self.label}: {choice.why}", file=sys.stderr, flush=True)
        self.way = choice.way
        self.laps.setdefault(self.way, [])
        return self.way != "plain"

    @property
    def timing(self) -> bool:
        """Whether the next lap's time is wanted: then the device must be waited for."""
        return self._eligible() and (
            not self.decided or (self.way != "plain" and len(self.laps[self.way]) < LAPS)
        )

    def lap(self, steps: int, seconds: float, *, left: int) -> bool:
        """Take the time of some steps; whether the way is another now, which happens once."""
        if not self._eligible():
            return False
        self.laps[self.way].append((steps, seconds))
        if self.decided:
            return False
        if len(self.laps["plain"]) == 1 and seconds < WARM:
            return False
        return self._decide(left, seconds / steps)

    def close(self) -> None:
        """Keep what was measured, for the next job with the same networks on such a device."""
        found = dict(self.known)
        plain = self.laps["plain"]
        if plain and (len(plain) > 1 or plain[0][1] >= WARM):
            found["plain"] = {"step": plain[-1][1] / plain[-1][0]}
        own = self.laps[self.way] if self.way != "plain" else []
        if len(own) > 2 and "plain" in found:
            step = statistics.median(seconds / steps for steps, seconds in own)
            beyond = sum(max(0.0, seconds - step * steps) for steps, seconds in own)
            found[self.way] = {"step": step, "seconds": beyond}
        if found == self.known:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, found | {"of": self.label})
        except OSError as error:
            print(f"{self.label}: {self.path} cannot be kept: {error.strerror}", file=sys.stderr)
