"""Shard size, inference batch and order change no image (issue: acceptance 4)."""

import numpy as np
import pytest

from bood_tasks.store import Artifact

pytestmark = pytest.mark.xdist_group("workflow")


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
