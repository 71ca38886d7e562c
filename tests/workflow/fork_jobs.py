"""Run a configuration's jobs as Snakemake would order them, forked from one warm interpreter.

`python -m tests.workflow.fork_jobs OVERLAY...` in a working folder: the configuration is merged,
the plan made and every artifact's job run by its command line, two at once. `results/` is left to
Snakemake, which then finds nothing else to do. A job's imports cost seconds, its work here less.
"""

import importlib
import os
import sys
import traceback
from pathlib import Path

from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.catalogue.stages import STAGES
from bood_tasks.config.load import effective_config
from bood_tasks.jobs import __main__ as jobs
from bood_tasks.jobs.environment import prepare
from bood_tasks.plan import plan as planning

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
STABLE_DIFFUSION = "generators.text_to_image.stable_diffusion"  # imported late by its stages


def order(spec: Spec) -> list[str]:
    """Return a job's arguments, as the rules give them."""
    inputs = [item.manifest for item in spec.upstream()]
    source = ["--source", spec.source] if spec.source else []
    return ["--in", *inputs, "--out", spec.manifest, "--spec", to_json(spec.identity()), *source]


def _start(spec: Spec) -> int:
    """Run one job in a child process, its output in a log; return the child's id."""
    log = Path("logs", spec.stage, f"{spec.name}-{spec.digest}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with log.open("wb") as handle:
            for stream in (1, 2):
                os.dup2(handle.fileno(), stream)
        jobs.main(order(spec))
        status = 0
    except SystemExit as end:
        status = 0 if end.code in (None, 0) else 1
        print("" if status == 0 else end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run(specs: dict[str, Spec]) -> list[Spec]:
    """Run all jobs, each after what it is made from; return those that failed, none after them."""
    waiting, running, failed = dict(specs), {}, []
    while (waiting and not failed) or running:
        ready = [
            digest for digest, spec in waiting.items()
            if not any(item.digest in waiting for item in spec.upstream())
            and not {item.digest for item in spec.upstream()} & set(running.values())
        ]  # fmt: skip
        if ready and not failed and len(running) < AT_ONCE:
            running[_start(waiting.pop(ready[0]))] = ready[0]
            continue
        child, status = os.wait()
        spec = specs[running.pop(child)]
        if status:
            failed.append(spec)
    return failed


def main(overlays: list[str]) -> None:
    config = effective_config([ROOT / "config.yaml", *map(Path, overlays)])
    plan = planning.make(config)
    if absent := planning.absent(config):
        sys.exit("\n".join(absent))
    prepare(config.run.model_dump())
    stages = {spec.stage for spec in plan.specs.values()}
    modules = {STAGES[stage].module for stage in stages}
    for module in modules | ({STABLE_DIFFUSION} if "images" in stages else set()):
        importlib.import_module(f"bood_tasks.{module}")
    for spec in run(plan.specs):
        log = Path("logs", spec.stage, f"{spec.name}-{spec.digest}.log")
        print(f"{spec.stage} {spec.name} failed:\n{log.read_text()[-6000:]}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
