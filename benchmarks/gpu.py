"""Every GPU number of this project in one run of under ten minutes, on random weights and data.

    PYTHONPATH=. python benchmarks/gpu.py          # on a GPU
    PYTHONPATH=. python benchmarks/gpu.py --tiny   # on any machine: does every part run?

Runs, one after another and each in a process of its own, the benchmarks at full size: decoding with
Stable Diffusion v1.4's shapes (PNDM 50, guidance 7.5, 512 pixels, fp16) against the plain pipeline
call; encoder and detector training (ResNet-34, 50,000 pictures of 32 pixels, 3 epochs extrapolated
to 200) against a plain loop; distances of 50,000 x 768 features, whole and pruned. A part that
fails or runs out of its time is reported, the others go on, and the exit status is 1. Prints each
goal beside what was measured; the last line is JSON with all parts.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent
PARTS = {  # name: (script and arguments, most seconds)
    "generation": (
        "generation.py --device cuda --sd14 --images 128 --peer-images 4 --steps 50", 240
    ),
    "encoder training": ("training.py --device cuda --epochs 3 --workers 8", 130),
    "detector training": ("training.py --device cuda --epochs 3 --workers 8 --outliers", 150),
    "distances": (
        "distances.py --device cuda --peer-rows 50000 --single-rows 8 --repeats 3", 60
    ),
}  # fmt: skip
TINY = {  # the same parts on a CPU, in seconds
    "generation": ("generation.py --images 2 --peer-images 1 --steps 2", 240),
    "encoder training": ("training.py --rows 16 --batch 8 --width 4 --epochs 1", 240),
    "detector training": ("training.py --rows 16 --batch 8 --width 4 --epochs 1 --outliers", 240),
    "distances": ("distances.py --rows 64 --dim 32 --classes 4 --single-rows 4", 240),
}
GOALS = [  # part, key, goal on one H200, whether more is better
    ("generation", "images_per_second", 5.0, True),
    ("generation", "ratio", 2.5, True),
    ("encoder training", "seconds", 360.0, False),
    ("detector training", "seconds", 720.0, False),
    ("distances", "seconds", 0.5, False),
]


def run(arguments: str, limit: int) -> dict:
    """Return a benchmark's last line, or what went wrong."""
    script, *rest = arguments.split()
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / script), *rest],
            capture_output=True, text=True, timeout=limit, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"not done in {limit} s"}
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": (done.stderr or done.stdout)[-2000:]}


def print_goals(found: dict[str, dict]) -> None:
    """Print a line a goal: what was measured, and whether it meets the goal."""
    print(f"\n{'part':20} {'value':20} {'measured':>12} {'goal (H200)':>12}")
    for part, key, goal, more in GOALS:
        value = found[part].get(key)
        met = value is not None and (value >= goal if more else value <= goal)
        shown = "-" if value is None else f"{value:,.2f}"
        print(f"{part:20} {key:20} {shown:>12} {goal:>12,.2f}  {'met' if met else 'NOT MET'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="every part in seconds, on the CPU")
    tiny = parser.parse_args().tiny
    if not tiny and not torch.cuda.is_available():
        sys.exit("error: no GPU here; on the CPU run each benchmark alone, or all with --tiny")
    began, found = time.monotonic(), {}
    for name, (arguments, limit) in (TINY if tiny else PARTS).items():
        print(f"{name}: {arguments}", flush=True)
        found[name] = run(arguments, limit)
        print(json.dumps(found[name]), flush=True)
    if not tiny:
        print_goals(found)
    print(
        json.dumps(
            {
                "benchmark": "gpu",
                "device": "cpu" if tiny else torch.cuda.get_device_name(),
                "torch": torch.__version__,
                "seconds": round(time.monotonic() - began, 1),
                "parts": found,
            }
        )
    )
    sys.exit(int(any("error" in part for part in found.values())))


if __name__ == "__main__":
    main()
