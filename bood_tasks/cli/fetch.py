"""Everything that a configuration needs from the network, fetched before offline nodes run it."""

import subprocess
import sys
from pathlib import Path

from bood_tasks import PROJECT
from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.catalogue.datasets import CATALOGUE, holds
from bood_tasks.config.root import Config
from bood_tasks.jobs.environment import prepare
from bood_tasks.plan import plan as planning


def fetch_generator(spec: Spec) -> None:
    """Run the stage that fetches the generator's pinned commit, unless its artifact is there."""
    if spec.settings["source"] != "hub" or Path(spec.manifest).is_file():
        return
    print(f"fetching {spec.settings['repo']} into {Path(spec.manifest).parent}", flush=True)
    command = [sys.executable, "-m", "bood_tasks.jobs", "--out", spec.manifest]
    done = subprocess.run([*command, "--spec", to_json(spec.identity())])
    if done.returncode:
        raise ValueError("the generator could not be fetched, see above")


def fetch(config: Config) -> list[str]:
    """Fetch weights and published data sets; return a message for each that must come by hand."""
    prepare(PROJECT, config.run.model_dump())
    online = config.model_copy(update={"run": config.run.model_copy(update={"download": True})})
    for spec in planning.make(config).specs.values():
        entry = CATALOGUE.get(spec.settings.get("kind")) if spec.stage == "dataset" else None
        wanted = entry is not None and entry.downloadable and not Path(spec.manifest).is_file()
        if wanted and not holds(spec.settings["kind"], Path(spec.source)):
            from bood_tasks.datasets.download import download_dataset as download

            download(spec.settings["kind"], Path(spec.source))
        if spec.stage == "generator":
            fetch_generator(spec)
    return planning.absent(online)
