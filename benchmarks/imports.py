"""What it costs to start each stage's job: CPU seconds that importing its module takes.

    PYTHONPATH=. python benchmarks/imports.py
    PYTHONPATH=/old/checkout python benchmarks/imports.py --module bood_tasks.{stage}

Each import is a process of its own, the median of --repeats. The yardstick is `import torch`, the
least that a stage with a network needs. `python -X importtime -c "import MODULE"` tells where the
time goes. The last line is JSON: `ratio` is all stages' time over as many times torch's.
"""

import argparse
import json
import os
import subprocess
import sys
from statistics import median

from machine import machine

from bood_tasks.catalogue.stages import STAGES

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "diffusers",
    "matplotlib",
    "zarr",
    "pandas",
)


def cpu_seconds(code: str, repeats: int) -> tuple[float, list[str]]:
    """Return the CPU seconds of a process that runs `code`, and the heavy packages it loaded."""
    seconds, loaded = [], ""
    code += f"; import sys; print(*(x for x in {HEAVY} if x in sys.modules))"
    for _ in range(repeats):
        before = os.times()
        loaded = subprocess.run(
            [sys.executable, "-c", code], check=True, text=True, stdout=subprocess.PIPE
        ).stdout
        after = os.times()
        spent = after.children_user - before.children_user
        seconds.append(spent + after.children_system - before.children_system)
    return median(seconds), loaded.split()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", nargs="*", default=list(STAGES))
    parser.add_argument("--module", help="pattern of a stage's module; default: the table's")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    yardstick, _ = cpu_seconds("import torch", arguments.repeats)
    total = 0.0
    for stage in arguments.stages:
        module = (arguments.module or f"bood_tasks.{STAGES[stage].module}").format(stage=stage)
        seconds, loaded = cpu_seconds(f"import {module}", arguments.repeats)
        total += seconds
        print(f"{stage:18} {seconds:6.2f} s  {' '.join(loaded)}", flush=True)
    record = {
        "benchmark": "imports",
        "seconds": round(total, 2),
        "peer_seconds": round(yardstick * len(arguments.stages), 2),
        "ratio": round(total / (yardstick * len(arguments.stages)), 3),
        "machine": machine("cpu"),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
