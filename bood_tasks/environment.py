"""What a job finds in its environment: settings that cannot change a result.

Snakemake sets OMP_NUM_THREADS to a rule's `threads`, and torch takes its threads from there.
"""

import os
import sys
from pathlib import Path

BATCH = "BOOD_INFERENCE_BATCH"


def prepare(root: Path | str, *, inference_batch: int) -> None:
    """Set the environment of every job that this Snakemake starts; `root` holds the Snakefile."""
    # Jobs call `python`: the one that runs Snakemake, also when its environment is not activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    below = filter(None, [str(root), os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join(below)
    # Idle OpenMP threads must not spin: two of them on a busy machine cost a factor of ten.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ[BATCH] = str(inference_batch)


def inference_batch() -> int:
    """Return the inference batch size, 250 for a stage run by hand."""
    return max(1, int(os.environ.get(BATCH, "250")))


def pick_device() -> str:
    """Return torch's device: the leased GPU if there is one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
