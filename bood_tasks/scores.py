"""One score of every sample of every data set, from a detector's outputs; larger = more ID.

Leaves: `<dataset>/<split>/score` float32 [n] and `index`; for the ID data set also `correct`.
Every metric is computed from these. `score.json` has what was chosen, `state.safetensors` what
was fitted: on the training split or on validation sets, never on test sets.
"""

from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bood_tasks import posthoc
from bood_tasks.detector import load_detector
from bood_tasks.environment import inference_batch, pick_device
from bood_tasks.odin import choose_magnitude, confidences, most_confident_magnitude, odin
from bood_tasks.outputs import splits
from bood_tasks.posthoc import Outputs
from bood_tasks.progress import progress
from bood_tasks.stage import Job, read_job, run
from bood_tasks.store import Artifact, write_json
from bood_tasks.training import predict

VERSION = 2
DIRECT = {"vos": "weighted_energy", "npos": "id_logit"}  # outputs that are scores themselves
Found = dict[str, np.ndarray]  # `<dataset>/<split>`: scores


def read_outputs(
    artifact: Artifact, part: str, device: str, head: nn.Linear | None = None
) -> Outputs:
    """Return a data set's outputs on the device; `head` for scores that read the last layer."""

    def read(name: str) -> Tensor:
        return torch.from_numpy(artifact[f"{part}/{name}"][:]).to(device)

    stages = []
    while f"{part}/stage{len(stages)}" in artifact:
        stages.append(read(f"stage{len(stages)}"))
    labels = read("labels") if f"{part}/labels" in artifact else None
    return Outputs(read("features"), read("logits"), tuple(stages), labels, head)


def _joined(found: list[Outputs]) -> Outputs:
    """Return the outputs of several data sets as of one."""
    stages = zip(*(item.stages for item in found), strict=True)
    return Outputs(
        torch.cat([item.features for item in found]),
        torch.cat([item.logits for item in found]),
        tuple(torch.cat(stage) for stage in stages),
    )


def post_hoc(job: Job, device: str) -> tuple[Found, dict[str, Tensor]]:
    """Return the scores of stored outputs, and what was fitted."""
    name, outputs = job.settings["score"], job.inputs["outputs"]
    settings = {
        key: value
        for key, value in job.settings.items()
        if key not in ("score", "id", "validation")
    }
    fit, score = posthoc.SCORES[name]
    state: dict[str, Tensor] = {}
    if "training" in job.inputs:
        head = None
        if "detector" in job.inputs:
            head = load_detector(job.inputs["detector"], device, job.source).network.head
        part = f"{job.settings['id']}/train"
        state = fit(read_outputs(job.inputs["training"], part, device, head), **settings)
    if name == "mahalanobis_ensemble":
        inside = read_outputs(outputs, f"{job.settings['id']}/validation", device)
        outside = [
            read_outputs(outputs, f"{item}/test", device) for item in job.settings["validation"]
        ]
        state = posthoc.fit_weights(state, inside, _joined(outside))
    found = {
        part: score(read_outputs(outputs, part, device), state).cpu().numpy()
        for part in outputs.rows
    }
    return found, state


def by_gradient(job: Job, device: str) -> tuple[Found, dict]:
    """Return the scores of pictures moved along the gradient, and the magnitude chosen."""
    settings, magnitudes = job.settings, job.settings["magnitudes"]
    model = load_detector(job.inputs["detector"], device, job.source)
    pictures = {f"{name}/{split}": data[f"{split}/images"] for name, split, data in splits(job)}

    def moved(sizes: list[float]) -> Callable[[Tensor], Tensor]:
        if settings["score"] == "odin":
            temperature = settings["temperature"]
            return lambda x: odin(model, x, temperature=temperature, magnitudes=sizes)
        return lambda x: confidences(model.confidence, x, sizes)

    def over(part: str, sizes: list[float]) -> Tensor:
        return predict(
            moved(sizes), pictures[part], batch_size=inference_batch(), device=device,
            crop=settings["crop"],
        )  # fmt: skip

    chosen = magnitudes[0]
    if len(magnitudes) > 1:
        inside = over(f"{settings['id']}/validation", magnitudes)
        if settings["score"] == "odin":
            outside = torch.cat([over(f"{n}/test", magnitudes) for n in settings["validation"]])
            chosen = choose_magnitude(magnitudes, inside, outside)
        else:
            chosen = most_confident_magnitude(magnitudes, inside)
    found = {}
    with progress("scores", len(pictures), "data sets") as advance:
        for part in pictures:
            found[part] = over(part, [chosen])[:, 0].numpy()
            advance()
    return found, {"magnitude": chosen}


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device, outputs, name = pick_device(), job.inputs["outputs"], job.settings["score"]
    chosen: dict = {}
    state: dict[str, Tensor] = {}
    with job.draft() as draft:
        if "datasets" in job.inputs:
            found, chosen = by_gradient(job, device)
        elif name in DIRECT:
            found = {part: outputs[f"{part}/{DIRECT[name]}"][:] for part in outputs.rows}
        else:
            found, state = post_hoc(job, device)
        for part, values in found.items():
            if not np.isfinite(values).all():
                bad = (~np.isfinite(values)).sum()
                raise ValueError(f"score {name} is not finite for {bad} rows of {part}")
            draft.save(f"{part}/score", values.astype(np.float32))
            draft.save(f"{part}/index", outputs[f"{part}/index"][:])
            if f"{part}/labels" in outputs:
                right = outputs[f"{part}/logits"][:].argmax(1) == outputs[f"{part}/labels"][:]
                draft.save(f"{part}/correct", right)
        if state:
            kept = {key: value.cpu().contiguous() for key, value in state.items()}
            save_file(kept, draft.folder / "state.safetensors")
        write_json(draft.folder / "score.json", {"score": name, **chosen})
        draft.finish(rows=dict(outputs.rows))


if __name__ == "__main__":
    run(main)
