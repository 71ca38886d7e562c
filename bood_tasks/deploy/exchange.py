"""Scores of every sample in others' files: ours for them, theirs for our metrics.

`openood`: one .npz a data set with `pred` and `label` (int64 [n]) and `conf` (float [n], larger =
more ID), labels of OOD sets -1, as OpenOOD's evaluator saves them. `pytorch-ood`: `scores` (float
[n], larger = more OOD) and `y` (int64 [n], below 0 = OOD), as its detectors and metrics have them.
"""

import csv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.metrics import AVERAGE, group_average
from bood_tasks.datasets.bounded import require_bounded_array
from bood_tasks.datasets.foreign import decoding
from bood_tasks.scoring.metrics import COLUMNS, records
from bood_tasks.scoring.roc import Aupr, Threshold, compare

Convention = Literal["openood", "pytorch-ood"]
KEYS = {"openood": ("conf", "label"), "pytorch-ood": ("scores", "y")}


@dataclass(frozen=True)
class Given:
    """One file's samples: `conf` is larger for what looks more like ID, `label` below 0 for OOD;
    `pred` are predicted classes, if they are known."""

    conf: Float[ndarray, " n"]
    label: Int[ndarray, " n"]
    pred: Int[ndarray, " n"] | None = None


def outputs_of(scores: Artifact) -> Artifact:
    """Return the outputs that a scores artifact was read from, which lie in the same store.

    Raises FileNotFoundError if they are not there.
    """
    digest = scores.spec["inputs"]["outputs"]
    found = sorted(scores.folder.parents[2].glob(f"outputs/*/{digest}/manifest.json"))
    if not found:
        raise FileNotFoundError(
            f"{scores.folder} was read from outputs {digest}, which tell the predicted classes and "
            "are not in its store; run the workflow again, or copy them there"
        )
    return Artifact(found[0])


def export_scores(scores: Artifact, folder: Path, convention: Convention) -> dict[str, int]:
    """Write a detector's scores of its ID test split and of every OOD set, one .npz a data set,
    into a folder. Return the samples of each file. Existing files are replaced."""
    outputs, own = outputs_of(scores), scores.settings["id"]
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name in sorted({part.partition("/")[0] for part in scores.rows}):
        part = f"{name}/test"
        if part not in scores.rows:
            continue
        conf = scores[f"{part}/score"][:]
        pred = outputs[f"{part}/logits"][:].argmax(1).astype(np.int64)
        if name == own:
            label = outputs[f"{part}/labels"][:].astype(np.int64)
        else:
            label = np.full(len(conf), -1, np.int64)
        arrays = {"pred": pred, "conf": conf, "label": label}
        if convention == "pytorch-ood":
            arrays = {"scores": -conf, "y": label}
        np.savez(folder / f"{name}.npz", **arrays)
        written[name] = len(conf)
    return written


def _read(file: Path) -> Given:
    """Return the samples of one file, its convention told by its arrays' names."""
    with decoding(file, "an .npz file of scores"):
        with zipfile.ZipFile(file) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            wanted = [keys for keys in KEYS.values() if set(keys) <= names]
            taken = [*wanted[0], *names & {"pred"}] if wanted else []
            for name in taken:
                require_bounded_array(archive, name)
        with np.load(file, allow_pickle=False) as content:
            read = {name: content[name] for name in taken}
    if not read:
        both = " or ".join(" and ".join(keys) for keys in KEYS.values())
        raise ValueError(f"{file} must hold {both}, got {', '.join(sorted(names)) or 'nothing'}")
    (key, labelled), length = wanted[0], read[wanted[0][0]].shape
    for name, values in read.items():
        numbers = values.dtype.kind in "iuf"
        whole = numbers and (name == key or bool((values == np.rint(values)).all()))
        if values.ndim != 1 or values.shape != length or not whole or not len(values):
            raise ValueError(
                f"{file}: {name} must hold one {'number' if name == key else 'whole number'} a "
                f"sample, [n] as {key}, got {values.dtype} {list(values.shape)}"
            )
    sign = 1 if key == "conf" else -1
    conf, bad = sign * read[key].astype(np.float64), ~np.isfinite(read[key])
    if bad.any():
        raise ValueError(f"{file}: {key} must be finite, got {bad.sum():,} of {bad.size:,} not")
    pred = read["pred"].astype(np.int64) if "pred" in read else None
    return Given(conf, read[labelled].astype(np.int64), pred)


def read_scores(folder: Path) -> dict[str, Given]:
    """Return the samples of every .npz file of a folder, or of `scores/` in it, by its name.

    Raises ValueError that names the file, FileNotFoundError where there is none.
    """
    inner = folder / "scores"
    place = inner if inner.is_dir() else folder
    files = sorted(place.glob("*.npz"))
    if not files:
        more = " (pickles, .pkl, are not read: they run what they hold)" * any(place.glob("*.pkl"))
        raise FileNotFoundError(f"{place} must hold one .npz file a data set, got none{more}")
    return {file.stem: _read(file) for file in files}


def _id_file(given: Mapping[str, Given], id_dataset: str | None) -> str | None:
    """Return the file of the ID data set: that of this name, else the only one without OOD labels;
    None where every file has ID samples of its own."""
    if id_dataset is not None:
        if id_dataset not in given:
            raise ValueError(f"--id must be one of {', '.join(given)}, got {id_dataset!r}")
        return id_dataset
    inside = [name for name, item in given.items() if (item.label >= 0).all()]
    if len(inside) > 1:
        raise ValueError(
            f"--id must say which file is the ID data set: {', '.join(inside)} have no labels "
            "below 0; others are OOD sets then, whatever their labels"
        )
    if not inside and not all((item.label >= 0).any() for item in given.values()):
        raise ValueError(
            "one file must hold the ID data set, with labels from 0 on; all labels are below 0"
        )
    return inside[0] if inside else None


def judged(
    given: Mapping[str, Given],
    name: str,
    *,
    id_dataset: str | None = None,
    threshold: Threshold = "first",
    rule: Aupr = "trapezoid",
) -> Iterator[dict]:
    """Yield the rows of metrics.csv that somebody else's scores give, under a method's name.

    An OOD set's samples are those with labels below 0, or all of a file beside a named ID data set;
    they are compared with the ID file's, or with the ID samples of their own file.
    """
    own = _id_file(given, id_dataset)
    common = {"method": name, "score": "imported", "split": "test", "id_dataset": own or "id"}
    if own and given[own].pred is not None:
        right = given[own].pred == given[own].label
        values = [("id_acc", "", float(right.mean()))]
        yield from records(common | {"score": "", "n_id": len(right)}, values)
    for dataset, item in given.items():
        if dataset == own:
            continue
        outside = item.conf if id_dataset else item.conf[item.label < 0]
        inside = given[own].conf if own else item.conf[item.label >= 0]
        if not len(outside):
            raise ValueError(f"{dataset} must hold OOD samples, with labels below 0, got none")
        known = common | {"ood_dataset": dataset, "n_id": len(inside), "n_ood": len(outside)}
        yield from records(known, compare(inside, outside, threshold=threshold, rule=rule))


def write_rows(rows: Sequence[dict], out: Path) -> None:
    """Write rows as metrics.csv has them."""
    with out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, tuple(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"value": repr(row["value"])} for row in rows)


def table_lines(
    rows: Sequence[Mapping], groups: Mapping[str, Sequence[str]], ours: Sequence[Mapping] = ()
) -> list[list[str]]:
    """Return a head and a line for each data set and average: AUROC, FPR95 of both conventions and
    AUPR in percent, then the AUROC of each row of `ours` (summary.csv) on a set of this name, with
    `!` where it is of another number of samples."""
    shown = (("auroc", ""), ("fpr95", "ood"), ("fpr95", "id"), ("aupr_in", ""), ("aupr_out", ""))
    of: dict[str, dict] = {}
    counts = {}
    for row in rows:
        if row["ood_dataset"]:
            of.setdefault(row["ood_dataset"], {})[row["metric"], row["convention"]] = row["value"]
            counts[row["ood_dataset"]] = row["n_id"], row["n_ood"]
    for group, names in groups.items():
        if unknown := [name for name in names if name not in counts]:
            raise ValueError(f"--{group} must name files of scores, got {unknown[0]!r}")
    means = {AVERAGE: list(of)} | {group_average(name): sets for name, sets in groups.items()}
    for mean, names in means.items():
        of[mean] = {key: sum(of[name][key] for name in names) / len(names) for key in shown}
        counts[mean] = counts[names[0]][0], sum(counts[name][1] for name in names)
    beside: dict[tuple, dict] = {}
    for row in ours:
        if row["metric"] == "auroc" and row["split"] == "test" and row["ood_dataset"] in of:
            label = " ".join(filter(None, (row["method"], row["variant"], row["score"])))
            same = (row["n_id"], row["n_ood"]) == counts[row["ood_dataset"]]
            cell = f"{100 * row['mean']:.2f}{'' if same else ' !'}"
            beside.setdefault(label, {})[row["ood_dataset"]] = cell
    head = ["data set", "n", "AUROC", "FPR95 (OOD positive)", "FPR95 (ID positive)", "AUPR-IN",
            "AUPR-OUT", *(f"ours: {label}, AUROC" for label in beside)]  # fmt: skip
    return [head] + [
        [name, f"{counts[name][1]:,}", *(f"{100 * values[key]:.2f}" for key in shown),
         *(column.get(name, "") for column in beside.values())]
        for name, values in of.items()
    ]  # fmt: skip
