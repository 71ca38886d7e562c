"""Compute metrics.csv, one value per row, from the scores of every sample (method: section 9).

Scores are larger for samples that look more like ID. Test and control sets are compared with the
ID test split, validation sets with the ID validation split. No averages here: tables make them.

Beside it intervals.csv: where each row's figures, and their averages over the test sets, lie with
95 % by the number of samples (intervals.py), the mean over seeds taken.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.metrics import AVERAGE
from bood_tasks.catalogue.titles import BEST, LENGTH
from bood_tasks.jobs.job import read_job
from bood_tasks.scoring.intervals import auroc_influences, fpr95_influences, interval
from bood_tasks.scoring.roc import auroc, compare, fpr95

VERSION = 4
COLUMNS = {
    "method": str, "variant": str, "score": str, "id_dataset": str, "ood_dataset": str,
    "split": str, "seed": int, "metric": str, "convention": str, "value": float, "n_id": int,
    "n_ood": int,
}  # fmt: skip
INTERVALS = (
    "method", "variant", "score", "ood_dataset", "split", "metric", "convention", "low", "high",
)  # fmt: skip
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


def _figures(inside, outside, threshold: str) -> Iterator[tuple]:
    """Yield (metric, convention, value, influences of ID, influences of OOD) of one run and set."""
    yield "auroc", "", auroc(inside, outside), *auroc_influences(inside, outside)
    for convention, turn in (("id", 1), ("ood", -1)):
        value = fpr95(inside, outside, convention=convention, threshold=threshold)
        sides = (inside, outside)[::turn]
        found = fpr95_influences(*(turn * side for side in sides))[::turn]
        yield "fpr95", convention, value, *found


def interval_rows(found: Iterable[Artifact], settings: dict) -> Iterator[dict]:
    """Yield the interval of every line's figures on each set, and on average, over its seeds."""
    name, runs = settings["id"], {}
    for scores, label in zip(found, settings["rows"], strict=True):
        runs.setdefault((label["method"], label["variant"], label["score"]), []).append(scores)
    for (method, variant, score), seeds in runs.items():
        known = {"method": method, "variant": variant, "score": score}
        for split in ("test", "validation", "control"):
            reference = "validation" if split == "validation" else "test"
            averaged: dict[tuple, list[tuple]] = {}
            for dataset in settings[split]:
                each = [
                    _figures(
                        run[f"{name}/{reference}/score"][:], run[f"{dataset}/test/score"][:],
                        settings["threshold"],
                    )
                    for run in seeds
                ]  # fmt: skip
                for parts in zip(*each, strict=True):
                    which = parts[0][:2]
                    value, inside, outside = (
                        np.mean([part[place] for part in parts], 0) for place in (2, 3, 4)
                    )
                    averaged.setdefault(which, []).append((value, inside, outside))
                    yield _interval_row(known, dataset, split, which, value, inside, [outside])
            if split == "test":
                for which, parts in averaged.items():
                    values, insides, outsides = zip(*parts, strict=True)
                    value, inside = np.mean(values), np.mean(insides, 0)
                    yield _interval_row(known, AVERAGE, split, which, value, inside, outsides)


def _interval_row(known: Mapping, dataset: str, split: str, which, *found) -> dict:
    low, high = interval(*found)
    place = {"ood_dataset": dataset, "split": split}
    of = dict(zip(("metric", "convention"), which, strict=True))
    return {**known, **place, **of, "low": round(low, 5), "high": round(high, 5)}


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
        with (draft.folder / "intervals.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, INTERVALS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(interval_rows(job.inputs["scores"], job.settings))
        draft.finish(rows={"metrics": count})
