"""What c and α do to a decode: some features pushed across the boundary (the paper's Figure 3).

In: features, distances (`steps`, `crossed`, `margin`, `exact`), anchors, generator.
Leaves: `by_extra_steps` uint8 [r, n, h, w, 3], a row per c of `extra_steps_shown`, at the setting's
α, or with an overshoot `by_overshoot`, a row per quantile of `overshoots_shown`; `by_step_size`
likewise, a row per α: of `step_sizes_shown`, or where α is found `step_size_factors` times it, at
the setting's c or overshoot. A column is one feature, decoded from one noise, so what changes in
it is the vector alone. strips.json names classes and rows of the features, the values, and the
steps at which each crossed: null where it does not within max_steps, or does not reach the
overshoot, and its picture is blank then.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.generators.text_to_image.interface import open_generator
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.synthesis.crossing import crossing_rows, first_outside, walk
from bood_tasks.synthesis.images import decode_vectors
from bood_tasks.synthesis.ood_features import rescale_vectors
from bood_tasks.synthesis.overshoot import own_margins, push_beyond
from bood_tasks.synthesis.shards import item_streams
from bood_tasks.synthesis.step_size import stepping_of
from bood_tasks.synthesis.stepping import Stepping, in_space

VERSION = 1
FEATURES = 6
BLANK = 255


def nearest_rows(
    labels: Int[np.ndarray, " n"],
    steps: Int[np.ndarray, " n"],
    crossed: Bool[np.ndarray, " n"],
    margin: Float[np.ndarray, " n"],
    *,
    count: int,
) -> Int64[np.ndarray, " m"]:
    """Return the row nearest the boundary of each of the first `count` classes that have one.

    Ties are ordered as the selection orders them: (d, |initial margin|, index).
    """
    rows = crossing_rows(steps, crossed)
    ranked = rows[np.lexsort((rows, np.abs(margin[rows]), steps[rows]))]
    _, first = np.unique(labels[ranked], return_index=True)
    return ranked[first[:count]]


def push_each(
    z: Float[Tensor, "n d"],
    labels: Int[np.ndarray, " n"],
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    *,
    extra_steps: Sequence[int],
) -> tuple[Float[Tensor, "r n d"], list[int | None]]:
    """Return each feature so many steps after its crossing, and the step at which it crossed.

    None: it does not within max_steps; its vectors are then counted from there.
    """
    max_steps = stepping.max_steps
    vectors, crossed_at = [], []
    for feature, label in zip(z[:, None], labels.tolist(), strict=True):
        path = walk(feature, label, anchors, stepping, count=max_steps + max(extra_steps))
        step = first_outside(path[: max_steps + 1], label, anchors)
        start = max_steps if step is None else step
        vectors.append(path[[start + extra for extra in extra_steps]])
        crossed_at.append(step)
    return torch.stack(vectors, dim=1), crossed_at


def push_each_beyond(
    z: Float[Tensor, "n d"],
    labels: Int[np.ndarray, " n"],
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    *,
    targets: Sequence[Float[np.ndarray, " v"]],
) -> tuple[Float[Tensor, "r n d"], list[list[int | None]]]:
    """Return each feature at each of its class's margins beyond the boundary, and at which step it
    crossed, a list per margin; None: it does not get so far."""
    vectors, crossed_at = [], []
    owners = torch.from_numpy(labels)
    _, crossing = push_each(z, labels, anchors, stepping, extra_steps=[0])
    for of_class in targets:
        ends, reached = push_beyond(
            z, owners, anchors, stepping, torch.from_numpy(of_class[labels])
        )
        vectors.append(ends)
        crossed_at.append(
            [at if there else None for at, there in zip(crossing, reached.tolist(), strict=True)]
        )
    return torch.stack(vectors), crossed_at


def decode_rows(
    vectors: Float[Tensor, "r n d"],
    crossed_at: Sequence[Sequence[int | None]],
    decode: Callable[[Float[Tensor, "n d"]], UInt8[Tensor, "n h w 3"]],
) -> UInt8[np.ndarray, "r n h w 3"]:
    """Return the pictures row by row, blank where the feature did not cross."""
    images = np.stack([decode(row).cpu().numpy() for row in vectors])
    images[np.array([[step is None for step in row] for row in crossed_at])] = BLANK
    return images


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device, settings = pick_device(), job.settings
    features, distances = job.inputs["features"], job.inputs["distances"]
    stepping = stepping_of(settings, distances)
    anchors = torch.from_numpy(job.inputs["anchors"]["anchors"][:])
    classes = job.inputs["anchors"].json("anchors.json")["classes"]
    steps, crossed, margin, exact = (
        distances[name][:] for name in ("steps", "crossed", "margin", "exact")
    )
    every_label = features["labels"][:]
    rows = nearest_rows(every_label, steps, crossed & exact, margin, count=FEATURES)
    labels = every_label[rows]
    names = [classes[label] for label in labels]
    z = in_space(torch.from_numpy(features["features"].oindex[rows]), stepping.feature_space)
    alpha, key = stepping.step_size, "overshoot" if "overshoot" in settings else "extra_steps"
    values = settings[f"{key}s_shown" if key == "overshoot" else f"{key}_shown"]
    sizes = settings.get("step_sizes_shown") or [
        factor * alpha for factor in settings["step_size_factors"]
    ]

    def pushed(step_size: float, shown: Sequence) -> tuple[Tensor, list[list[int | None]]]:
        """Return the features at each c or overshoot, and where they crossed, a list for each."""
        at = replace(stepping, step_size=step_size)
        if key == "overshoot":
            targets = [own_margins(margin, every_label, classes, each) for each in shown]
            return push_each_beyond(z, labels, anchors, at, targets=targets)
        vectors, crossed_at = push_each(z, labels, anchors, at, extra_steps=shown)
        return vectors, [crossed_at] * len(shown)

    by_extra, crossed_at = pushed(alpha, values)
    by_size, sizes_crossed_at = zip(
        *((vectors, at[0]) for vectors, at in (pushed(size, [settings[key]]) for size in sizes)),
        strict=True,
    )

    generator = open_generator(
        job.inputs["generator"], device, dtype=settings["dtype"], scheduler=settings["scheduler"]
    )
    lengths = torch.linalg.vector_norm(anchors[labels], dim=1)

    def decode(row: Float[Tensor, "n d"]) -> UInt8[Tensor, "n h w 3"]:
        vectors = rescale_vectors(row, lengths, rescale=settings["rescale"])
        streams = item_streams(settings["seed"], "images", names, [0] * len(names))
        return decode_vectors(generator, vectors, streams, settings)

    with job.draft() as draft:
        shown = decode_rows(by_extra, crossed_at, decode)
        draft.save(f"by_{key}", shown)
        draft.save("by_step_size", decode_rows(torch.cat(by_size), sizes_crossed_at, decode))
        write_json(
            draft.folder / "strips.json",
            {
                "classes": names,
                "rows": rows.tolist(),
                "max_steps": stepping.max_steps,
                key: {
                    "values": values,
                    "default": settings[key],
                    "crossed_at": crossed_at[0] if key == "extra_steps" else crossed_at,
                },
                "step_size": {
                    "values": sizes,
                    "default": alpha,
                    "crossed_at": sizes_crossed_at,
                },
            },
        )
        draft.finish(rows={"images": shown.shape[0] * shown.shape[1]})
