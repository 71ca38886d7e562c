"""A classifier's weights as a detector's artifact: a row of its own, or where rows start.

Enters: a .safetensors, .pt or .pth file, released or of one's own, and the ID data set, whose
classes the last layer must have unless it is new. Leaves model.safetensors and method.json, as
detector.py.
"""

from pathlib import Path

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.datasets.released_weights import require_released
from bood_tasks.detectors.model import DESCRIPTION, build, network_description
from bood_tasks.jobs import seeds
from bood_tasks.jobs.job import read_job
from bood_tasks.networks.vit_layouts import as_timm
from bood_tasks.networks.weights import initialised, read_weights, require_fitting, save_weights

VERSION = 1
HEADS = ("head", "fc")  # names of the last layer


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, path = job.settings, Path(job.source)
    require_released(path, settings, "detector.pretrained")
    if path.is_dir():
        path = path / "model.safetensors"
    facts = job.inputs["dataset"].json("dataset.json")
    description = network_description(settings, facts) | {"method": "cross_entropy", "settings": {}}
    model = initialised(
        lambda: build(description), seeds.stream(settings.get("seed", 0), "pretrained", "head")
    )
    given = {name.removeprefix("network."): value for name, value in read_weights(path).items()}
    if settings["network"] == "vit_b16":
        given = as_timm(given)
    wanted = model.network.state_dict()
    if settings["new_head"]:
        head = {name for name in wanted if name.split(".")[0] in HEADS}
        given = {name: value for name, value in given.items() if name not in head}
        given |= {name: wanted[name] for name in head}
    try:
        model.network.load_state_dict(require_fitting(given, wanted, path))
    except ValueError as error:
        cure = f"the data set has {len(facts['classes'])} classes; for others' weights set new_head"
        raise ValueError(f"detector.pretrained: {error} ({cure})") from None
    with job.draft() as draft:
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / DESCRIPTION, description)
        draft.finish()
