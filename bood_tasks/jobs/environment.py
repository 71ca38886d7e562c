"""What a job finds in its environment: settings that cannot change a result.

Snakemake sets OMP_NUM_THREADS to a rule's `threads`, and torch takes its threads from there.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bood_tasks import PACKAGE, PACKED, PROJECT
from bood_tasks.artifacts.locks import STARTED
from bood_tasks.artifacts.spec import ROOT
from bood_tasks.jobs.devices import CUDA, DEVICE

RUN = "BOOD_RUN"
COMPILED = ROOT / ".compiled"  # no stage has a dot: gc, verify and ls leave it alone
OUT_OF_MEMORY = (
    "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)  # fmt: skip
DEFAULTS = {  # of a stage run by hand: the same as config.Run's
    "inference_batch": 250,
    "image_batch": "auto",
    "compile": "auto",
    "attention": "sdpa",
    "fused_projections": False,
    "split_guidance": False,
    "vae_slicing": False,
    "pack": 1,
    "workers": 4,
    "data": "data",
    "download": False,
    "container": None,
}


def prepare(run: Mapping[str, Any]) -> None:
    """Set the environment of every job that this Snakemake starts."""
    # Jobs call `python`: the one that runs Snakemake, also when its environment is not activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    below = filter(None, [str(_importable()), os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join(below)
    # A json.py that happens to lie in the working folder is not Python's.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    # Idle OpenMP threads must not spin: two of them on a busy machine cost a factor of ten.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # What MPS has no kernel for runs on the CPU, and torch warns of it.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    # What one job has compiled, the next finds: torch's own place is emptied with the machine.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path.cwd() / COMPILED / "torch"))
    os.environ.setdefault("TORCHINDUCTOR_FX_GRAPH_CACHE", "1")
    os.environ.setdefault("TORCHINDUCTOR_AUTOGRAD_CACHE", "1")
    os.environ[RUN] = json.dumps(dict(run))
    os.environ.setdefault(STARTED, str(time.time()))  # cluster jobs keep that of the first process


def _importable() -> Path:
    """Return a folder from which every Python imports this package, also a conda environment's: a
    clone; of an installed one a link to it alone, since other Pythons have other libraries."""
    if not PACKED:
        return PROJECT
    folder = Path.cwd() / ".snakemake" / "bood" / "package"
    link = folder / PACKAGE.name
    if not link.is_dir() or not link.samefile(PACKAGE):
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f"{PACKAGE.name}.{os.getpid()}"
        scratch.symlink_to(PACKAGE)
        scratch.replace(link)
    return folder


@cache
def _given(text: str) -> dict[str, Any]:
    return DEFAULTS | json.loads(text)


def run_setting(name: str) -> Any:
    """Return one setting of the configuration's `run` section; its default for a stage by hand."""
    return _given(os.environ.get(RUN, "{}"))[name]


halvings = 0  # of batches outside training: how often this job ran out of memory before


def halved(batch: int) -> int:
    """Return a batch size made smaller after failed tries, at least 1."""
    return max(1, batch >> halvings)


def inference_batch() -> int:
    """Return the number of images that a classifier sees at once outside training."""
    return halved(run_setting("inference_batch"))


def pick_device() -> str:
    """Return torch's device: the leased one if there is one, else the CPU.

    "cuda" is ROCm's as well. A job that was leased a device which torch cannot use says so.
    """
    leased = os.environ.get(DEVICE)
    if leased == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if leased != "cuda" and torch.backends.mps.is_available():
        return "mps"
    if leased:
        print(
            f"device: the CPU works, though {os.environ.get(CUDA) or leased} is leased: torch "
            f"{torch.__version__} (CUDA {torch.version.cuda}) cannot use it; `bood doctor` tells",
            file=sys.stderr,
        )
    return "cpu"


def out_of_memory(error: BaseException) -> bool:
    """Whether a device's memory ran out. The libraries below torch and MPS say so in words."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in OUT_OF_MEMORY
    )
