"""Many tiny shards through the real workflow while jobs are killed, files are damaged, the power is
cut and the disk is full.

Where a loop device can be had (root, Linux), all lies on an ext4 of its own. A power cut copies the
device's bytes at a random moment, kills everything, Snakemake too, and goes on from the copy; a
full disk has no free byte. Elsewhere a power cut is imitated: everything is killed, and of the
unfinished artifacts' files, those that nothing vouches for lose their ends or all they hold, as
ext4 leaves what was not synced; and a full disk is a job whose files may not grow.

`make soak` runs 2,000 shards with faults for half an hour and then to the end; `make test-all` runs
100. Prints shards, faults, what is lost, what has other bytes than an undisturbed run, and seconds
a job; exits 1 if anything is lost or other.
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
from tests.disks import Folder, LoopDevice, disk

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "workflow/presets/smoke.yaml"
USUAL = "--printshellcmds"  # Snakemake's own lines: of a job when it starts, too
FAULTS = {  # kind: weight
    "job killed": 4, "job terminated": 2, "Snakemake killed": 1,
    "file truncated": 1, "byte flipped": 1, "file deleted": 1,
    "power cut": 3, "unfinished file damaged": 3, "disk full": 2,
}  # fmt: skip
PACK = 25  # shards that one job makes, or loading would take all the time
CLASSES = (
    8  # of the smoke preset: a shard of one picture a class is one batch, here and undisturbed
)
SECONDS_FULL = 4.0  # how long a disk is full


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

    disk: Folder | LoopDevice
    shards: int
    rng: random.Random
    cores: int = 2
    faults: Counter = field(default_factory=Counter)
    damaged: set[str] = field(default_factory=set)  # manifests, until they are made again
    ever_damaged: set[str] = field(default_factory=set)
    seen: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)  # finished artifacts
    lost: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)  # not as an undisturbed run makes them
    started: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.folder = self.disk.folder
        self.log = self.folder.with_name("snakemake.log")  # outlives what happens to the disk
        overlay = {
            "images": {"per_class": self.shards, "shard": 1, "steps": 1, "guidance": 1},
            "detector": {"epochs": 1},
            "run": {"pack": PACK, "image_batch": CLASSES},
        }
        (self.folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
        overlay["images"]["shard"] = self.shards
        (self.folder / "reference.yaml").write_text(yaml.safe_dump(overlay))
        shutil.copy(ROOT / "config.yaml", self.folder)
        os.sync()  # the soak's own files are no subject of its power cuts
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
        with self.log.open("a") as log:
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

    def living(self) -> list[psutil.Process]:
        """Return all processes that work in the soak's folder, of whichever Snakemake."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if Path(process.cwd()).is_relative_to(self.folder):
                    found.append(process)
        return found

    def kill_all(self, process: subprocess.Popen | None = None) -> None:
        """Kill a Snakemake and all else in the folder, and wait for their ends."""
        if process is not None:  # first: its exit status is told once, and not to psutil
            process.kill()
            process.wait()
        living = self.living()
        while living:
            for process in living:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(living, timeout=10)
            living = self.living()  # and what they have started meanwhile

    def finished(self, *, wholly: bool = False) -> dict[str, tuple[bytes, bytes]]:
        """Return the manifest and the run facts, as bytes, of each artifact that is there.

        With `wholly`, of those whose jobs have done their last act, the removal of `.progress`:
        before it, a manifest may be visible and not on the disk.
        """
        found = {}
        for path in self.folder.glob("artifacts/*/*/*/manifest.json"):
            if wholly and path.with_name(".progress").exists():
                continue
            with contextlib.suppress(FileNotFoundError):  # Snakemake takes one away, see store
                both = path.read_bytes(), path.with_name("run.json").read_bytes()
                found[str(path.relative_to(self.folder))] = both
        return found

    def look(self) -> None:
        """Note what is finished, as it was first seen."""
        self.seen = self.finished(wholly=True) | self.seen

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
        elif kind == "power cut":
            self.cut_power(process)
        elif kind == "unfinished file damaged":
            if not self.damage_unfinished(process):
                return
        elif kind == "disk full" and self.disk.device:
            with self.disk.full():
                time.sleep(SECONDS_FULL)
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

    def cut_power(self, process: subprocess.Popen) -> None:
        """End everything at one moment, and go on from what the disk holds then."""
        for job in self.living():
            with contextlib.suppress(psutil.NoSuchProcess):
                job.suspend()
        copy = self.disk.snapshot() if self.disk.device else None
        self.kill_all(process)
        if copy is not None:
            self.disk.restart(copy)
            return
        for folder in self.unfinished():
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not vouched_for(folder, path):
                    self.spoil(path)

    def unfinished(self) -> list[Path]:
        """Return the folders of artifacts that are being made."""
        return [
            path.parent for path in self.folder.glob("artifacts/*/*/*/.progress")
            if not any(path.with_name(x).exists() for x in ("manifest.json", ".finished.json"))
        ]  # fmt: skip

    def spoil(self, path: Path) -> None:
        """Cut a file anywhere, or fill it with zeros from there."""
        content = path.read_bytes()
        start = self.rng.choice([0, self.rng.randint(0, len(content))])
        tail = self.rng.choice([b"", bytes(len(content) - start)])
        path.write_bytes(content[:start] + tail)

    def damage_unfinished(self, process: subprocess.Popen) -> bool:
        """Kill all jobs, damage any one file that they have not finished; whether there was one."""
        jobs = self.jobs(process)
        for job in jobs:
            with contextlib.suppress(psutil.NoSuchProcess):
                job.suspend()
        files = [x for folder in self.unfinished() for x in sorted(folder.rglob("*"))]
        files = [path for path in files if path.is_file()]
        if files:
            self.spoil(self.rng.choice(files))
        for job in jobs:
            with contextlib.suppress(psutil.NoSuchProcess):
                job.kill() if files else job.resume()
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
        os.sync()  # or a power cut would undo the damage

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
        with self.log.open("a") as log:
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
                text = self.log.read_text()
                raise RuntimeError(f"it does not end:\n{text[-5000:]}")
        self.count_losses()
        self.seconds = time.monotonic() - began
        text = self.log.read_text()
        self.started = len(re.findall(r"^(?:local)?rule \w+:", text, re.MULTILINE))

    def compare(self, place: Path) -> None:
        """Make everything again without a fault, the images as one shard, in another folder.

        Every artifact that both have must have the same manifest, every image the same pixels, and
        the detectors the same files. Every file must be as its manifest says.
        """
        calm = Soak(Folder(place), self.shards, self.rng, self.cores)
        (whole,), made = calm.specs("reference", "images"), self.specs("overlay", "images")
        (ours,), (theirs,) = self.specs("overlay", "detector"), calm.specs("reference", "detector")
        if calm.snakemake("reference", theirs.manifest).wait():
            raise RuntimeError(calm.log.read_text()[-5000:])
        mine, undisturbed = self.finished(), calm.finished()
        self.other = [
            x for x in mine.keys() & undisturbed.keys() if mine[x][0] != undisturbed[x][0]
        ]
        images = Artifact(calm.folder / whole.manifest)["images"]
        for spec, part in zip(made, np.split(images[:], self.shards), strict=True):
            if spec.manifest not in mine:
                self.lost.append(spec.manifest)
            elif not np.array_equal(Artifact(self.folder / spec.manifest)["images"][:], part):
                self.other.append(spec.manifest)
        pair = Artifact(self.folder / ours.manifest), Artifact(calm.folder / theirs.manifest)
        if pair[0].files != pair[1].files:
            self.other.append(ours.manifest)
        for manifest in mine:
            if Artifact(self.folder / manifest).damaged(rehash=True):
                self.other.append(manifest)

    def report(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        where = "a loop device" if self.disk.device else "a folder"
        return (
            f"{self.shards} shards on {where}, {self.faults.total()} faults ({kinds}); "
            f"{len(self.lost)} lost, {len(self.other)} with other bytes; "
            f"{self.started} jobs started for {len(self.seen)} artifacts, "
            f"{self.seconds / self.started:.2f} s a job on {self.cores} cores, "
            f"{self.seconds / 60:.1f} min"
        )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=30.0, help="so long with faults")
    parser.add_argument("--pause", type=float, default=10.0, help="mean seconds between faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument(
        "--disk", choices=("auto", "loop", "folder"), default="auto",
        help="a loop device, whose power is cut; a folder, where that is imitated",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        (disturbed := Path(place, "disturbed")).mkdir()
        (calm := Path(place, "calm")).mkdir()
        with disk(disturbed, arguments.disk) as made:
            soak = Soak(made, arguments.shards, random.Random(arguments.seed), arguments.cores)
            try:
                soak.run(60 * arguments.minutes, arguments.pause)
                soak.compare(calm)
            finally:
                soak.kill_all()  # or the device stays mounted
        print(soak.report())
        for manifest in soak.lost + soak.other:
            print("lost" if manifest in soak.lost else "other", manifest)
    sys.exit(1 if soak.lost or soak.other else 0)


if __name__ == "__main__":
    main()
