"""`bood bundle`: write one trained detector so that it can be carried away, see bundle.py.

The folder is written beside its place and moved there whole; before that its scores are compared
with those of the artifact.
"""

import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bood_tasks import __version__
from bood_tasks.artifacts.manifest import sha256
from bood_tasks.catalogue.scores import LEVEL
from bood_tasks.datasets.vocabulary import FILE as VOCABULARY
from bood_tasks.deploy import bundle as layout
from bood_tasks.deploy.card import card
from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.export import metadata, preprocessing, why_none, write_graph
from bood_tasks.deploy.facts import Facts, facts_of
from bood_tasks.deploy.load import load_detector
from bood_tasks.deploy.trained import STATE, Trained, load_trained
from bood_tasks.detectors.model import DESCRIPTION
from bood_tasks.training.loading import samples_of

NETWORK_FILES = "network"  # the folder of a detector with the files of a network of one's own
TRIED = 16  # samples whose scores are compared
AGREE = 1e-3  # of the spread of the scores, that the graph's rounding may move one


def configuration(trained: Trained, facts: Facts) -> dict:
    """Return config.json, but for `files`."""
    lineage, detector = trained.lineage, trained.detector
    settings = lineage.detector.settings
    network = lineage.detector.json(DESCRIPTION)
    if "content" in settings:  # a method of one's own: its file is asked for, and must be that one
        network["content"] = settings["content"]
    return {
        layout.MARK: layout.FORMAT,
        "bood_version": __version__,
        "model_type": "bood",
        "kind": detector.kind,
        "method": facts.label[0],
        "variant": facts.label[1],
        "id": lineage.scores.settings["id"],
        "seed": settings.get("seed", 0),
        "classes": detector.classes,
        "id2label": {str(number): name for number, name in enumerate(detector.classes)},
        "label2id": {name: number for number, name in enumerate(detector.classes)},
        "network": network,
        "network_files": (lineage.detector.folder / NETWORK_FILES).is_dir(),
        "score": {
            "name": detector.score,
            "settings": lineage.scores.settings,
            "magnitude": trained.network.magnitude,
        },
        "preprocessing": preprocessing(trained),
        "calibration": {"split": detector.calibration, "count": len(detector.reference)}
        if detector.reference is not None
        else None,
        "thresholds": facts.thresholds,
        "figures": [asdict(item) for item in facts.figures],
        "accuracy": facts.accuracy,
        "data": facts.data,
        "training": facts.training,
        "outliers": facts.outliers,
        "warnings": facts.warnings,
        "artifacts": {
            "detector": lineage.detector.digest,
            "scores": lineage.scores.digest,
            "dataset": lineage.dataset.digest,
        },
    }


def write_files(trained: Trained, folder: Path) -> None:
    """Write a bundle's files into an empty folder."""
    lineage, detector = trained.lineage, trained.detector
    facts = facts_of(lineage, detector)
    config = configuration(trained, facts)
    shutil.copyfile(lineage.detector.folder / "model.safetensors", folder / layout.WEIGHTS)
    if STATE in lineage.scores.files:
        shutil.copyfile(lineage.scores.folder / STATE, folder / layout.STATE)
    if detector.reference is not None:
        np.save(folder / layout.CALIBRATION, detector.reference, allow_pickle=False)
    if lineage.texts:
        vocabulary = lineage.upstream("vocabulary").folder / VOCABULARY
        shutil.copyfile(vocabulary, folder / layout.TOKENIZER)
    has_graph = not why_none(trained.network)
    if has_graph:
        write_graph(trained, folder / layout.GRAPH, metadata(trained))
    text = card(config, detector, facts, has_graph)
    (folder / layout.CARD).write_text(text, encoding="utf-8")
    config["files"] = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    text = json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / layout.CONFIG).write_text(text, encoding="utf-8")


def require_same_scores(trained: Trained, found: Detector, score: np.ndarray, split: str) -> None:
    """Raise ValueError if a bundle's detector says something else than the artifact's scores."""
    samples = samples_of(trained.lineage.dataset, split)[:TRIED]
    again, wanted = found.judge(list(samples)).scores, score[: len(samples)]
    spread = float(np.ptp(score)) or 1.0
    if (worst := float(np.abs(again - wanted).max())) > AGREE * spread:
        raise ValueError(
            f"the bundle must score as its artifact does, and differs by {worst:g} where scores "
            f"spread over {spread:g}: this is a fault of the export; report it, with "
            f"{trained.lineage.scores.folder}"
        )


def try_bundle(trained: Trained, folder: Path, own: Mapping[str, Path | None]) -> None:
    """Load a written bundle and compare its scores with those of the artifact."""
    scores, name = trained.lineage.scores, trained.lineage.scores.settings["id"]
    split = "validation" if trained.detector.reference is not None else "test"
    if f"{split}/index" in trained.lineage.dataset:
        require_same_scores(
            trained, load_detector(folder, **own), scores[f"{name}/{split}/score"][:], split
        )


def pack(folder: Path, out: Path) -> None:
    """Write a folder's files as one zip file, uncompressed: weights do not shrink. The same files
    give the same bytes."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(path.name)  # of 1980: no time of the day
            info.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 2**20)


def require_place(out: Path, *, zipped: bool) -> None:
    """Raise ValueError for a place where something is, FileNotFoundError for one in no folder."""
    if not out.resolve().parent.is_dir():
        raise FileNotFoundError(f"OUT must lie in a folder that is there, got {out}; make it")
    empty = not zipped and out.is_dir() and not out.is_symlink() and not any(out.iterdir())
    if os.path.lexists(out) and not empty:
        raise ValueError(f"OUT must be new, or an empty folder, got {out}; name another or move it")


def bundle(
    artifact: Path,
    out: Path,
    *,
    zipped: bool = False,
    score: str | None = None,
    method: Path | None = None,
    score_file: Path | None = None,
) -> None:
    """Write a detector's bundle, whole or not at all: a folder, or one zip file.

    Raises ValueError or OSError for a place that is taken, or a detector that cannot be read.
    """
    require_place(out, zipped=zipped)
    trained = load_trained(artifact, score=score, method=method, score_file=score_file)
    why = why_none(trained.network)
    if why and (trained.lineage.detector.folder / NETWORK_FILES).is_dir():
        raise ValueError(
            f"{why}, and a bundle holds no files of a network of one's own for torch; choose "
            "another score of this detector by --score"
        )
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.resolve().parent))
    try:
        folder = scratch / "bundle"
        folder.mkdir()
        write_files(trained, folder)
        try_bundle(trained, folder, {"method": method, "score_file": score_file})
        whole = folder
        if zipped:
            whole = scratch / "bundle.zip"
            pack(folder, whole)
        require_place(out, zipped=zipped)
        os.replace(whole, out)
    finally:
        shutil.rmtree(scratch)
    detector = trained.detector
    told = "no threshold: no ID samples were held out"
    if detector.reference is not None:
        told = (
            f"{detector.score} >= {np.float32(detector.threshold(LEVEL))!s} is ID and accepts "
            f"{LEVEL:.4g} of {detector.calibration}"
        )
    size = sum(p.stat().st_size for p in (out.iterdir() if out.is_dir() else [out]))
    print(f"{out}: {size / 1e6:.1f} MB; {told}", file=sys.stderr)
