import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.artifacts import store
from bood_tasks.jobs import seeds
from bood_tasks.synthesis import ood_features
from bood_tasks.synthesis.samplers import dreamood
from bood_tasks.synthesis.samplers.dreamood import (
    neighbour_similarity,
    outermost,
    pick_candidates,
    sample_class,
)
from tests import fake_artifacts

HOW = {
    "neighbours": 5, "boundary": 6, "candidates": 40, "sigma": 0.3, "vectors": 20,
    "reference_bug": False, "seed": 0,
}  # fmt: skip


def cloud(count=30, dim=8, seed=0):
    random = torch.Generator().manual_seed(seed)
    centre = torch.randn(dim, generator=random)
    return centre + 0.6 * torch.randn(count, dim, generator=random)


def kth_distance(queries, features, k):
    """Distances to the k-th nearest, by sorting all of them."""
    return torch.cdist(queries.double(), features.double()).sort(1).values[:, k - 1]


def test_kth_largest_product_is_the_kth_neighbour():
    unit = F.normalize(cloud(), dim=1)
    similarity = neighbour_similarity(unit @ unit.T, 5)
    expected = kth_distance(unit, unit, 5)
    torch.testing.assert_close((2 - 2 * similarity.double()).sqrt(), expected, rtol=1e-4, atol=1e-4)


def test_outermost_features_have_the_farthest_kth_neighbour():
    unit = F.normalize(cloud(), dim=1)
    expected = kth_distance(unit, unit, 5).argsort(descending=True)[:6]
    assert outermost(unit, neighbours=5, count=6).tolist() == expected.tolist()


@pytest.mark.parametrize("reference_bug", [False, True])
def test_candidates_are_picked_as_told(reference_bug):
    unit = F.normalize(cloud(), dim=1)
    noise = torch.randn(40, 8, generator=torch.Generator().manual_seed(1))
    rows = unit[:3]
    found = pick_candidates(rows, noise, unit, sigma=0.3, neighbours=5, reference_bug=reference_bug)
    candidates = F.normalize((rows[:, None] + 0.3 * noise).flatten(0, 1), dim=1)
    distances = kth_distance(candidates, unit, 5)  # written row by row, 40 candidates each
    if reference_bug:  # read as if candidate by candidate
        expected = distances.view(40, 3).topk(2, dim=0).indices.T
    else:
        expected = distances.view(3, 40).topk(2, dim=1).indices
    assert found.tolist() == expected.tolist()


def test_vectors_are_unit_candidates_of_the_outermost_rows():
    features = cloud()
    vectors, rows = sample_class(features, "a", **HOW)
    assert vectors.shape == (20, 8)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(20))
    unit = F.normalize(features, dim=1)
    assert set(rows.tolist()) <= set(outermost(unit, neighbours=5, count=6).tolist())
    random = seeds.generator(0, "ood_features", "dreamood", "a", 0)
    random.permutation(6)
    noise = torch.from_numpy(random.standard_normal((40, 8), dtype=np.float32))
    candidates = F.normalize(unit[rows[0]] + 0.3 * noise, dim=1)
    far = kth_distance(candidates, unit, 5).argmax()
    torch.testing.assert_close(vectors[0], candidates[far])


def test_the_bug_in_effect_picks_at_random():
    unit = F.normalize(cloud(60), dim=1)
    right, wrong = (
        kth_distance(sample_class(cloud(60), "a", **HOW | {"reference_bug": bug})[0], unit, 5)
        for bug in (False, True)
    )
    assert right.mean() > wrong.mean() + 0.02


def test_more_vectors_keep_the_first_ones_and_chunks_change_nothing(monkeypatch):
    few, _ = sample_class(cloud(), "a", **HOW)
    monkeypatch.setattr(dreamood, "ROWS_AT_ONCE", 1)
    more, _ = sample_class(cloud(), "a", **HOW | {"vectors": 50})
    torch.testing.assert_close(more[:20], few)
    other, _ = sample_class(cloud(), "b", **HOW)
    assert not torch.allclose(other, few)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neighbours": 31}, r"dreamood.neighbours must be .* got 31 for 30 of a; lower it"),
        ({"boundary": 31}, r"dreamood.boundary must be .* got 31 for 30 of a"),
        ({"candidates": 1}, r"dreamood.candidates must be at least 2, got 1"),
    ],
)
def test_settings_beyond_the_class_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        sample_class(cloud(), "a", **HOW | change)


def test_stage_scales_to_the_anchors_and_needs_no_distances(tmp_path, monkeypatch):
    anchors = np.array([[0.4] + [0] * 7, [0] * 7 + [0.7]], np.float32)
    features = torch.cat([cloud(), cloud(seed=1)]).numpy()
    labels = np.repeat([0, 1], 30)
    inputs = {
        "anchors": fake_artifacts.make(
            tmp_path,
            "anchors",
            arrays={"anchors": anchors},
            files={"anchors.json": {"classes": ["a", "b"]}},
        ),
        "features": fake_artifacts.make(
            tmp_path, "features", arrays={"features": features, "labels": labels}
        ),
    }
    settings = HOW | {"sampler": "dreamood", "rescale": "anchor"}
    made = fake_artifacts.run_stage(tmp_path, ood_features.main, "ood_features", settings, inputs)
    lengths = np.linalg.norm(made["vectors"][:], axis=1)
    np.testing.assert_allclose(lengths, np.repeat([0.4, 0.7], 20), rtol=1e-5)
    assert (labels[made["rows"][:]] == made["labels"][:]).all()
    assert made.json("ood_features.json")["selected"] == {"a": 20, "b": 20}
    features[3, 2] = np.nan
    monkeypatch.setattr(store, "require_finite", lambda *_: None)  # a version that did not look
    inputs["features"] = fake_artifacts.make(
        tmp_path / "bad", "features", arrays={"features": features, "labels": labels}
    )
    with pytest.raises(ValueError, match=r"features must be finite.*1 bad rows: 3"):
        fake_artifacts.run_stage(
            tmp_path / "bad", ood_features.main, "ood_features", settings, inputs
        )
