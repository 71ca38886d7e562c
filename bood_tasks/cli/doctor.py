"""Is this machine fit for a run? `bood doctor`, on a workstation or on a cluster's compute node.

Each check returns its finding and whether that is fit; a finding that is not says how to mend it.
"""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from packaging.specifiers import SpecifierSet

from bood_tasks import PROJECT
from bood_tasks.artifacts import disk
from bood_tasks.artifacts.locks import try_lock
from bood_tasks.artifacts.spec import ROOT
from bood_tasks.catalogue.extras import bounds
from bood_tasks.cli.cost import planned
from bood_tasks.config.root import Config
from bood_tasks.jobs import devices
from bood_tasks.jobs.gpu import lease_folder
from bood_tasks.plan import plan as planning
from bood_tasks.plan.generators import generator
from bood_tasks.plan.pipelines import check_pipelines

SPARE_GB = 2  # beyond what the plan writes: scratch, logs, what is small
PINS = PROJECT / "envs" / "requirements.txt"
MUST_MATCH = ("torch", "torchvision", "diffusers", "transformers", "zarr", "snakemake", "numpy")
Finding = tuple[bool, str]


def check_python() -> Finding:
    """Python and the packages whose version decides whether a run works."""
    pins = {}
    if PINS.is_file():
        lines = (line.split(";")[0].strip() for line in PINS.read_text().splitlines())
        pins = dict(line.split("==") for line in lines if "==" in line)
    wrong, near, within = [], [], bounds()
    for name in MUST_MATCH:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found.partition("+")[0] == pins.get(name, found):
            continue
        fits = found != "none" and name in within and found in SpecifierSet(within[name])
        (near if fits else wrong).append(f"{name} {found}, pinned {pins[name]}")
    cure = "; install envs/requirements.txt" if wrong else ""
    said = ", ".join(wrong) or (f"bounds met ({', '.join(near)})" if near else "pins met")
    return not wrong, f"Python {platform.python_version()}, {said}{cure}"


def check_devices() -> Finding:
    """What jobs will run on, found as they find it; each device must run a kernel of this build."""
    import torch

    found = devices.find(os.environ)
    listed = len(found.devices)
    if os.environ.get(devices.DEVICE) == "cpu":
        return True, f"the CPU will work ({found.said})"
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        if listed:
            return False, (
                f"{found.said} lists {listed} GPUs, PyTorch {torch.__version__} (CUDA "
                f"{torch.version.cuda}) finds none; the driver is older than this CUDA, or the "
                "build has none"
            )
        return True, f"no GPU, the CPU will work ({found.said})"
    names = []
    if not torch.cuda.is_available():
        torch.ones(8, device="mps").sum().item()
        names.append("Apple MPS (what is computed in float64 runs on the CPU)")
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        try:
            torch.ones(8, device=f"cuda:{index}").sum().item()
        except RuntimeError as error:
            return False, f"{name} runs no kernel of PyTorch {torch.__version__}: {error}"
        free, total = torch.cuda.mem_get_info(index)
        names.append(f"{name} ({free / 2**30:.0f} of {total / 2**30:.0f} GiB free)")
    toolkit = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
    leases = f"{listed} to lease, found by {found.said}" if listed else f"none leased: {found.said}"
    return True, f"{', '.join(names)}; {toolkit}, torch {torch.__version__}; {leases}"


def check_space(folder: Path, config: Config) -> Finding:
    """Free space where artifacts go, beside what the plan still writes there."""
    stages = planned(planning.make(config), "cpu")
    unknown = [stage for stage, cost in stages.items() if cost.disk is None]
    needed = sum(cost.disk or 0.0 for cost in stages.values()) / 1e9
    free = shutil.disk_usage(folder).free / 1e9
    enough = free >= needed + SPARE_GB
    without = f" (without {', '.join(unknown)}, which nothing tells)" if unknown else ""
    cure = "" if enough else "; `bood plan` says which stage needs it, `bood gc` what can go"
    return enough, f"{free:.0f} GB free in {folder}, this run writes {needed:.1f} GB{without}{cure}"


def check_rename(folder: Path) -> Finding:
    """A rename must replace a file in one step: an artifact is whole because of it."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as place:
        old, new = Path(place, "old"), Path(place, "new")
        old.write_text("old")
        new.write_text("new")
        os.replace(new, old)
        fine = old.read_text() == "new" and not new.exists()
    return fine, "renames replace files" if fine else f"{folder} cannot replace files by renaming"


def check_sync(folder: Path) -> Finding:
    """What is written must be on the disk when asked for: then a power cut loses nothing."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as place:
        began = time.monotonic()
        disk.write_text(Path(place, "note"), "there")
        disk.sync(Path(place))
    return True, f"a file and its name are on the disk in {time.monotonic() - began:.3f} s"


_HOLD = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def check_locks(folder: Path) -> Finding:
    """A lock must keep others out while its process lives, and end when that is killed."""
    cure = f"{folder} must be on a file system with flock (Lustre: mount option flock)"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as place:
        path = Path(place, "lock")
        path.touch()
        command = [sys.executable, "-c", _HOLD, str(path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as other:
            try:
                if other.stdout.readline().strip() != "held":
                    return False, cure
                with path.open("r+") as mine:
                    if try_lock(mine.fileno()):
                        return False, f"two processes hold one lock: {cure}"
                    other.kill()
                    other.wait()
                    if not try_lock(mine.fileno()):
                        return False, f"a lock outlives its process: {cure}"
            except OSError as error:
                return False, f"{error.strerror}: {cure}"
            finally:
                other.kill()
    return True, "a lock keeps others out and ends with its process"


def check_leases() -> Finding:
    """GPU leases need a folder that every job of this machine can write."""
    folder = lease_folder(os.environ)
    fine = os.access(folder, os.W_OK)
    return fine, f"leases in {folder}" + ("" if fine else " cannot be written; set BOOD_LEASE_DIR")


def check_batch_system() -> Finding:
    """Slurm's commands, if this is a cluster."""
    if shutil.which("sbatch") is None:
        return True, "no Slurm here; jobs run on this machine"
    done = subprocess.run(
        ["sinfo", "-h", "-o", "%P %a %D nodes %G"], capture_output=True, text=True
    )
    if done.returncode:
        return False, f"sinfo fails: {done.stderr.strip()}"
    job = os.environ.get("SLURM_JOB_ID")
    where = f"inside job {job}" if job else "outside any job"
    return True, f"Slurm, {where}: {'; '.join(done.stdout.split(chr(10))).strip('; ')}"


def check_generator(config: Config) -> Finding:
    """The text-to-image model must be there: compute nodes are often offline."""
    spec = generator(config)
    if Path(spec.manifest).is_file():
        return True, f"{spec.name} in {Path(spec.manifest).parent}"
    if config.generator.source == "hub":
        return False, f"{config.generator.repo} is not here; `bood fetch` where there is a network"
    check_pipelines([spec])
    return True, f"{spec.source or 'trained by the workflow'}"


def check_data(config: Config) -> Finding:
    """Published data sets and released weights."""
    missing = planning.absent(config)
    return not missing, "\n".join(missing) or "all data sets and weights are here"


def doctor(read: Callable[[], Config]) -> bool:
    """Print each check's finding; return whether all are fit.

    `read` returns the configuration. One that cannot be read is a finding: the machine is checked
    all the same.
    """
    ROOT.mkdir(exist_ok=True)
    try:
        config = read()
        readable, said = True, f"can be read, {len(config.rows)} rows"
    except (OSError, ValueError) as error:
        readable, said = False, str(error)
    checks: dict[str, Callable[[], Finding]] = {
        "python": check_python,
        "devices": check_devices,
        "rename": lambda: check_rename(ROOT),
        "disk": lambda: check_sync(ROOT),
        "locks": lambda: check_locks(ROOT),
        "leases": check_leases,
        "batch system": check_batch_system,
        "configuration": lambda: (readable, said),
    }
    of_config: dict[str, Callable[[], Finding]] = {
        "space": lambda: check_space(ROOT, config),
        "generator": lambda: check_generator(config),
        "data": lambda: check_data(config),
    }
    fit = True
    print(f"on {platform.node()}, in {Path.cwd()}")
    for name, check in (checks | of_config if readable else checks).items():
        try:
            fine, finding = check()
        except (OSError, ValueError) as error:
            fine, finding = False, str(error)
        fit = fit and fine
        print(f"{'ok  ' if fine else 'FAIL'} {name}: {finding}")
    for name in () if readable else of_config:
        print(f"     {name}: not checked, as the configuration cannot be read")
    return fit
