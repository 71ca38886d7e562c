"""Drop generated outliers on which an ID classifier is too confident; between shards and detector.

Enters: the shards of one outlier source, the detector of a row without outliers, the ID data set
(for size and crop). Leaves: `confidence` float32 [n], the largest softmax probability of each of
the first `count` items (null: all), in the shards' order; `rows` int64 [k], the numbers of those
at most `max_confidence`; outlier_filter.json with the counts per class. Pictures are not copied.
A killed job goes on after its last whole block.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import zarr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.detectors.model import load_model
from bood_tasks.detectors.outliers import first_rows, resized_blocks
from bood_tasks.jobs.environment import inference_batch, pick_device
from bood_tasks.jobs.job import read_job
from bood_tasks.synthesis.shards import FACTS, write_blocks
from bood_tasks.training.loading import samples_of
from bood_tasks.training.predict import are_tokens, predict

VERSION = 1
FILE = "outlier_filter.json"
ROWS_PER_BLOCK = 1000  # what a killed job can lose
TEXTS = "texts"  # the one class of outliers that have none


def confidences(
    model: Callable[[Tensor], Float[Tensor, "b v"]],
    arrays: Sequence[np.ndarray | zarr.Array],
    *,
    start: int,
    size: int,
    kernel: str,
    crop: int | None,
    batch_size: int,
    device: str,
) -> Iterator[Float[Tensor, " b"]]:
    """Yield the largest softmax probability of each item from number `start` on, block by block.

    Pictures are read at the training resolution. Raises ValueError if one is not finite.
    """
    for block in resized_blocks(arrays, size=size, kernel=kernel, start=start):
        logits = predict(model, block, batch_size=batch_size, device=device, crop=crop)
        found = logits.double().softmax(1).amax(1).float()
        if not found.isfinite().all():
            raise ValueError(
                "outlier_filter.row must name a row whose detector did not diverge, got one with "
                "outputs that are not finite; lower detector.lr"
            )
        yield found


def count_classes(
    kept: Bool[np.ndarray, " n"], labels: Int[np.ndarray, " n"], classes: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Return {"kept": {class: items}, "dropped": {class: items}} of the classes that have items."""
    present = {name: labels == label for label, name in enumerate(classes) if label in labels}
    return {
        what: {name: int((which & own).sum()) for name, own in present.items()}
        for what, which in (("kept", kept), ("dropped", ~kept))
    }


def require_some_left(counts: Mapping[str, Mapping[str, int]], max_confidence: float) -> None:
    """Raise ValueError, naming the classes, if the filter leaves a class without an outlier."""
    empty = [f"{name} (0 of {counts['dropped'][name]})"
             for name, many in counts["kept"].items() if not many]  # fmt: skip
    if empty:
        raise ValueError(
            f"outlier_filter.max_confidence must leave an outlier of every class, got "
            f"{max_confidence:g}, which leaves none of {', '.join(empty)}; raise it, or generate "
            "more"
        )


def _labels(shards: Sequence[Artifact], count: int) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """Return each item's class number and the classes' names; texts are one class."""
    classes = shards[0].json(FACTS)["classes"]
    if classes is None:
        return np.zeros(count, np.int64), [TEXTS]
    return np.concatenate([shard["labels"][:] for shard in shards])[:count], classes


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, facts, device = (
        job.settings,
        job.inputs["dataset"].json("dataset.json"),
        pick_device(),
    )
    shards = job.inputs["outliers"]
    arrays = first_rows([samples_of(shard) for shard in shards], settings["count"])
    count = sum(array.shape[0] for array in arrays)
    model = load_model(job.inputs["detector"], device, job.source)

    def judge(start: int, _stop: int) -> Iterator[Float[Tensor, " b"]]:
        return confidences(
            model,
            arrays,
            start=start,
            size=facts.get("size", 0),
            kernel=facts.get("kernel", ""),
            crop=settings["crop"],
            batch_size=inference_batch(),
            device=device,
        )

    with job.draft() as draft:
        found = draft.array("confidence", (count,), "float32", chunk=ROWS_PER_BLOCK)
        unit = "texts" if are_tokens(arrays[0]) else "images"
        rate, resumed_at = write_blocks(
            draft, found, judge, block=ROWS_PER_BLOCK, stage="outlier_filter", unit=unit
        )
        kept = found[:] <= settings["max_confidence"]
        labels, classes = _labels(shards, count)
        counts = count_classes(kept, labels, classes)
        require_some_left(counts, settings["max_confidence"])
        draft.save("rows", np.flatnonzero(kept))
        write_json(draft.folder / FILE, counts | {"max_confidence": settings["max_confidence"]})
        rows = {"kept": int(kept.sum()), "dropped": int((~kept).sum())}
        speed = {f"{unit}_per_second": round(rate, 1), "resumed_at": resumed_at}
        draft.finish(rows=rows, facts=counts | speed)
