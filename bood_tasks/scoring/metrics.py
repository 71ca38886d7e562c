"""Compute metrics.csv, one value per row, from the scores of every sample (method: section 9).

Scores are larger for samples that look more like ID. Test and control sets are compared with the
ID test split, validation sets with the ID validation split. No averages here: tables make them.

Beside it intervals.csv: where each row's figures, and their averages over the test sets, lie with
95 % by the number of samples (intervals.py), the mean over seeds taken. And differences.csv: those
of each two rows, with 95 % by samples and seeds (differences.py), whether they can be told apart.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, product

import numpy as np
from numpy import ndarray

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.metrics import AVERAGE, group_average
from bood_tasks.catalogue.titles import BEST, LENGTH
from bood_tasks.jobs.job import read_job
from bood_tasks.scoring.differences import (
    PAIRED,
    REPETITIONS,
    apart,
    average_figures,
    compare_rows,
    draw_samples,
    repeat_figures,
    weigh_seeds,
)
from bood_tasks.scoring.intervals import auroc_influences, fpr95_influences, interval
from bood_tasks.scoring.roc import auroc, compare, fpr95, ways

VERSION = 5
COLUMNS = {
    "method": str, "variant": str, "score": str, "id_dataset": str, "ood_dataset": str,
    "split": str, "seed": int, "metric": str, "convention": str, "value": float, "n_id": int,
    "n_ood": int,
}  # fmt: skip
INTERVALS = (
    "method", "variant", "score", "ood_dataset", "split", "metric", "convention", "low", "high",
)  # fmt: skip
DIFFERENCES = (
    "method", "variant", "score", "than_method", "than_variant", "than_score", "ood_dataset",
    "split", "metric", "convention", "difference", "low", "high", "apart",
)  # fmt: skip
KEYS = (  # what tells values apart, but for the seed
    "method", "variant", "score", "id_dataset", "ood_dataset", "split", "metric", "convention",
)  # fmt: skip


class Scored(dict):
    """The arrays of one score of one detector by their names, each read once."""

    def __init__(self, artifact: Artifact):
        self.artifact = artifact

    def __missing__(self, name: str) -> ndarray:
        return self.setdefault(name, self.artifact[name][:])

    def __contains__(self, name: object) -> bool:
        return name in self.artifact


def records(known: Mapping, values: Iterable[Sequence]) -> Iterator[dict]:
    """Yield a row per (metric, convention, value); columns that are not known are empty or 0."""
    for metric, convention, value in values:
        row = {**known, "metric": metric, "convention": convention, "value": value}
        yield {name: row.get(name, kind()) for name, kind in COLUMNS.items()}


def _accuracies(scores: Scored, label: dict, name: str) -> Iterator[dict]:
    """Yield one detector's accuracies; a data set may have no validation split."""
    for split in ("test", "validation"):
        if f"{name}/{split}/correct" in scores:
            correct = scores[f"{name}/{split}/correct"]
            known = {"score": "", "id_dataset": name, "split": split, "n_id": len(correct)}
            yield from records(label | known, [("id_acc", "", float(correct.mean()))])


def _rows(scores: Scored, label: dict, settings: dict) -> Iterator[dict]:
    """Yield one score of one detector on each OOD set."""
    name = settings["id"]
    for split in ("test", "validation", "control"):
        if not settings[split]:
            continue
        reference = "validation" if split == "validation" else "test"
        inside = scores[f"{name}/{reference}/score"]
        for dataset in settings[split]:
            outside = scores[f"{dataset}/test/score"]
            try:
                values = compare(inside, outside, **ways(settings))
            except ValueError as error:
                who = " ".join(filter(None, (label["method"], label["variant"])))
                raise ValueError(
                    f"{who}, seed {label['seed']}, {label['score']} on {dataset}: {error}"
                ) from None
            known = {"id_dataset": name, "ood_dataset": dataset, "split": split}
            known |= {"n_id": len(inside), "n_ood": len(outside)}
            yield from records(label | known, values)


def all_rows(found: Iterable[Scored], settings: dict) -> Iterator[dict]:
    """Yield the rows of every score; a detector's accuracies stand before its first score."""
    seen = set()
    for scores, label in zip(found, settings["rows"], strict=True):
        run = (label["method"], label["variant"], label["seed"])
        if run not in seen:
            yield from _accuracies(scores, label, settings["id"])
        seen.add(run)
        yield from _rows(scores, label, settings)


def figures_of(inside, outside, threshold: str) -> Iterator[tuple]:
    """Yield (metric, convention, value, influences of ID, influences of OOD) of one run and set."""
    yield "auroc", "", auroc(inside, outside), *auroc_influences(inside, outside)
    for convention, turn in (("id", 1), ("ood", -1)):
        value = fpr95(inside, outside, convention=convention, threshold=threshold)
        sides = (inside, outside)[::turn]
        found = fpr95_influences(*(turn * side for side in sides))[::turn]
        yield "fpr95", convention, value, *found


def by_row(found: Iterable[Scored], settings: dict) -> dict[tuple, list[Scored]]:
    """Return the scores of every line of the tables, (method, variant, score), seed by seed."""
    runs: dict[tuple, list[Scored]] = {}
    for scores, label in zip(found, settings["rows"], strict=True):
        runs.setdefault((label["method"], label["variant"], label["score"]), []).append(scores)
    return runs


def averages_of(settings: dict) -> dict[str, list[str]]:
    """Return the test sets behind each average."""
    groups = {group_average(group): names for group, names in settings.get("groups", ())}
    return {AVERAGE: settings["test"], **groups}


def interval_rows(found: Iterable[Scored], settings: dict) -> Iterator[dict]:
    """Yield the interval of every line's figures on each set, and on average, over its seeds."""
    name, runs = settings["id"], by_row(found, settings)
    for (method, variant, score), seeds in runs.items():
        known = {"method": method, "variant": variant, "score": score}
        for split in ("test", "validation", "control"):
            reference = "validation" if split == "validation" else "test"
            found_of: dict[tuple, dict[str, tuple]] = {}
            for dataset in settings[split]:
                each = [
                    figures_of(
                        run[f"{name}/{reference}/score"], run[f"{dataset}/test/score"],
                        settings["threshold"],
                    )
                    for run in seeds
                ]  # fmt: skip
                for parts in zip(*each, strict=True):
                    which = parts[0][:2]
                    value, inside, outside = (
                        np.mean([part[place] for part in parts], 0) for place in (2, 3, 4)
                    )
                    found_of.setdefault(which, {})[dataset] = value, inside, outside
                    yield _interval_row(known, dataset, split, which, value, inside, [outside])
            if split == "test":
                averages = averages_of(settings)
                for (average, names), (which, parts) in product(averages.items(), found_of.items()):
                    values, insides, outsides = zip(*(parts[one] for one in names), strict=True)
                    value, inside = np.mean(values), np.mean(insides, 0)
                    yield _interval_row(known, average, split, which, value, inside, outsides)


def _interval_row(known: Mapping, dataset: str, split: str, which, *found) -> dict:
    low, high = interval(*found)
    place = {"ood_dataset": dataset, "split": split}
    of = dict(zip(("metric", "convention"), which, strict=True))
    return {**known, **place, **of, "low": round(low, 5), "high": round(high, 5)}


def difference_rows(found: Iterable[Scored], settings: dict) -> Iterator[dict]:
    """Yield the difference of each two lines on each set and on average, over their seeds.

    The average over validation sets, by which rows are chosen, is among them.
    """
    name, runs, rng = settings["id"], by_row(found, settings), np.random.default_rng(0)
    labels, drawn = list(runs), {}
    weights = weigh_seeds(max(map(len, runs.values())), REPETITIONS, rng)
    for split in ("test", "control", "validation"):
        reference = "validation" if split == "validation" else "test"
        columns: dict[str, dict] = {}
        for dataset in settings[split]:
            parts = f"{name}/{reference}/score", f"{dataset}/test/score"
            rows = [[tuple(run[part] for part in parts) for run in row] for row in runs.values()]
            inside, outside = rows[0][0]
            if reference not in drawn:  # one at a time: half a gigabyte of 50,000 samples
                drawn = {reference: draw_samples(len(inside), REPETITIONS, rng)}
            others = draw_samples(len(outside), REPETITIONS, rng)
            columns[dataset] = repeat_figures(
                rows, drawn[reference], others, weights, settings["threshold"]
            )
        averages = averages_of(settings) if split == "test" else {AVERAGE: settings[split]}
        if split != "control" and columns:
            for average, names in averages.items():
                columns[average] = average_figures([columns[one] for one in names])
        for dataset, which in product(columns, PAIRED):
            for one, other, *values in compare_rows(columns[dataset][which]):
                cells = (*labels[one], *labels[other], dataset, split, *which)
                ends = [round(value, 5) for value in values]
                told = int(apart(*ends[1:]))
                yield dict(zip(DIFFERENCES, (*cells, *ends, told), strict=True))


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
    scores = [Scored(item) for item in job.inputs["scores"]]
    with job.draft() as draft:
        count = 0
        with (draft.folder / "metrics.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, tuple(COLUMNS), lineterminator="\n")
            writer.writeheader()
            rows = all_rows(scores, job.settings)
            if "pixels" in job.inputs:
                method = job.inputs["pixels"].spec["stage"]
                facts = job.inputs["pixels"].json(f"{method}.json")
                rows = chain(rows, control_rows(method, facts, job.settings))
            for row in rows:
                writer.writerow(row | {"value": repr(row["value"])})
                count += 1
        for file, columns, rows in (
            ("intervals.csv", INTERVALS, interval_rows(scores, job.settings)),
            ("differences.csv", DIFFERENCES, difference_rows(scores, job.settings)),
        ):
            with (draft.folder / file).open("w", newline="", encoding="utf-8") as handle:
                writer = csv.DictWriter(handle, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        draft.finish(rows={"metrics": count})
