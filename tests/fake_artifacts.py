"""Small but real artifacts for the tests of the stages that only read."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bood_tasks.artifacts.spec import digest_of, to_json
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.catalogue.stages import version_of


def identity(stage: str, settings: dict | None = None, inputs: dict | None = None) -> dict:
    """Return an identity; inputs may be artifacts or lists of them."""
    named = {
        role: [item.digest for item in given] if isinstance(given, list) else given.digest
        for role, given in (inputs or {}).items()
    }
    return {
        "stage": stage,
        "version": version_of(stage),
        "settings": settings or {},
        "inputs": named,
    }


def make(
    root: Path,
    stage: str,
    *,
    arrays: dict[str, np.ndarray] | None = None,
    files: dict[str, object] | None = None,
    folders: dict[str, Path] | None = None,
    settings: dict | None = None,
    rows: dict[str, int] | None = None,
) -> Artifact:
    """Write a finished artifact; a file's content is text, or anything JSON holds.

    `folders` are copied from elsewhere.
    """
    spec = identity(stage, settings)
    manifest = root / "artifacts" / stage / "fake" / digest_of(spec) / "manifest.json"
    with Draft(manifest, spec) as draft:
        for name, values in (arrays or {}).items():
            draft.save(name, np.asarray(values))
        for name, content in (files or {}).items():
            text = content if isinstance(content, str) else json.dumps(content)
            (draft.folder / name).write_text(text, encoding="utf-8")
        for name, source in (folders or {}).items():
            shutil.copytree(source, draft.folder / name)
        draft.finish(rows=rows)
    return Artifact(manifest)


def run_stage(
    root: Path,
    main,
    stage: str,
    settings: dict,
    inputs: dict,
    then: Sequence[str] = (),
    source: str = "",
) -> Artifact:
    """Run a stage's main as its rule does and return what it wrote; `then`: the rest of a pack;
    `source`: the file from outside."""
    spec = identity(stage, settings, inputs)
    out = root / "artifacts" / stage / "made" / digest_of(spec) / "manifest.json"
    given = [
        item
        for value in inputs.values()
        for item in (value if isinstance(value, list) else [value])
    ]
    main(
        [
            "--in",
            *(str(item.manifest) for item in given),
            "--out",
            str(out),
            "--spec",
            to_json(spec),
            *(["--then", *then] if then else []),
            f"--source={source}",
        ]
    )
    return Artifact(out)
