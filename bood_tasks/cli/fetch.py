"""Everything that a configuration needs from the network, fetched before offline nodes run it."""

import subprocess
import sys
from pathlib import Path

from bood_tasks import PROJECT
from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.catalogue.corpora import ALL_PUBLISHED
from bood_tasks.catalogue.weights import WEIGHTS
from bood_tasks.config.root import Config
from bood_tasks.jobs.environment import prepare
from bood_tasks.plan import plan as planning
from bood_tasks.plan.weights import folder, lacks


def fetch_generator(spec: Spec) -> None:
    """Run the stage that fetches the generator's pinned commit, unless its artifact is there."""
    if spec.settings["source"] != "hub" or Path(spec.manifest).is_file():
        return
    print(f"fetching {spec.settings['repo']} into {Path(spec.manifest).parent}", flush=True)
    command = [sys.executable, "-m", "bood_tasks.jobs", "--out", spec.manifest]
    done = subprocess.run([*command, "--spec", to_json(spec.identity())])
    if done.returncode:
        raise ValueError("the generator could not be fetched, see above")


def fetch_released(config: Config, spec: Spec) -> list[str]:
    """Fetch released weights; return a message if they must come by hand."""
    from bood_tasks.datasets.released_weights import fetch_weights

    name = spec.settings["released"]
    place = folder(config, name)
    try:
        fetch_weights(name, place)
    except (OSError, ValueError) as error:
        print(f"could not fetch {WEIGHTS[name].title}: {error}", file=sys.stderr, flush=True)
    setting = "detector.pretrained" if spec.stage == "pretrained" else "gan_generator.path"
    return [] if WEIGHTS[name].holds(place) else [WEIGHTS[name].missing(setting, place)]


def fetch(config: Config) -> list[str]:
    """Fetch weights, data sets and corpora; return a message for each that must come by hand.

    A data set that cannot be fetched keeps none of the others from being fetched.
    """
    from bood_tasks.datasets.download import download

    prepare(PROJECT, config.run.model_dump())
    messages = []
    for spec in planning.make(config).specs.values():
        if spec.stage == "generator":
            fetch_generator(spec)
        if lacks(config, spec):
            messages += fetch_released(config, spec)
        kind = spec.settings.get("kind")
        if spec.stage not in ("dataset", "corpus") or kind not in ALL_PUBLISHED:
            continue
        entry, folder = ALL_PUBLISHED[kind], Path(spec.source)
        if Path(spec.manifest).is_file() or entry.holds(folder):
            continue
        try:
            if entry.downloadable:
                download(kind, folder)
        except (OSError, RuntimeError) as error:
            print(f"could not fetch {entry.title}: {error}", file=sys.stderr, flush=True)
        if not entry.holds(folder):
            messages.append(entry.missing(spec.settings["name"], folder))
    return messages
