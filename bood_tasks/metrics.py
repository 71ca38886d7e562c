"""Every figure of the results, one a row, from per-sample scores (method: section 9).

Scores are larger for samples that look more like ID. Test and control sets are compared with the
ID test split, validation sets with the ID validation split. No averages here: tables make them.
"""

import csv
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from bood_tasks.registry import BEST, LENGTH
from bood_tasks.stage import read_job, run
from bood_tasks.store import Artifact

VERSION = 3
COLUMNS = (
    "method", "variant", "score", "id_dataset", "ood_dataset", "split", "seed",
    "metric", "convention", "value", "n_id", "n_ood",
)  # fmt: skip
LEVEL = 0.95
Convention = Literal["id", "ood"]
Threshold = Literal["first", "nearest"]


def _refuse(scores: ndarray, name: str) -> None:
    if scores.size == 0:
        raise ValueError(f"{name} scores must hold at least one value, got none")
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise ValueError(
            f"{name} scores must be finite, got {bad} of {scores.size} that are not; "
            "the detector diverged: lower detector.lr or detector.ood_weight"
        )


def roc_counts(
    positive: Float[ndarray, " p"], negative: Float[ndarray, " m"]
) -> tuple[Int[ndarray, " k"], Int[ndarray, " k"]]:
    """Positives and negatives accepted at each distinct threshold, from strict to lax.

    A sample is accepted when its score reaches the threshold, so tied samples come together.
    The point that accepts nothing is left out.
    """
    scores = np.concatenate([positive, negative])
    order = np.argsort(-scores)  # ties in any order: they are counted together
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(order < len(positive))[ends]
    return hits, ends + 1 - hits


def first_threshold(positive: Float[ndarray, " p"], tpr: float) -> np.floating:
    """Return the strictest threshold that accepts at least the share `tpr` of the positives.

    A sample is accepted when its score reaches the threshold.
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must be in (0, 1], got {tpr}; write 95 % as 0.95")
    # correctly rounded, so k/n >= 0.95 is exact
    recall = np.arange(1, len(positive) + 1) / len(positive)
    return np.sort(positive)[::-1][int(np.argmax(recall >= tpr))]


def fpr95(
    id_scores: Float[ndarray, " n"],
    ood_scores: Float[ndarray, " m"],
    *,
    convention: Convention,
    threshold: Threshold,
) -> float:
    """Share of negatives accepted at the threshold that accepts 95 % of the positives.

    `id`: positives are ID, so the share of OOD taken for ID. `ood`: positives are OOD (scores
    negated), so the share of ID flagged.
    `first`: the strictest threshold that accepts at least 95 %. `nearest`: the one whose share of
    accepted positives is nearest to 95 %; of equally near ones the laxest, up to full recall.
    """
    positive, negative = _sides(id_scores, ood_scores, convention)
    if threshold == "first":
        return float((negative >= first_threshold(positive, LEVEL)).mean())
    hits, alarms = roc_counts(positive, negative)
    laxest_first = (hits[: int(np.argmax(hits)) + 1] / len(positive))[::-1]
    chosen = len(laxest_first) - 1 - int(np.argmin(np.abs(laxest_first - LEVEL)))
    return float(alarms[chosen] / len(negative))


def auroc(id_scores: Float[ndarray, " n"], ood_scores: Float[ndarray, " m"]) -> float:
    """Chance that an ID sample scores above an OOD sample; a tie counts half.

    The same whichever side is called positive.
    """
    positive, negative = _sides(id_scores, ood_scores, "id")
    hits, alarms = roc_counts(positive, negative)
    doubled = (hits + np.append(0, hits[:-1])) * np.diff(alarms, prepend=0)
    return float(doubled.sum() / (2 * len(positive) * len(negative)))


def aupr(
    id_scores: Float[ndarray, " n"], ood_scores: Float[ndarray, " m"], *, positive: Convention
) -> float:
    """Average precision: precision at each threshold, weighted by the recall it adds.

    `id` gives AUPR-IN, `ood` (scores negated) AUPR-OUT. A step function, not interpolated.
    """
    wanted, others = _sides(id_scores, ood_scores, positive)
    hits, alarms = roc_counts(wanted, others)
    return float(np.sum(np.diff(hits, prepend=0) * (hits / (hits + alarms))) / len(wanted))


def _sides(id_scores: ndarray, ood_scores: ndarray, positive: Convention) -> tuple:
    _refuse(id_scores, "ID")
    _refuse(ood_scores, "OOD")
    return (id_scores, ood_scores) if positive == "id" else (-ood_scores, -id_scores)


def compare(
    id_scores: Float[ndarray, " n"], ood_scores: Float[ndarray, " m"], *, threshold: Threshold
) -> list[tuple[str, str, float]]:
    """(metric, convention, value) of every figure for one score on one OOD set, in [0, 1]."""
    return [
        *(
            ("fpr95", side, fpr95(id_scores, ood_scores, convention=side, threshold=threshold))
            for side in ("id", "ood")
        ),
        ("auroc", "", auroc(id_scores, ood_scores)),
        ("aupr_in", "", aupr(id_scores, ood_scores, positive="id")),
        ("aupr_out", "", aupr(id_scores, ood_scores, positive="ood")),
    ]


def _accuracies(scores: Artifact, label: dict, name: str) -> Iterable[dict]:
    """Rows of one detector's accuracies; a data set may have no validation split."""
    for split in ("test", "validation"):
        if f"{name}/{split}/correct" not in scores:
            continue
        correct = scores[f"{name}/{split}/correct"][:]
        yield {
            "method": label["method"], "variant": label["variant"], "seed": label["seed"],
            "id_dataset": name, "score": "", "ood_dataset": "", "split": split,
            "metric": "id_acc", "convention": "", "value": float(correct.mean()),
            "n_id": len(correct), "n_ood": 0,
        }  # fmt: skip


def _rows(scores: Artifact, label: dict, settings: dict) -> Iterable[dict]:
    """Rows of one score of one detector on each OOD set."""
    name = settings["id"]
    for split in ("test", "validation", "control"):
        if not settings[split]:
            continue
        reference = "validation" if split == "validation" else "test"
        inside = scores[f"{name}/{reference}/score"][:]
        for dataset in settings[split]:
            outside = scores[f"{dataset}/test/score"][:]
            try:
                figures = compare(inside, outside, threshold=settings["threshold"])
            except ValueError as error:
                who = " ".join(filter(None, (label["method"], label["variant"])))
                raise ValueError(
                    f"{who}, seed {label['seed']}, {label['score']} on {dataset}: {error}"
                ) from None
            for metric, convention, value in figures:
                yield label | {
                    "id_dataset": name, "ood_dataset": dataset, "split": split,
                    "metric": metric, "convention": convention, "value": value,
                    "n_id": len(inside), "n_ood": len(outside),
                }  # fmt: skip


def all_rows(found: Iterable[Artifact], settings: dict) -> Iterable[dict]:
    """Rows of every score; a detector's accuracies stand before its first one."""
    seen = set()
    for scores, label in zip(found, settings["rows"], strict=True):
        run = (label["method"], label["variant"], label["seed"])
        if run not in seen:
            yield from _accuracies(scores, label, settings["id"])
        seen.add(run)
        yield from _rows(scores, label, settings)


def control_rows(method: str, facts: Mapping[str, Mapping], settings: Mapping) -> Iterable[dict]:
    """Rows of the best plain statistic of each OOD set, and of the texts' length, of the first
    seed (pixel_statistics.py, text_statistics.py)."""
    for score in (BEST, LENGTH):
        for split in ("test", "validation", "control"):
            for dataset in settings[split]:
                found = facts[dataset] if score == BEST else facts[dataset].get(score, {})
                for metric, convention, value in found.get("figures", ()):
                    yield {
                        "method": method, "variant": "", "score": score,
                        "id_dataset": settings["id"], "ood_dataset": dataset, "split": split,
                        "seed": settings["rows"][0]["seed"],
                        "metric": metric, "convention": convention, "value": value,
                        "n_id": found["n_id"], "n_ood": found["n"],
                    }  # fmt: skip


def read_rows(path: Path) -> list[dict]:
    """Return metrics.csv's rows with numbers as numbers."""
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        row |= {key: int(row[key]) for key in ("seed", "n_id", "n_ood")}
        row["value"] = float(row["value"])
    return rows


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    with job.draft() as draft:
        count = 0
        with (draft.folder / "metrics.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
            writer.writeheader()
            rows = all_rows(job.inputs["scores"], job.settings)
            if "pixels" in job.inputs:
                method = job.inputs["pixels"].spec["stage"]
                facts = job.inputs["pixels"].json(f"{method}.json")
                rows = chain(rows, control_rows(method, facts, job.settings))
            for row in rows:
                writer.writerow(row | {"value": repr(row["value"])})
                count += 1
        draft.finish(rows={"metrics": count})


if __name__ == "__main__":
    run(main)
