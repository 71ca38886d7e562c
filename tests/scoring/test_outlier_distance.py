"""Distances of outliers against numbers worked out by hand, and by a real detector."""

import csv

import numpy as np
import pytest
import torch
import zarr

from bood_tasks.scoring import outlier_distance
from bood_tasks.scoring.posthoc.base import Outputs
from bood_tasks.scoring.posthoc.table import score_named
from tests import fake_artifacts
from tests.tiny_detector import CROP, Tiny


def drawn(count, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(1, 1, (count, 3))).float()


def test_distances_are_those_of_numpy():
    labels = torch.arange(60) % 2
    training = Outputs(drawn(60), drawn(60), labels=labels)
    features = drawn(5, seed=1)
    states = {
        "knn": score_named("knn").fit(training, neighbours=4),
        "mahalanobis": score_named("mahalanobis").fit(training),
    }
    found = outlier_distance.distances(Outputs(features, drawn(5)), states)
    rows, own = training.features.numpy(), features.numpy()
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (rows, own)]
    each = np.linalg.norm(unit[1][:, None] - unit[0][None], axis=2)
    np.testing.assert_allclose(found["knn"], np.sort(each, 1)[:, 3], rtol=1e-4)
    means = np.stack([rows[labels == k].mean(0) for k in (0, 1)])
    centred = rows - means[labels.numpy()]
    inverse = np.linalg.inv(centred.T @ centred / len(rows))
    apart = own[:, None] - means[None]
    squared = np.einsum("nkp,pq,nkq->nk", apart, inverse, apart)
    np.testing.assert_allclose(found["mahalanobis"], np.sqrt(squared.min(1)), rtol=1e-4)


def test_distances_are_in_units_of_id_and_confidence_is_not():
    inside = {"knn": 2.0, "mahalanobis": 4.0, "confidence": 0.5}
    measured = {"knn": 3.0, "mahalanobis": 4.0, "confidence": 0.9}
    found = outlier_distance.in_units(measured, inside)
    assert found == {"knn": 1.5, "mahalanobis": 1.0, "confidence": 0.9}


def test_rows_are_drawn_once_each_and_numbered_through_all_arrays(tmp_path):
    rng = np.random.default_rng(0)
    rows = outlier_distance.chosen_rows(np.arange(10, 40), 12, rng)
    assert len(set(rows)) == 12
    assert (np.diff(rows) > 0).all()
    assert set(rows) <= set(range(10, 40))
    few = np.array([3, 8])
    assert outlier_distance.chosen_rows(few, 12, rng) is few
    whole = np.arange(30)
    stored = zarr.create_array(tmp_path / "a.zarr", data=whole[10:20])
    found = outlier_distance.gather([whole[:10], stored, whole[20:]], np.array([3, 12, 19, 25]))
    assert [list(part) for part in found] == [[3], [12, 19], [25]]


def test_the_stage_tells_other_pictures_from_those_like_id(tmp_path, monkeypatch):
    """Outliers that are ID pictures lie where ID lies; of two sources each gives its share."""
    monkeypatch.setattr(outlier_distance, "ROWS", 12)
    tiny = Tiny(tmp_path)
    pets = tiny.datasets[0]["test/images"][:]
    data = fake_artifacts.make(
        tmp_path / "sized", "dataset", arrays={"test/images": pets},
        files={"dataset.json": {"size": pets.shape[1], "kernel": "bilinear"}},
    )  # fmt: skip
    rng = np.random.default_rng(0)
    bright = fake_artifacts.make(
        tmp_path / "bright", "dataset",
        arrays={"test/images": rng.integers(200, 256, (40, 32, 32, 3), np.uint8)},
        settings={"name": "bright"},
    )  # fmt: skip
    same = fake_artifacts.make(tmp_path / "same", "images", arrays={"images": pets})
    one = {"artifacts": 1, "count": None}
    settings = {
        "id": "pets", "datasets": ["near", "far"], "neighbours": 2, "crop": CROP, "seed": 0,
        "rows": [
            {"method": "oe", "variant": "same", "sources": [one | {"weight": 1}]},
            {"method": "oe", "variant": "both",
             "sources": [one | {"weight": 1}, one | {"weight": 3}]},
        ],
    }  # fmt: skip
    made = fake_artifacts.run_stage(
        tmp_path, outlier_distance.main, "outlier_distance", settings,
        {"detector": tiny.detectors["cross_entropy"], "outputs": tiny.outputs("cross_entropy"),
         "training": tiny.outputs("cross_entropy", training=True), "dataset": data,
         "outliers": [same, same, bright]},
    )  # fmt: skip
    with (made.folder / "outlier_distance.csv").open(newline="") as handle:
        inside, near, far, alike, both = csv.DictReader(handle)
    kinds = [line["kind"] for line in (inside, near, far, alike, both)]
    assert kinds == ["id", "ood", "ood", "outliers", "outliers"]
    assert (near["count"], far["count"]) == ("5", "15")
    assert (alike["count"], both["count"]) == ("12", "12")
    for name in ("knn", "mahalanobis"):
        assert float(inside[name]) == 1
        assert float(alike[name]) == pytest.approx(1, rel=1e-4)
        assert abs(float(both[name]) - 1) > 0.05
    assert float(alike["confidence"]) == pytest.approx(float(inside["confidence"]), rel=1e-4)
    assert float(alike["pixels"]) == pytest.approx(0.5)
    assert float(both["pixels"]) > 0.8
