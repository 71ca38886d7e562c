"""`bood status`: how far a run is that another terminal or a cluster makes."""

import json
import time
from collections import Counter
from pathlib import Path

from bood_tasks.artifacts.locks import in_use
from bood_tasks.artifacts.spec import Spec
from bood_tasks.artifacts.usage import duration
from bood_tasks.cli import runs
from bood_tasks.cli.listing import print_table
from bood_tasks.cli.look import look
from bood_tasks.cli.standing import Standing, blocked, log_of, shown, standing
from bood_tasks.config.load import load
from bood_tasks.config.root import Config
from bood_tasks.plan import plan as planning

SHOWN = 20  # jobs of each state


def status(config: Config | None) -> None:
    """Print what is finished, at work, failed and waiting: of a configuration, or of the run that
    began last in this folder.

    Raises ValueError if no run has said what it is.
    """
    run = None
    if config is None:
        run = runs.last()
        if run is None:
            raise ValueError(
                f"no run has begun here: {runs.FOLDER} holds none; start one, or name a "
                "configuration by --configfile"
            )
        config = load(json.loads(run.config), look)
    specs = planning.make(config).specs
    if run:
        makes = set(run.makes)
        specs = {digest: spec for digest, spec in specs.items() if digest in makes}
    found = {digest: standing(spec) for digest, spec in specs.items()}
    if run:
        print(_headline(run, ended=all(item.state == "finished" for item in found.values())))
    print(_counts(specs, found))
    for state in ("running", "failed", "stopped"):
        of_state = [(specs[digest], item) for digest, item in found.items() if item.state == state]
        if of_state:
            _tell(state, of_state)
    waiting = Counter(specs[digest].stage for digest in found if found[digest].state == "waiting")
    if waiting:
        print("waiting: " + ", ".join(f"{count} {stage}" for stage, count in waiting.items()))
    if run and run.log:
        print(f"log of the run: {run.log}")


def _moment(seconds: float) -> str:
    day = "" if time.time() - seconds < 12 * 3600 else "%Y-%m-%d "
    return time.strftime(f"{day}%H:%M:%S", time.localtime(seconds))


def _headline(run: runs.Run, *, ended: bool) -> str:
    alive = in_use(Path(".snakemake", "bood.lock"))
    ago = duration(time.time() - run.began)
    began = f"began {_moment(run.began)} ({ago} ago) on {run.host}, process {run.process}"
    what = {
        True: "Snakemake is at work",
        False: "it has ended" if ended else f"no run is at work now; to go on: {run.command}",
        None: "whether Snakemake is at work cannot be told: no locks here",
    }[alive]
    named = ", ".join(run.files) or "config.yaml"
    return f"{named}: {began}; {what}"


def _counts(specs: dict[str, Spec], found: dict[str, Standing]) -> str:
    count = Counter(item.state for item in found.values())
    failed = [digest for digest, item in found.items() if item.state == "failed"]
    parts = [f"{count['finished']} of {len(found)} artifacts are finished"]
    parts += [f"{count[state]} {state}" for state in ("running", "failed", "stopped", "waiting")
              if count[state]]  # fmt: skip
    if held := blocked(specs, failed):
        parts[-1] += f" ({len(held)} for what failed)"
    return ", ".join(parts)


def _why(item: Standing) -> str:
    if item.state == "failed":
        return item.said
    by_hand = item.said.startswith("KeyboardInterrupt")
    return "by Ctrl-C" if by_hand else f"killed{', last it said: ' if item.said else ''}{item.said}"


def _tell(state: str, jobs: list[tuple[Spec, Standing]]) -> None:
    """Print the jobs of one state, those that say how far they are first."""
    jobs.sort(key=lambda item: (item[1].now is None, item[1].since))
    print(f"\n{state}:")
    if state == "running":
        rows = [
            (spec.stage, spec.name, shown(item.now), _moment(item.since), item.where)
            for spec, item in jobs[:SHOWN]
        ]
        headings = ("stage", "name", "progress", "since", "by")
        print_table(rows, dict.fromkeys(headings, "left"))
    else:
        for spec, item in jobs[:SHOWN]:
            print(f"  {_moment(item.since)} {spec.stage} {spec.name}: {_why(item)}")
            print(f"    log: {log_of(spec)}")
    if len(jobs) > SHOWN:
        print(f"  and {len(jobs) - SHOWN} more")
