"""The class-conditional generator that GOE runs outside its training range: trained, or at hand.

Enters: the ID data set, or files in one of the layouts of layouts.py. Leaves:
generator.safetensors, generator.json (what it is built from) and, if trained, curve.csv.
"""

from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.datasets.released_weights import require_released
from bood_tasks.generators.biggan.biggan import Shape
from bood_tasks.generators.biggan.layouts import FILE, WEIGHTS, build, read_layout
from bood_tasks.generators.biggan.training import train
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.networks.weights import read_weights, require_fitting, write_weights
from bood_tasks.training.curve import write_curve

VERSION = 1
SHAPE = ("channels", "latent", "shared", "attention")


def load_generator(artifact: Artifact, device: str):
    """Return the generator in evaluation mode, float32.

    Raises ValueError that names a parameter which is missing, too many or not finite.
    """
    generator, path = build(artifact.json(FILE)), artifact.folder / WEIGHTS
    generator.load_state_dict(require_fitting(read_weights(path), generator.state_dict(), path))
    return generator.to(device).eval()


def _trained(job: Job, draft: Draft) -> tuple[dict[str, Tensor], dict, float]:
    """Return weights, description and the training pictures a second."""
    data, settings = job.inputs["dataset"], job.settings
    facts = data.json("dataset.json")
    shape = Shape(
        resolution=facts["size"], classes=len(facts["classes"]),
        **{name: settings[name] for name in SHAPE},
    )  # fmt: skip
    generator, curve, rate = train(
        data["train/images"][:], data["train/labels"][:], shape, settings,
        checkpoint=draft.progress / "checkpoint.safetensors", device=pick_device(),
    )  # fmt: skip
    write_curve(curve, draft.folder / "curve.csv")
    described = {"architecture": "biggan", "shape": asdict(shape), "classes": facts["classes"]}
    return generator.state_dict(), described, rate


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    with job.draft() as draft:
        facts = {}
        if job.settings["source"] == "train":
            state, described, rate = _trained(job, draft)
            facts = {"images_per_second": round(rate, 1)}
        else:
            path = Path(job.source)
            require_released(path, job.settings, "gan_generator.path")
            state, described = read_layout(path, job.settings)
            state = require_fitting(state, build(described).state_dict(), path)
        write_weights(state, draft.folder / WEIGHTS, job.settings.get("stored"))
        write_json(draft.folder / FILE, described)
        draft.finish(facts=facts)
