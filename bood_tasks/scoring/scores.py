"""One score of every sample of every data set, from a detector's outputs; larger = more ID.

Leaves: `<dataset>/<split>/score` float32 [n] and `index`; for the ID data set also `correct`.
Every metric is computed from these. `score.json` has what was chosen, `state.safetensors` what
was fitted: on the training split or on validation sets, never on test sets.
"""

import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.scores import SCORES, entry_of, magnitudes_of
from bood_tasks.detectors.method import Method
from bood_tasks.jobs.environment import inference_batch, pick_device
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.jobs.progress import progress
from bood_tasks.networks.float64 import float64_device
from bood_tasks.scoring.posthoc.base import Outputs, Score, State
from bood_tasks.scoring.posthoc.last_layer import layer_between
from bood_tasks.scoring.posthoc.odin import (
    choose_magnitude,
    confidences,
    most_confident_magnitude,
)
from bood_tasks.scoring.posthoc.table import own_score, score_named

VERSION = 2
Found = dict[str, np.ndarray]  # `<dataset>/<split>`: scores


def read_outputs(artifact: Artifact, part: str, device: str) -> dict[str, Tensor]:
    """Return a data set's named outputs on the device, with `labels` if it has any."""
    group = artifact[part]
    return {name: torch.from_numpy(group[name][:]).to(device) for name in group.array_keys()}


def as_outputs(given: Mapping[str, Tensor], head: nn.Linear | None = None) -> Outputs:
    """Return named outputs as post-hoc scores read them; `head` for fits of the last layer."""
    stages = []
    while (name := f"stage{len(stages)}") in given:
        stages.append(given[name])
    return Outputs(given.get("features"), given["logits"], tuple(stages), given.get("labels"), head)


def of_outputs(
    settings: Mapping, given: Mapping[str, Tensor], state: State, own: Score | None = None
) -> Tensor:
    """Return the score [n] that settings name, of a method's named outputs, one row a picture;
    `own`: one's own."""
    name = settings["score"]
    if own:
        return own.score(as_outputs(given), state)
    if SCORES[name].output:
        return given[SCORES[name].output]
    return score_named(name, settings).score(as_outputs(given), state)


def of_pictures(
    model: Method,
    x: Float[Tensor, "b 3 h w"],
    settings: Mapping,
    magnitudes: Sequence[float],
    state: State,
) -> Float[Tensor, "b m"]:
    """Return a score of network input moved along the gradient by each magnitude."""
    if SCORES[settings["score"]].method:
        return confidences(model.confidence, x, magnitudes)
    return score_named(settings["score"], settings).moved(model, x, magnitudes, state)


def _joined(found: list[Outputs]) -> Outputs:
    """Return the outputs of several data sets as of one."""
    stages = zip(*(item.stages for item in found), strict=True)
    return Outputs(
        torch.cat([item.features for item in found]),
        torch.cat([item.logits for item in found]),
        tuple(torch.cat(stage) for stage in stages),
    )


def fit(job: Job, device: str, own: Score | None) -> State:
    """Return what a post-hoc score fits to outputs, of the training split and of validation sets;
    `own`: one of one's own."""
    name, outputs = job.settings["score"], job.inputs["outputs"]
    entry = entry_of(name)
    state: State = {}

    def read(part: str) -> Outputs:
        return as_outputs(read_outputs(outputs, part, device))

    if own and bool(own.fit) != ("training" in job.inputs):
        raise ValueError(
            f"scores.{name}.module must define fit at its top level, where a plan that only reads "
            f"the file sees it, got {own.fit} in {job.source}"
        )
    if "training" in job.inputs:
        head, part = None, f"{job.settings['id']}/train"
        given = read_outputs(job.inputs["training"], part, device)
        if (entry.linear or own) and "features" in given:
            from bood_tasks.detectors.model import stored_layer

            stored = stored_layer(job.inputs["detector"])
            stored = stored and stored.to(device)
            head = layer_between(given["features"], given["logits"], stored)
        state = (own or score_named(name, job.settings)).fit(as_outputs(given, head))
    elif entry.held_out:
        state = score_named(name, job.settings).fit(read(f"{job.settings['id']}/validation"))
    if entry.validated and not entry.gradients:
        inside = read(f"{job.settings['id']}/validation")
        outside = [read(f"{item}/test") for item in job.settings["validation"]]
        state = score_named(name).weigh(state, inside, _joined(outside))
    return state


def by_gradient(job: Job, device: str, state: State) -> tuple[Found, dict]:
    """Return the scores of pictures moved along the gradient, and the magnitude chosen.

    `state` is what the score has fitted, empty if it fits nothing; what it compares with on the ID
    validation split joins it.
    """
    from bood_tasks.detectors.model import load_model  # here: other scores need no network
    from bood_tasks.scoring.outputs import splits
    from bood_tasks.training.predict import predict

    settings, magnitudes = job.settings, magnitudes_of(job.settings)
    name, held_out = settings["score"], f"{settings['id']}/validation"
    model = load_model(job.inputs["detector"], device, job.source)
    pictures = {f"{name}/{split}": data[f"{split}/images"] for name, split, data in splits(job)}

    def read(part: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        return predict(
            function, pictures[part],
            batch_size=inference_batch(), device=device, crop=settings["crop"],
        )  # fmt: skip

    def over(part: str, sizes: list[float]) -> Tensor:
        return read(part, lambda x: of_pictures(model, x, settings, sizes, state))

    chosen = magnitudes[0]
    if SCORES[name].held_out:
        statistic = score_named(name, settings).statistic
        state["reference"] = read(held_out, lambda x: statistic(model, x, chosen)).sort().values
    if len(magnitudes) > 1:
        inside = over(held_out, magnitudes)
        if SCORES[name].validated:
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


def _require_one_each(name: str, found: Found, rows: Mapping[str, int]) -> None:
    """Raise ValueError unless a score of one's own is one number a sample."""
    for part, values in found.items():
        if values.shape != (rows[part],):
            raise ValueError(
                f"scores.{name}.module must return one number a sample, [{rows[part]}] of {part}, "
                f"got {[*values.shape]}"
            )


def _require_same_classes(outputs: Artifact) -> None:
    """Raise ValueError unless the logits of all data sets are of the same classes."""
    widths = {part: outputs[f"{part}/logits"].shape[1] for part in outputs.rows}
    if len(set(widths.values())) > 1:
        raise ValueError(f"all data sets must have logits of the same classes, got {widths}")


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device, outputs, name = pick_device(), job.inputs["outputs"], job.settings["score"]
    exact, chosen, own = float64_device(device), {}, own_score(job.settings, job.source)
    if exact != device:
        print(f"scores: fitted and read on the CPU, {device} has no float64", file=sys.stderr)
    _require_same_classes(outputs)
    with job.draft() as draft:
        state = fit(job, exact, own)
        if "datasets" in job.inputs:
            found, chosen = by_gradient(job, device, state)
        else:
            found = {
                part: of_outputs(job.settings, read_outputs(outputs, part, exact), state, own)
                .cpu()
                .numpy()
                for part in outputs.rows
            }
            if own:
                _require_one_each(name, found, outputs.rows)
        for part, values in found.items():
            if not np.isfinite(values).all():
                bad = (~np.isfinite(values)).sum()
                raise ValueError(
                    f"score {name} is not finite for {bad} rows of {part}: outputs are too large "
                    "or the score's fit broke down; lower detector.lr, or leave the score out"
                )
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
