"""Shard size, inference batch and order change no image (issue: acceptance 4)."""

import json
import os
import shlex
import shutil

import numpy as np
import pytest

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.spec import to_json
from bood_tasks.artifacts.store import Artifact, Draft

pytestmark = pytest.mark.long


def outlier_images(work, overlay=None):
    """Return {(class, item): image} over all shards of BOOD's outliers."""
    found = {}
    for spec in work.specs("images", overlay):
        if "boundary" in spec.name:
            shard = Artifact(work.path / spec.manifest)
            keys = zip(shard["labels"][:].tolist(), shard["item"][:].tolist(), strict=True)
            found |= dict(zip(keys, shard["images"][:], strict=True))
    return found


def test_shards_and_batches_change_no_image(fresh):
    overlay = {"images": {"shard": 13}, "run": {"inference_batch": 7, "image_batch": 7}}
    shards = [s for s in fresh.specs("images", overlay) if "boundary" in s.name]
    assert len(shards) == 4
    done = fresh.snakemake(*[s.manifest for s in shards], overlay=overlay)
    assert done.returncode == 0, done.stderr
    whole, parts = outlier_images(fresh), outlier_images(fresh, overlay)
    assert len(whole) == 160
    assert whole.keys() == parts.keys()
    difference = np.stack([np.abs(whole[k].astype(int) - parts[k]) for k in whole])
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001
    assert np.stack(list(whole.values())).std() > 10  # they are pictures, not one grey


def test_a_detector_takes_more_shards_than_a_command_line_holds(fresh):
    overlay = {"images": {"per_class": 1600, "shard": 1}, "detector": {"epochs": 1}}
    first, *others = [s for s in fresh.specs("images", overlay) if "boundary" in s.name]
    assert len(shlex.join(item.manifest for item in others)) > 2**17  # Linux's MAX_ARG_STRLEN
    detector = next(s for s in fresh.specs("detector", overlay) if "boundary" in s.name)
    with Draft(fresh.path / first.manifest, first.identity()) as draft:
        shown = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
        draft.save("images", shown)
        for name in ("labels", "item", "vector"):
            draft.save(name, np.arange(4))
        draft.finish(rows={"images": 4})
    content, source = fresh.manifest(first), (fresh.path / first.manifest).parent
    for spec in others:  # the same pictures under each shard's own identity
        manifest = fresh.path / spec.manifest
        shutil.copytree(source, manifest.parent, copy_function=os.link)
        manifest.unlink()
        write_json(manifest, content | {"spec": json.loads(to_json(spec.identity()))})
    done = fresh.snakemake(detector.manifest, overlay=overlay)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(fresh.manifest(detector)["spec"]["inputs"]["outliers"]) == 1600


def test_a_packed_job_makes_the_shards_that_the_others_would(finished, tmp_path):
    overlay = {"images": {"per_class": 4, "shard": 1}}
    shards = finished.specs("images", overlay)
    outliers = [spec for spec in shards if spec.inputs.get("ood_features")]
    made = []
    for pack in (1, 3):
        work = finished.copy(tmp_path / str(pack))
        more = overlay | {"run": {"pack": pack}}
        done = work.snakemake("--cores", "1", outliers[0].manifest, overlay=more)
        assert done.returncode == 0, done.stderr
        there = [spec for spec in outliers if (work.path / spec.manifest).is_file()]
        assert there == outliers[:pack]
        targets = [spec.manifest for spec in outliers]
        assert work.snakemake(*targets, overlay=more).returncode == 0
        made.append([work.manifest(spec)["files"] for spec in outliers])
    assert made[0] == made[1]
