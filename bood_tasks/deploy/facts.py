"""What there is to say of a detector: its thresholds, its figures, what it was trained on, and what
a user must be warned of. All of it is read from its artifacts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bood_tasks.artifacts.manifest import read_manifest
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.metrics import AVERAGE
from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.lineage import Lineage, find
from bood_tasks.scoring.colour import GREY, find_colour_warnings
from bood_tasks.scoring.intervals import accepted_interval, interval, threshold_interval
from bood_tasks.scoring.metrics import figures_of
from bood_tasks.scoring.pixel_statistics import COLOUR, statistics
from bood_tasks.training.loading import samples_of
from bood_tasks.training.trained import doubts, steps_of

TPRS = (0.80, 0.90, 0.95, 0.99)
ROLES = {"test": "test set", "validation": "validation set", "control": "control"}
LOOKED_AT = 64  # pictures of an artifact of outliers
FEW = 100  # calibration samples below which thresholds are told to be rough
SHOWN = ("auroc", "fpr95")


@dataclass(frozen=True)
class Figure:
    """AUROC or FPR95 (ID positive) on one OOD set, or `AVERAGE`, with its 95 % interval; all in
    [0, 1]. `role`: of ROLES."""

    dataset: str
    role: str
    metric: str
    value: float
    low: float
    high: float
    n_id: int
    n_ood: int


@dataclass
class Facts:
    """What the files of a bundle say of a detector."""

    thresholds: list[dict]
    figures: list[Figure]
    accuracy: dict[str, float]  # of ID samples, by split
    data: dict[str, dict]  # of each data set: kind, title, counts, content
    training: dict  # the detector's settings
    outliers: list[str]
    label: tuple[str, str]  # method and variant, as tables name the row
    warnings: list[str] = field(default_factory=list)


def thresholds(detector: Detector) -> list[dict]:
    """Return the thresholds at TPRS, each with the 95 % interval of where it should lie (None: not
    bounded) and of the share of new ID samples that it accepts; none where none follows."""
    reference = detector.reference
    if reference is None:
        return []
    found = []
    for tpr in TPRS:
        at = detector.threshold(tpr)
        low, high = threshold_interval(reference, tpr)
        accepted = int((reference >= at).sum())
        least, most = accepted_interval(accepted, len(reference))
        found.append(
            {"tpr": tpr, "threshold": at, "low": low, "high": high,
             "accepts_low": round(least, 5), "accepts_high": round(most, 5)}
        )  # fmt: skip
    return found


def metrics_of(lineage: Lineage) -> dict | None:
    """Return the spec of the metrics that read these scores; None if they are not there."""
    for manifest in sorted(lineage.root.glob("metrics/*/*/manifest.json")):
        spec = read_manifest(manifest)["spec"]
        if lineage.scores.digest in spec["inputs"]["scores"]:
            return spec
    return None


def label_of(lineage: Lineage, metrics: dict | None) -> tuple[str, str]:
    """Return method and variant of the row, as metrics name it; without any the method's module."""
    if metrics is None:
        return lineage.detector.settings.get("method", "pretrained"), ""
    row = metrics["inputs"]["scores"].index(lineage.scores.digest)
    label = metrics["settings"]["rows"][row]
    return label["method"], label["variant"]


def roles_of(lineage: Lineage, metrics: dict | None) -> dict[str, str]:
    """Return the role of each OOD set; without metrics every set counts as one for testing."""
    names = [name for name in lineage.datasets if name != lineage.scores.settings["id"]]
    if metrics is None:
        return dict.fromkeys(names, "test")
    settings = metrics["settings"]
    return {name: role for role in ROLES for name in settings[role] if name in names}


def figures(lineage: Lineage, roles: dict[str, str], rule: str) -> Iterator[Figure]:
    """Yield this detector's figures on every OOD set, and their average over the test sets; one
    seed's, with the intervals of metrics (intervals.py)."""
    scores, name = lineage.scores, lineage.scores.settings["id"]
    tests: dict[str, list] = {}
    for dataset, role in roles.items():
        inside = f"{name}/{'validation' if role == 'validation' else 'test'}/score"
        if inside not in scores or f"{dataset}/test/score" not in scores:
            continue
        known, unknown = scores[inside][:], scores[f"{dataset}/test/score"][:]
        for metric, convention, *found in figures_of(known, unknown, rule):
            if convention == "ood":
                continue
            value, of_inside, of_outside = found
            if role == "test":
                tests.setdefault(metric, []).append((value, of_inside, of_outside))
            low, high = interval(value, of_inside, [of_outside])
            yield Figure(
                dataset, role, metric, float(value), low, high, len(known), len(unknown)
            )  # fmt: skip
    for metric, parts in tests.items():
        if len(parts) > 1:
            values, insides, outsides = zip(*parts, strict=True)
            value = float(np.mean(values))
            low, high = interval(value, np.mean(insides, 0), outsides)
            yield Figure(
                AVERAGE, "test", metric, value, low, high, len(insides[0]), sum(map(len, outsides))
            )


def described(artifact: Artifact) -> dict:
    """Return what a data set's artifact says of it."""
    facts = artifact.json("dataset.json")
    told = {key: facts.get(key, "") for key in ("kind", "title", "counts", "content")}
    return told | {"artifact": artifact.digest}


def data_of(lineage: Lineage) -> dict[str, dict]:
    """Return what is known of each data set that was scored; of an absent one its digest."""
    found = {}
    for name, digest in lineage.datasets.items():
        manifest = find(lineage.root, digest)
        there = manifest is not None and (manifest.parent / "dataset.json").is_file()
        found[name] = described(Artifact(manifest)) if there else {"artifact": digest}
    return found


def _outliers(lineage: Lineage) -> dict[str, Path | None]:
    """Return the digest and the manifest of each artifact of outliers; None of an absent one."""
    digests = lineage.detector.spec["inputs"].get("outliers", [])
    digests = [digests] if isinstance(digests, str) else digests
    return {digest: find(lineage.root, digest) for digest in digests}


def outliers_of(lineage: Lineage) -> list[str]:
    """Return the stages and names of what the detector was shown as outliers."""
    found = [path.parent.parent.name if path else name for name, path in _outliers(lineage).items()]
    return list(dict.fromkeys(found))


def grey_outliers(lineage: Lineage) -> list[str]:
    """Return the names of the outliers whose first pictures are grey, of those that are there."""
    found = []
    for manifest in filter(None, _outliers(lineage).values()):
        item = Artifact(manifest)
        first = samples_of(item, "test" if "test" in item else "")[:LOOKED_AT]
        if first.ndim == 4 and np.median(statistics(first)[COLOUR]) <= GREY:
            found.append(manifest.parent.parent.name)
    return list(dict.fromkeys(found))


def warnings_of(
    lineage: Lineage, detector: Detector, facts: Facts, metrics: dict | None
) -> list[str]:
    """Return what a user must know before a decision is believed."""
    name, settings, found = lineage.scores.settings["id"], lineage.detector.settings, []
    if detector.reference is None:
        found.append(
            f"No threshold: {name} held no validation samples out, and one set on test samples "
            "would flatter their figures. Hold some out and train again, or set one yourself."
        )
    elif len(detector.reference) < FEW:
        found.append(
            f"Thresholds rest on {len(detector.reference)} ID samples: see how wide their "
            "intervals are."
        )
    if metrics is None:
        found.append(
            "No metrics of this detector were found, so every OOD set counts as a test set."
        )
    steps = None
    if settings.get("epochs") and not settings.get("start"):
        counts = facts.data[name].get("counts") or {}
        if pictures := counts.get("train"):
            keys = ("epochs", "batch_size", "steps")
            steps = steps_of(pictures, **{key: settings.get(key) for key in keys})
    accuracy = facts.accuracy.get("validation", facts.accuracy.get("test"))
    if why := doubts(accuracy=accuracy, classes=len(detector.classes), steps=steps):
        found.append(f"Hardly trained, so its figures mean little: {'; '.join(why)}.")
    if metrics is not None and "pixels" in metrics["inputs"]:
        manifest = find(lineage.root, metrics["inputs"]["pixels"])
        if manifest is not None:
            pixels = Artifact(manifest).json(f"{manifest.parent.parent.parent.name}.json")
            found += find_colour_warnings(pixels, name, grey_outliers(lineage))
            for other, fact in pixels.items():
                if copies := fact.get("in_training", 0):
                    what = "training samples" if other == name else f"training samples of {name}"
                    found.append(f"{copies:,} samples of {other} are exact copies of {what}.")
    found.append(
        "The figures are those of these test sets alone: other OOD samples may be taken for ID "
        "more often, and pictures of another camera, size or compression may be taken for OOD."
        if detector.kind == "pictures"
        else "The figures are those of these test sets alone: other texts may be taken for ID more "
        "often."
    )
    return found


def facts_of(lineage: Lineage, detector: Detector) -> Facts:
    """Return all that is to be said of a detector."""
    metrics = metrics_of(lineage)
    rule = metrics["settings"]["threshold"] if metrics else "first"
    scores, name = lineage.scores, lineage.scores.settings["id"]
    accuracy = {
        split: float(scores[f"{name}/{split}/correct"][:].mean())
        for split in ("validation", "test")
        if f"{name}/{split}/correct" in scores
    }
    facts = Facts(
        thresholds(detector),
        list(figures(lineage, roles_of(lineage, metrics), rule)),
        accuracy,
        data_of(lineage),
        {key: value for key, value in lineage.detector.settings.items() if key != "sources"},
        outliers_of(lineage),
        label_of(lineage, metrics),
    )
    facts.warnings = warnings_of(lineage, detector, facts, metrics)
    return facts
