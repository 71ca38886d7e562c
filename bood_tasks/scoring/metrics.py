"""Compute metrics.csv, one value per row, from the scores of every sample (method: section 9).

Scores are larger for samples that look more like ID. Test and control sets are compared with the
ID test split, validation sets with the ID validation split. No averages here: tables make them.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.titles import BEST, LENGTH
from bood_tasks.jobs.job import read_job
from bood_tasks.scoring.roc import compare

VERSION = 3
COLUMNS = {
    "method": str, "variant": str, "score": str, "id_dataset": str, "ood_dataset": str,
    "split": str, "seed": int, "metric": str, "convention": str, "value": float, "n_id": int,
    "n_ood": int,
}  # fmt: skip
KEYS = (  # what tells values apart, but for the seed
    "method", "variant", "score", "id_dataset", "ood_dataset", "split", "metric", "convention",
)  # fmt: skip


def records(known: Mapping, values: Iterable[Sequence]) -> Iterator[dict]:
    """Yield a row per (metric, convention, value); columns that are not known are empty or 0."""
    for metric, convention, value in values:
        row = {**known, "metric": metric, "convention": convention, "value": value}
        yield {name: row.get(name, kind()) for name, kind in COLUMNS.items()}


def _accuracies(scores: Artifact, label: dict, name: str) -> Iterator[dict]:
    """Yield one detector's accuracies; a data set may have no validation split."""
    for split in ("test", "validation"):
        if f"{name}/{split}/correct" in scores:
            correct = scores[f"{name}/{split}/correct"][:]
            known = {"score": "", "id_dataset": name, "split": split, "n_id": len(correct)}
            yield from records(label | known, [("id_acc", "", float(correct.mean()))])


def _rows(scores: Artifact, label: dict, settings: dict) -> Iterator[dict]:
    """Yield one score of one detector on each OOD set."""
    name = settings["id"]
    for split in ("test", "validation", "control"):
        if not settings[split]:
            continue
        reference = "validation" if split == "validation" else "test"
        inside = scores[f"{name}/{reference}/score"][:]
        for dataset in settings[split]:
            outside = scores[f"{dataset}/test/score"][:]
            try:
                values = compare(inside, outside, threshold=settings["threshold"])
            except ValueError as error:
                who = " ".join(filter(None, (label["method"], label["variant"])))
                raise ValueError(
                    f"{who}, seed {label['seed']}, {label['score']} on {dataset}: {error}"
                ) from None
            known = {"id_dataset": name, "ood_dataset": dataset, "split": split}
            known |= {"n_id": len(inside), "n_ood": len(outside)}
            yield from records(label | known, values)


def all_rows(found: Iterable[Artifact], settings: dict) -> Iterator[dict]:
    """Yield the rows of every score; a detector's accuracies stand before its first score."""
    seen = set()
    for scores, label in zip(found, settings["rows"], strict=True):
        run = (label["method"], label["variant"], label["seed"])
        if run not in seen:
            yield from _accuracies(scores, label, settings["id"])
        seen.add(run)
        yield from _rows(scores, label, settings)


def control_rows(method: str, facts: Mapping[str, Mapping], settings: Mapping) -> Iterator[dict]:
    """Yield the best plain statistic of each OOD set, and the texts' length, as the first seed's
    (pixel_statistics.py, text_statistics.py)."""
    for score in (BEST, LENGTH):
        for split in ("test", "validation", "control"):
            for dataset in settings[split]:
                found = facts[dataset] if score == BEST else facts[dataset].get(score, {})
                known = {"method": method, "score": score, "seed": settings["rows"][0]["seed"]}
                known |= {"id_dataset": settings["id"], "ood_dataset": dataset, "split": split}
                known |= {"n_id": found.get("n_id"), "n_ood": found.get("n")}
                yield from records(known, found.get("figures", ()))


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    with job.draft() as draft:
        count = 0
        with (draft.folder / "metrics.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, tuple(COLUMNS), lineterminator="\n")
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
