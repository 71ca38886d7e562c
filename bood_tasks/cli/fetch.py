"""Everything that a configuration needs from the network, fetched before offline nodes run it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.catalogue.corpora import ALL_PUBLISHED
from bood_tasks.catalogue.weights import WEIGHTS
from bood_tasks.config.root import Config
from bood_tasks.jobs.environment import prepare
from bood_tasks.plan import plan as planning
from bood_tasks.plan.weights import folder, lacks


def fetch_pinned(spec: Spec) -> None:
    """Run the stage that fetches a pinned commit of the hub, unless its artifact is there.

    A LoRA of one's own, which a fetched generator needs, is made an artifact, too.
    """
    for upstream in spec.upstream():
        fetch_pinned(upstream)
    made = Path(spec.manifest)
    if made.is_file():
        return
    print(f"fetching {spec.settings.get('repo', spec.source)} into {made.parent}", flush=True)
    command = [sys.executable, "-m", "bood_tasks.jobs", "--out", spec.manifest]
    command += ["--in", *(upstream.manifest for upstream in spec.upstream())]
    done = subprocess.run([*command, "--spec", to_json(spec.identity()), f"--source={spec.source}"])
    if done.returncode:
        raise ValueError(f"the {spec.stage} could not be fetched, see above")


def attempt(title: str, get: Callable[[], None]) -> None:
    """Fetch one thing; a failure is told and keeps none of the others from being fetched."""
    try:
        get()
    except (OSError, RuntimeError, ValueError) as error:
        print(f"could not fetch {title}: {error}", file=sys.stderr, flush=True)


def fetch_released(config: Config, spec: Spec) -> list[str]:
    """Fetch released weights; return a message if they must come by hand."""
    from bood_tasks.datasets.released_weights import fetch_weights

    name = spec.settings["released"]
    entry, place = WEIGHTS[name], folder(config, name)
    attempt(entry.title, lambda: fetch_weights(name, place))
    setting = "detector.pretrained" if spec.stage == "pretrained" else "gan_generator.path"
    return [] if entry.holds(place) else [entry.missing(setting, place)]


def fetch_published(spec: Spec) -> list[str]:
    """Fetch a published data set or corpus; return a message if it must come by hand."""
    from bood_tasks.datasets.download import download

    kind, place = spec.settings["kind"], Path(spec.source)
    entry = ALL_PUBLISHED[kind]
    if Path(spec.manifest).is_file() or entry.holds(place):
        return []
    if entry.downloadable:
        attempt(entry.title, lambda: download(kind, place))
    return [] if entry.holds(place) else [entry.missing(spec.settings["name"], place)]


def fetch(config: Config) -> list[str]:
    """Fetch weights, data sets and corpora; return a message for each that must come by hand."""
    prepare(config.run.model_dump())
    messages = []
    for spec in planning.make(config).specs.values():
        if spec.stage in ("generator", "lora") and spec.settings["source"] == "hub":
            fetch_pinned(spec)
        if lacks(config, spec):
            messages += fetch_released(config, spec)
        if spec.stage in ("dataset", "corpus") and spec.settings.get("kind") in ALL_PUBLISHED:
            messages += fetch_published(spec)
    return messages
