"""What a detector knows of its outliers: of each vector that was decoded, in the order shown."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.detectors import detector
from bood_tasks.detectors.model import load_model
from bood_tasks.detectors.nearness import FAR, known_of_outliers, nearness
from bood_tasks.jobs.job import Job
from tests import fake_artifacts


def test_nearness_is_the_softmax_of_cosines_and_the_margin_by_hand():
    """Anchors on x and y: (3, 4) has cosines .6 and .8, so it lies .2 beyond class 0."""
    found = nearness(
        torch.tensor([[3.0, 4.0]]), torch.tensor([0]), torch.diag(torch.tensor([2.0, 5.0])),
        temperature=0.1,
    )  # fmt: skip
    expected = torch.tensor([[6.0, 8.0]]).softmax(1)
    torch.testing.assert_close(found[:, :2], expected)
    torch.testing.assert_close(found[:, 2], torch.tensor([0.2]))


def job(tmp_path, *, filtered, soft=True, classes=3):
    """Two shards of decoded vectors, a filter that keeps items 1, 2 and 5, and a noise set."""
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(4, 5)).astype("float32"), np.array([0, 1, 2, 2])
    anchors = rng.normal(size=(3, 5)).astype("float32")
    shards = [
        fake_artifacts.make(
            tmp_path, "images", arrays={"vector": np.array(rows)}, settings={"start": start}
        )
        for start, rows in enumerate(([0, 1, 2], [0, 1, 3]))
    ]
    noise = fake_artifacts.make(tmp_path, "dataset", arrays={"test/images": np.zeros((2, 1))})
    inputs = {
        "outliers": [*shards, noise],
        "vectors": [
            fake_artifacts.make(
                tmp_path, "ood_features", arrays={"vectors": vectors, "labels": labels}
            )
        ],
        "anchors": fake_artifacts.make(tmp_path, "anchors", arrays={"anchors": anchors}),
    }
    sources = [{"artifacts": 2, "count": None, "weight": 0.5, "temperature": 0.1},
               {"artifacts": 1, "count": None, "weight": 0.5}]  # fmt: skip
    if filtered:
        sources[0]["filtered"] = True
        kept = {"confidence": np.zeros(6, np.float32), "rows": np.array([1, 2, 5])}
        inputs["outlier_filters"] = [fake_artifacts.make(tmp_path, "outlier_filter", arrays=kept)]
    settings = {"method_settings": {"soft_labels": 0.5} if soft else {}, "sources": sources}
    given = Job(settings, inputs, tmp_path / "manifest.json", {}, "")
    tensors = [torch.from_numpy(x) for x in (vectors, labels, anchors)]
    return known_of_outliers(given, [3 if filtered else 6, 2], classes), tensors


@pytest.mark.parametrize("filtered", [False, True])
def test_items_are_known_by_their_vector_and_others_are_far(tmp_path, filtered):
    (decoded, noise), (vectors, labels, anchors) = job(tmp_path, filtered=filtered)
    rows = [1, 2, 3] if filtered else [0, 1, 2, 0, 1, 3]
    cosines = F.cosine_similarity(vectors[rows][:, None], anchors[None], dim=2)
    torch.testing.assert_close(decoded[:, :3], (cosines / 0.1).softmax(1))
    for row, found in zip(rows, decoded, strict=True):
        own = int(labels[row])
        mine = F.cosine_similarity(vectors[row : row + 1], anchors)
        others = [mine[j] for j in range(3) if j != own]
        torch.testing.assert_close(found[3], max(others) - mine[own])
    torch.testing.assert_close(noise, torch.tensor([[1 / 3] * 3 + [FAR]] * 2))


def test_a_method_that_does_not_read_it_is_told_nothing(tmp_path):
    assert job(tmp_path, filtered=False, soft=False)[0] == []


def test_anchors_of_other_classes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="anchors must be one a class, got 3 for 4 classes"):
        job(tmp_path, filtered=False, classes=4)


def test_the_stage_trains_on_what_it_knows_of_each_source(tmp_path):
    """From files: one shard as it lies on the disk, two that are joined, and a set of noise."""
    rng = np.random.default_rng(0)

    def pictures(count):
        return rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)

    arrays = {}
    for split in ("train", "validation"):
        arrays |= {f"{split}/images": pictures(12), f"{split}/labels": np.arange(12) % 3,
                   f"{split}/index": np.arange(12)}  # fmt: skip
    facts = {"classes": ["cat", "dog", "newt"], "size": 16, "kernel": "bilinear"}
    made = [
        fake_artifacts.make(
            tmp_path, "images", arrays={"images": pictures(6), "vector": rng.integers(0, 4, 6)},
            settings={"shard": number},
        )
        for number in range(3)
    ]  # fmt: skip
    vectors = {"vectors": rng.normal(size=(4, 5)).astype("float32"), "labels": np.arange(4) % 3}
    inputs = {
        "dataset": fake_artifacts.make(
            tmp_path, "dataset", arrays=arrays, files={"dataset.json": facts}
        ),
        "outliers": [
            *made,
            fake_artifacts.make(
                tmp_path, "dataset", arrays={"test/images": pictures(6)}, settings={"noise": True}
            ),
        ],
        "vectors": [
            fake_artifacts.make(tmp_path, "ood_features", arrays=vectors, settings={"n": number})
            for number in range(2)
        ],
        "anchors": fake_artifacts.make(
            tmp_path, "anchors", arrays={"anchors": rng.normal(size=(3, 5)).astype("float32")}
        ),
    }
    each = {"count": None, "weight": 1 / 3}
    settings = {
        "epochs": 1, "batch_size": 6, "lr": 0.05, "weight_decay": 0.0, "crop_padding": 1,
        "flip": True, "clip_norm": None, "seed": 0, "snapshots": False, "crop": None,
        "method": "energy_regulariser", "network": "resnet", "depth": 18, "width": 2,
        "stem": "strided", "outlier_fit": "resize",
        "method_settings": {"ood_weight": 1.0, "reduction": "mean", "phi": "increasing",
                            "soft_labels": 0.5, "soft_weight": 0.5, "distance_margin": 1.0},
        "sources": [each | {"artifacts": 1, "temperature": 0.1},
                    each | {"artifacts": 2, "temperature": 0.2}, each | {"artifacts": 1}],
    }  # fmt: skip
    found = fake_artifacts.run_stage(tmp_path, detector.main, "detector", settings, inputs)
    heading = (found.folder / "curve.csv").read_text().splitlines()[0].split(",")
    assert {"loss", "ce", "ood", "soft"} <= set(heading)
    assert load_model(found, "cpu").distance_margin == 1.0
