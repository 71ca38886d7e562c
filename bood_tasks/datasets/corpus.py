"""Materialise a corpus: texts split by split, one a line, with their class and row.

Leaves: `<split>.txt` in UTF-8, `<split>/labels` (-1: none), `<split>/index`, and corpus.json with
counts, class names, what was read and left out (`read`, see summary.py) and, for each split, the
SHA-256 of its file.
"""

import hashlib
from pathlib import Path

import numpy as np

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.corpora import PUBLISHED
from bood_tasks.catalogue.walk import LeftOut
from bood_tasks.datasets.download import download
from bood_tasks.datasets.read_texts import read_corpus
from bood_tasks.datasets.summary import report_lines, summarise
from bood_tasks.jobs.environment import run_setting
from bood_tasks.jobs.job import read_job

VERSION = 2


def read_split(artifact: Artifact, split: str) -> list[str]:
    """Return a corpus artifact's texts of one split."""
    return (artifact.folder / f"{split}.txt").read_text(encoding="utf-8").split("\n")[:-1]


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, path = job.settings, Path(job.source)
    kind = settings["kind"]
    if kind in PUBLISHED and not PUBLISHED[kind].holds(path) and run_setting("download"):
        download(kind, path)
    told = LeftOut()
    splits, classes = read_corpus(path, settings, told)
    with job.draft() as draft:
        counts, content = {}, {}
        for split, part in splits.items():
            written = "".join(f"{text}\n" for text in part.texts).encode()
            (draft.folder / f"{split}.txt").write_bytes(written)
            draft.save(f"{split}/labels", np.array(part.labels, np.int64))
            draft.save(f"{split}/index", np.array(part.index, np.int64))
            counts[split] = len(part.texts)
            content[split] = hashlib.sha256(written).hexdigest()
        facts = {
            "name": settings["name"],
            "kind": kind,
            "title": PUBLISHED[kind].title if kind in PUBLISHED else settings["name"],
            "classes": classes,
            "counts": counts,
            "content": content,
            "read": summarise(
                classes, {split: part.labels for split, part in splits.items()}, told
            ),
        }
        print(*report_lines(settings["name"], counts, facts["read"], told), sep="\n", flush=True)
        write_json(draft.folder / "corpus.json", facts)
        draft.finish(rows=counts)
