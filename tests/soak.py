"""Many tiny shards through the real workflow while jobs are killed, files are damaged, the power is
cut and the disk is full.

A power cut is simulated: of the unfinished artifacts' files, those that nothing vouches for lose
their ends or all they hold, as ext4 leaves what was not synced. What is vouched for was synced
(tests/artifacts/test_unfinished.py has the order of the calls).

`make soak` runs 2,000 shards with faults for half an hour and then to the end; `make test`
runs 100. Prints shards, faults, losses and seconds a job; exits 1 if anything was lost.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import yaml

from bood_tasks.artifacts.manifest import read_manifest
from bood_tasks.artifacts.spec import Spec
from bood_tasks.artifacts.store import Artifact
from bood_tasks.config.load import effective_config
from bood_tasks.plan import detectors
from bood_tasks.plan import synthesis as stages

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "workflow/presets/smoke.yaml"
USUAL = "--printshellcmds"  # Snakemake's own lines: of a job when it starts, too
FAULTS = {  # kind: weight
    "job killed": 4, "job terminated": 2, "Snakemake killed": 1,
    "file truncated": 1, "byte flipped": 1, "file deleted": 1,
    "power cut": 3, "unfinished file damaged": 3, "disk full": 2,
}  # fmt: skip
PACK = 25  # shards that one job makes, or loading would take all the time
ROUNDING = 1  # of 255: a batch of other rows may round otherwise


def vouched_for(folder: Path, path: Path) -> bool:
    """Whether a file of unfinished work was on the disk before something said so."""
    progress = folder / ".progress"
    kept = progress / "kept"
    listed = kept.read_text(errors="replace") if kept.is_file() else ""
    own = path in (kept, progress / "spec") or path.name.endswith("checkpoint.safetensors")
    return own or f"  {path.relative_to(folder).as_posix()}\n" in listed


@dataclass
class Soak:
    """A workflow of many shards and what was done to it. All paths as specs have them."""

    folder: Path
    shards: int
    rng: random.Random
    cores: int = 2
    faults: Counter = field(default_factory=Counter)
    damaged: set[str] = field(default_factory=set)  # manifests, until they are made again
    ever_damaged: set[str] = field(default_factory=set)
    seen: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)  # finished artifacts
    lost: list[str] = field(default_factory=list)
    started: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        overlay = {
            "images": {"per_class": self.shards, "shard": 1, "steps": 1, "guidance": 1},
            "detector": {"epochs": 1},
            "run": {"pack": PACK},
        }
        (self.folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
        overlay["images"]["shard"] = self.shards
        (self.folder / "reference.yaml").write_text(yaml.safe_dump(overlay))
        shutil.copy(ROOT / "config.yaml", self.folder)
        self.detector = self.specs("overlay", "detector")[0]

    def specs(self, overlay: str, stage: str) -> list[Spec]:
        """Return the row bood's specs of one stage."""
        files = [ROOT / "config.yaml", SMOKE, self.folder / f"{overlay}.yaml"]
        config = effective_config(files).for_row("bood")
        found = {
            "detector": lambda: [detectors.detector(config, "bood", 0)],
            "images": lambda: list(stages.images(config, 0)),
        }
        return found[stage]()

    def snakemake(self, overlay: str, *targets: str) -> subprocess.Popen:
        with (self.folder / "snakemake.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile",
                 "--directory", self.folder, "--cores", str(self.cores), "--retries", "2",
                 USUAL, "--configfile", SMOKE, f"{overlay}.yaml", "--", *targets],
                cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def jobs(self, process: subprocess.Popen) -> list[psutil.Process]:
        """Return the stages that a Snakemake runs at the moment."""
        found = []
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                line = child.cmdline()
            except psutil.Error:
                continue
            if line[1:2] == ["-m"] and line[2].startswith("bood_tasks."):
                found.append(child)
        return found

    def finished(self) -> dict[str, tuple[bytes, bytes]]:
        """Return the manifest and the run facts, as bytes, of each artifact that is there."""
        found = {}
        for path in self.folder.glob("artifacts/*/*/*/manifest.json"):
            with contextlib.suppress(FileNotFoundError):  # Snakemake takes one away, see store
                both = path.read_bytes(), path.with_name("run.json").read_bytes()
                found[str(path.relative_to(self.folder))] = both
        return found

    def look(self) -> None:
        """Note what is finished, as it was first seen."""
        self.seen = self.finished() | self.seen

    def count_losses(self) -> None:
        """What was once finished and is gone, other or made again without need is lost."""
        there = self.finished()
        for manifest, before in self.seen.items():
            now = there.get(manifest, (b"", b""))
            if now[0] != before[0] or (now[1] != before[1] and manifest not in self.ever_damaged):
                self.lost.append(manifest)

    def disturb(self, process: subprocess.Popen) -> None:
        """Inject one random fault."""
        kind = self.rng.choices(list(FAULTS), FAULTS.values())[0]
        if kind == "Snakemake killed":
            process.kill()
        elif kind in ("power cut", "unfinished file damaged"):
            if not self.cut(process, power=kind == "power cut"):
                return
        elif kind == "disk full":
            jobs = self.jobs(process)
            if not jobs:
                return
            with contextlib.suppress(psutil.NoSuchProcess):  # no file may grow beyond 100 bytes
                self.rng.choice(jobs).rlimit(psutil.RLIMIT_FSIZE, (100, psutil.RLIM_INFINITY))
        elif kind.startswith("job"):
            jobs = self.jobs(process)
            if not jobs:
                return
            number = signal.SIGKILL if kind == "job killed" else signal.SIGTERM
            try:
                self.rng.choice(jobs).send_signal(number)
            except psutil.NoSuchProcess:
                return
        else:
            shards = [path for path in self.seen if path.startswith("artifacts/images/")]
            whole = sorted(set(shards) - self.damaged)
            if not whole:
                return
            manifest = self.rng.choice(whole)
            try:
                self.harm(kind, manifest)
            except FileNotFoundError:
                return
            self.damaged.add(manifest)
            self.ever_damaged.add(manifest)
        self.faults[kind] += 1

    def cut(self, process: subprocess.Popen, *, power: bool) -> bool:
        """Kill all jobs and damage what they have not finished; return whether there was any.

        With `power`, every file that nothing vouches for; without, one file of any kind.
        """
        jobs = self.jobs(process)
        for job in jobs:
            with contextlib.suppress(psutil.NoSuchProcess):
                job.suspend()
        unfinished = [
            path.parent for path in self.folder.glob("artifacts/*/*/*/.progress")
            if not any(path.with_name(x).exists() for x in ("manifest.json", ".finished.json"))
        ]  # fmt: skip
        files = [
            path for folder in unfinished for path in sorted(folder.rglob("*"))
            if path.is_file() and not (power and vouched_for(folder, path))
        ]  # fmt: skip
        for path in files if power else self.rng.sample(files, min(1, len(files))):
            content = path.read_bytes()
            start = self.rng.choice([0, self.rng.randint(0, len(content))])
            tail = self.rng.choice([b"", bytes(len(content) - start)])
            path.write_bytes(content[:start] + tail)
        for job in jobs:
            with contextlib.suppress(psutil.NoSuchProcess):
                job.kill()
        return bool(files)

    def harm(self, kind: str, manifest: str) -> None:
        """Damage one payload file of an artifact."""
        files = read_manifest(self.folder / manifest)["files"]
        path = (self.folder / manifest).parent / self.rng.choice(sorted(files))
        content = bytearray(path.read_bytes())
        position = self.rng.randrange(len(content))
        if kind == "file deleted":
            path.unlink()
        elif kind == "file truncated":
            path.write_bytes(content[:position])
        else:
            content[position] ^= 1 << self.rng.randrange(8)
            path.write_bytes(content)

    def disturbed_run(self, deadline: float, mean_pause: float) -> int | None:
        """Run the workflow once, with faults until the deadline; return its exit status."""
        process = self.snakemake("overlay", self.detector.manifest)
        pause = time.monotonic() + self.rng.expovariate(1 / mean_pause)
        while process.poll() is None:
            time.sleep(0.2)
            if pause < time.monotonic() < deadline and process.poll() is None:
                self.look()
                self.disturb(process)
                pause = time.monotonic() + self.rng.expovariate(1 / mean_pause)
        self.look()
        return process.returncode

    def mend(self) -> None:
        """Remake damaged artifacts by `bood verify --repair`, which must find all of them."""
        more = [f"--snakemake={USUAL}", "--configfile", str(SMOKE), "overlay.yaml"]
        command = [sys.executable, "-m", "bood_tasks.cli.main", "verify", "--repair", *more]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        with (self.folder / "snakemake.log").open("a") as log:
            log.write(done.stdout + done.stderr)
        there = self.finished()  # damage that nobody found, and nobody wrote over
        unfound = {path for path in self.damaged if str(Path(path).parent) not in done.stdout}
        self.lost += [path for path in unfound if there.get(path) == self.seen[path]]
        if done.returncode == 0:
            self.damaged.clear()
        self.look()

    def run(self, seconds: float, mean_pause: float) -> None:
        """Run with faults for so long, then to the end. Raises RuntimeError if it never ends."""
        began = time.monotonic()
        deadline, calm = began + seconds, 0
        while True:
            status = self.disturbed_run(deadline, mean_pause)
            if self.damaged:
                self.mend()
            elif status == 0:
                break
            calm += time.monotonic() > deadline
            if calm > 5:
                text = (self.folder / "snakemake.log").read_text()
                raise RuntimeError(f"it does not end:\n{text[-5000:]}")
        self.count_losses()
        self.seconds = time.monotonic() - began
        text = (self.folder / "snakemake.log").read_text()
        self.started = len(re.findall(r"^(?:local)?rule \w+:", text, re.MULTILINE))

    def pixels(self, overlay: str) -> np.ndarray:
        """Return all images in order."""
        shards = [self.folder / spec.manifest for spec in self.specs(overlay, "images")]
        return np.concatenate([Artifact(path)["images"][:] for path in shards])

    def largest_difference(self) -> int:
        """Return by how much any pixel differs from one undisturbed shard of all images."""
        (whole,) = self.specs("reference", "images")
        if self.snakemake("reference", whole.manifest).wait():
            raise RuntimeError((self.folder / "snakemake.log").read_text()[-5000:])
        pair = [self.pixels(overlay).astype(int) for overlay in ("overlay", "reference")]
        return int(abs(pair[0] - pair[1]).max())

    def report(self, difference: int) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.shards} shards, {self.faults.total()} faults ({kinds}), {len(self.lost)} lost; "
            f"{self.started} jobs started for {len(self.seen)} artifacts, "
            f"{self.seconds / self.started:.2f} s a job on {self.cores} cores, "
            f"{self.seconds / 60:.1f} min; largest difference from an undisturbed shard: "
            f"{difference} of 255"
        )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=30.0, help="so long with faults")
    parser.add_argument("--pause", type=float, default=10.0, help="mean seconds between faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        folder = Path(place, "work")
        soak = Soak(folder, arguments.shards, random.Random(arguments.seed), arguments.cores)
        soak.run(60 * arguments.minutes, arguments.pause)
        difference = soak.largest_difference()
        print(soak.report(difference))
    sys.exit(1 if soak.lost or difference > ROUNDING else 0)


if __name__ == "__main__":
    main()
