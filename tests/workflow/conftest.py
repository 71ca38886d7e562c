"""One finished run of the real Snakefile on a tiny configuration, shared by all tests here."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import filelock
import numpy as np
import PIL.Image
import psutil
import pytest
import yaml

from bood_tasks.artifacts.locks import lock_path
from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.config.fields import merged
from bood_tasks.config.load import load
from bood_tasks.config.root import Config
from bood_tasks.plan import plan as planning

ROOT = Path(__file__).parents[2]
CLASSES = {"tshirt": 0, "trouser": 1, "pullover": 2, "coat": 4}
# An ID data set in a folder of one's own beside the shipped ones; the default's everything else.
FOLDER = {
    "id": "mine",
    "test": ["near", "digits"],
    "datasets": {
        "mine": {"kind": "folder", "path": "pictures", "validation": 0.2, "test": 0.2},
        "corrupted": {"of": "mine"},
        "resampled": {"of": "mine"},
    },
    "images": {"per_class": 40, "shard": 40},
    "detector": {"epochs": 15},  # over 100 steps: a checkpoint in the middle
}


def write_pictures(folder: Path) -> None:
    """Write 50 pictures a class as PNG files, in class folders."""
    with np.load(ROOT / "bood_tasks/embedded/fashion_mnist.npz") as file:
        for name, label in CLASSES.items():
            (folder / name).mkdir(parents=True)
            images = file["x_train"][file["y_train"] == label][:50]
            for index, image in enumerate(images):
                PIL.Image.fromarray(image).save(folder / name / f"{index:03d}.png")


def hear_interrupts() -> None:
    """A test run in the background of a shell ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def job_at_work(workdir: Path, spec) -> psutil.Process:
    """Return the process that makes an artifact: it holds the artifact's lock."""
    note = lock_path((workdir / spec.manifest).parent).read_text()
    return psutil.Process(int(re.match(r"process (\d+) on", note).group(1)))


def specs_in(workdir: Path, config: Config, stage: str) -> list[Spec]:
    """Return one stage's specs; a configuration's paths start in the working folder."""
    with contextlib.chdir(workdir):
        plan = planning.make(config)
    return [spec for spec in plan.specs.values() if spec.stage == stage]


def command_line(folder: Path, overlays: Iterable[Path | str], *arguments: str) -> list[str]:
    """Return Snakemake's command line for a folder; of the arguments options come first."""
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(folder), "--cores", "2", "--configfile", *map(str, overlays),
        *(["--"] if arguments and arguments[0][0] != "-" else []), *arguments,
    ]  # fmt: skip


def run_presets(
    folder: Path, presets: Iterable[str], overlay: Mapping, *arguments: str
) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder on presets and, on top, an overlay, which is written there."""
    (folder / "overlay.yaml").write_text(yaml.safe_dump(dict(overlay)))
    files = [*(ROOT / f"workflow/presets/{name}.yaml" for name in presets), "overlay.yaml"]
    command = command_line(folder, files, *arguments)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


class Workdir:
    """A folder in which the repository's Snakefile runs."""

    def __init__(self, path: Path, *, pictures: bool = True):
        """`pictures`: the ID data are the folder of pictures there, not the shipped ones."""
        self.path = path
        self.folder = FOLDER if pictures else {}
        self.overlay = f"overlay-{os.getpid()}.yaml"  # other workers may plan here too

    def config(self, overlay: dict | None = None) -> dict:
        """Return the whole configuration: the default, smoke, the folder data set, the overlay."""
        base = yaml.safe_load((ROOT / "config.yaml").read_text())
        overlays = yaml.safe_load((ROOT / "workflow/presets/smoke.yaml").read_text())
        for part in (self.folder, overlay or {}):
            overlays = merged(overlays, part)
        return merged(merged(overlays, base), overlays)

    def command_line(self, *arguments: str, overlay: dict | None, text: str | None) -> list[str]:
        """Write the --configfiles and return Snakemake's command line."""
        folder = self.path / "folder.yaml"
        if not folder.exists():
            folder.write_text(yaml.safe_dump(self.folder or {"seeds": [0]}))
        (self.path / self.overlay).write_text(text or yaml.safe_dump(overlay or {"seeds": [0]}))
        overlays = [ROOT / "workflow/presets/smoke.yaml", "folder.yaml", self.overlay]
        return command_line(self.path, overlays, *arguments)

    def snakemake(
        self,
        *arguments: str,
        overlay: dict | None = None,
        text: str | None = None,
        env: dict | None = None,
    ) -> subprocess.CompletedProcess:
        """Run Snakemake here; `overlay` or `text` is a further --configfile."""
        command = self.command_line(*arguments, overlay=overlay, text=text)
        return subprocess.run(
            command,
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | (env or {}),
        )

    def bood(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run the console command here, on this configuration."""
        overlays = [str(ROOT / "workflow/presets/smoke.yaml"), "folder.yaml", self.overlay]
        return self.bood_plain(*arguments, "--configfile", *overlays)

    def bood_plain(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run the console command here."""
        self.command_line(overlay=None, text=None)
        shutil.copy(ROOT / "config.yaml", self.path)
        return subprocess.run(
            [sys.executable, "-m", "bood_tasks.cli.main", *arguments],
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def manifests(self) -> dict[str, bytes]:
        """Return every finished artifact's manifest."""
        found = sorted(self.path.glob("artifacts/*/*/*/manifest.json"))
        return {str(item.relative_to(self.path)): item.read_bytes() for item in found}

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start Snakemake in a process group of its own."""
        command = self.command_line(*arguments, overlay=None, text=None)
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            command, cwd=self.path, stdout=quiet, stderr=quiet, start_new_session=True,
            preexec_fn=hear_interrupts,
        )  # fmt: skip

    def planned(self, *targets: str, **more) -> Counter:
        """Return rule -> number of jobs of a dry run."""
        done = self.snakemake("--dry-run", *targets, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        table = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
        return Counter({rule: int(count) for rule, count in table if rule != "total"})

    def specs(self, stage: str, overlay: dict | None = None) -> list:
        """Return one stage's specs in this configuration."""
        return specs_in(self.path, load(self.config(overlay)), stage)

    def manifest(self, spec) -> dict:
        return json.loads((self.path / spec.manifest).read_text())

    def command(self, spec) -> list[str]:
        """Return the command line by which Snakemake makes an artifact."""
        return [
            sys.executable, "-m", "bood_tasks.jobs",
            "--in", *[item.manifest for item in spec.upstream()],
            "--out", spec.manifest, "--spec", to_json(spec.identity()),
            *(["--source", spec.source] if spec.source else []),
        ]  # fmt: skip

    def copy(self, path: Path) -> "Workdir":
        """Return a copy without Snakemake's own records, every file's time scrambled."""
        shutil.copytree(self.path, path, ignore=shutil.ignore_patterns(".snakemake"))
        rng = np.random.default_rng(0)
        for file in path.rglob("*"):
            if "pictures" not in file.parts:
                moment = 1.7e9 + float(rng.uniform(0, 1e7))
                os.utime(file, (moment, moment))
        return Workdir(path, pictures=bool(self.folder))


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workdir:
    """The finished run. Tests that change something take `fresh`."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent  # of all workers
    path = base / "work dir"  # with a space: nothing may depend on none
    with filelock.FileLock(base / "work dir.lock"):
        work = Workdir(path)
        if not (base / "work dir.done").exists():
            write_pictures(path / "pictures")
            done = work.snakemake()
            assert done.returncode == 0, done.stdout + done.stderr
            (base / "work dir.done").touch()
    return work


@pytest.fixture
def fresh(finished, tmp_path) -> Workdir:
    """A private copy of the finished run."""
    return finished.copy(tmp_path / "copy")
