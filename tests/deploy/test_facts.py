"""What a model card says of a detector that the figures do not."""

from pathlib import Path

import numpy as np

from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.deploy.facts import grey_outliers, outliers_of
from bood_tasks.deploy.lineage import Lineage
from tests.fake_artifacts import identity, make


def lineage_of(root: Path, *digests: str) -> Lineage:
    """The lineage of a detector that saw these outliers."""
    spec = identity("detector") | {"inputs": {"outliers": list(digests)}}
    manifest = root / "artifacts/detector/fake" / digest_of(spec) / "manifest.json"
    with Draft(manifest, spec) as draft:
        draft.finish()
    made = Artifact(manifest)
    return Lineage(made, made, made, None, {})


def test_outliers_are_grey_by_their_pictures_and_not_by_their_name(tmp_path):
    """GOE's pictures in colour, BOOD's in grey, texts, and one that was removed."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    grey = np.repeat(colour[..., :1], 3, axis=3)
    made = [
        make(tmp_path, "gan_images", arrays={"images": colour}),
        make(tmp_path, "images", arrays={"images": grey}),
        make(tmp_path, "tokens", arrays={"test/tokens": np.ones((3, 5), np.int32)}),
    ]
    lineage = lineage_of(tmp_path, *(item.digest for item in made), "0123456789abcdef")
    assert grey_outliers(lineage) == ["fake"]
    assert outliers_of(lineage) == ["fake", "0123456789abcdef"]
    assert grey_outliers(lineage_of(tmp_path, made[0].digest, made[2].digest)) == []
