"""Distances to the decision boundary in sign-gradient steps (BOOD Eq. 3).

In: features (`features` [n, d], `labels` [n]) and anchors (`anchors` [v, d]).
Out: `steps` int32 [n], `crossed` bool [n], `margin` float32 [n], `exact` bool [n] (False: `steps`
is only a lower bound, beyond every cut), in the order of the features. With `step_size: auto` also
distances.json: the α that was found, the median steps at it, and of how many features.
"""

import sys

import torch

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.catalogue.samplers import STEP_SIZE_FOUND
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.jobs.progress import progress
from bood_tasks.networks.float64 import float64
from bood_tasks.synthesis.cosine import require_directions
from bood_tasks.synthesis.pruning import nearest_steps
from bood_tasks.synthesis.step_size import AUTO, find_step_size
from bood_tasks.synthesis.stepping import Stepping, count_steps

VERSION = 2


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device = pick_device()
    features, labels = (
        torch.from_numpy(job.inputs["features"][name][:]).to(device)
        for name in ("features", "labels")
    )
    anchors = torch.from_numpy(job.inputs["anchors"]["anchors"][:]).to(device)
    settings, found = job.settings, None
    if settings["step_size"] == AUTO:
        require_directions("features", features, cure="train the encoder again")
        found = find_step_size(features, labels, anchors, settings)
        print(
            f"step size {found.step_size:.6g}: the median of {found.sampled:,} features crosses "
            f"after {found.median_steps} steps",
            file=sys.stderr,
        )
    stepping = Stepping.of(settings, found and found.step_size)
    with job.draft() as draft:
        with progress("distances", len(features), "rows") as advance:
            if settings["rows"] == "nearest":
                require_directions("features", features, cure="train the encoder again")
                steps, crossed, margin, exact = nearest_steps(
                    features,
                    labels,
                    anchors,
                    stepping,
                    rate=settings["rate"],
                    scope=settings["scope"],
                    misclassified=settings["misclassified"],
                    advance=advance,
                )
            else:
                steps, crossed, margin = count_steps(
                    features, labels, anchors, stepping, advance=advance
                )
                exact = torch.ones_like(crossed)
        draft.save("steps", steps.cpu().numpy())
        draft.save("crossed", crossed.cpu().numpy())
        draft.save("margin", margin.cpu().numpy())
        draft.save("exact", exact.cpu().numpy())
        facts = {
            **({"step_size": found.step_size} if found else {}),
            "exact": int(exact.sum()),
            "mean_steps": round(float64(steps).mean().item(), 3),
            "wrong_from_the_start": int((crossed & (steps == 0)).sum()),
            "never_crossed": int((~crossed).sum()),
        }
        if found:
            write_json(draft.folder / STEP_SIZE_FOUND, found.as_json())
        draft.finish(rows={"steps": len(steps)}, facts=facts)
