"""Outliers that an ID classifier is sure of are dropped, and the detector reads the others."""

import numpy as np
import pytest
import torch

from bood_tasks.artifacts.spec import digest_of
from bood_tasks.detectors import outlier_filter
from bood_tasks.detectors.outliers import open_outliers
from bood_tasks.jobs import environment
from bood_tasks.jobs.job import Job
from bood_tasks.networks.pixels import MEAN, STD
from tests import fake_artifacts

CLASSES = ["cat", "dog"]
FACTS = {"size": 4, "kernel": "bilinear", "classes": CLASSES}
GREYS = [0, 40, 80, 120, 160, 200, 240]
LABELS = np.array([0, 1, 0, 1, 0, 1, 0])


def brightness(x):
    """Logits (m, 0) of a mean input of m: the brighter a picture, the surer."""
    m = x.flatten(1).mean(1)
    return torch.stack([m, torch.zeros_like(m)], 1)


def expected():
    """The confidences of plain grey pictures, by hand: the sigmoid of |m|."""
    m = np.array([((grey / 255 - np.array(MEAN)) / np.array(STD)).mean() for grey in GREYS])
    return 1 / (1 + np.exp(-np.abs(m)))


def shards(root, borders, *, side=4):
    pictures = np.broadcast_to(
        np.array(GREYS, np.uint8)[:, None, None, None], (len(GREYS), side, side, 3)
    )
    return [
        fake_artifacts.make(
            root, "images", settings={"start": a, "stop": b},
            arrays={"images": pictures[a:b], "labels": LABELS[a:b]},
            files={"outliers.json": {"classes": CLASSES}},
        )
        for a, b in borders
    ]  # fmt: skip


def run(root, monkeypatch, *, borders=((0, 7),), side=4, **changes):
    monkeypatch.setattr(outlier_filter, "load_model", lambda *_: brightness)
    settings = {"max_confidence": 0.75, "count": None, "crop": None} | changes
    inputs = {
        "outliers": shards(root, borders, side=side),
        "detector": fake_artifacts.make(root, "detector"),
        "dataset": fake_artifacts.make(root, "dataset", files={"dataset.json": FACTS}),
    }
    main = outlier_filter.main
    return fake_artifacts.run_stage(root, main, "outlier_filter", settings, inputs), inputs


def test_what_the_classifier_is_sure_of_is_dropped(tmp_path, monkeypatch):
    made, _ = run(tmp_path, monkeypatch)
    np.testing.assert_allclose(made["confidence"][:], expected(), rtol=1e-5)
    kept = np.flatnonzero(expected() <= 0.75)
    assert 0 < len(kept) < 7
    assert made["rows"][:].tolist() == kept.tolist()
    told = made.json("outlier_filter.json")
    for label, name in enumerate(CLASSES):
        assert told["kept"][name] == (LABELS[kept] == label).sum()
        assert told["kept"][name] + told["dropped"][name] == (label == LABELS).sum()
    assert made.rows == {"kept": len(kept), "dropped": 7 - len(kept)}


@pytest.mark.parametrize("batch", [1, 3, 250])
@pytest.mark.parametrize("borders", [((0, 3), (3, 7)), ((0, 1), (1, 2), (2, 7)), ((0, 7),)])
@pytest.mark.parametrize("rows_at_once", [2, 100])
def test_shard_borders_and_batches_change_nothing(
    tmp_path, monkeypatch, borders, batch, rows_at_once
):
    monkeypatch.setattr(environment, "run_setting", lambda name: batch)
    monkeypatch.setattr("bood_tasks.detectors.outliers.ROWS_AT_ONCE", rows_at_once)
    made, _ = run(tmp_path, monkeypatch, borders=borders, side=8)
    np.testing.assert_allclose(made["confidence"][:], expected(), rtol=1e-5)
    assert made["rows"][:].tolist() == np.flatnonzero(expected() <= 0.75).tolist()


def test_only_as_many_as_are_used_are_judged(tmp_path, monkeypatch):
    made, _ = run(tmp_path, monkeypatch, borders=((0, 3), (3, 7)), count=5)
    np.testing.assert_allclose(made["confidence"][:], expected()[:5], rtol=1e-5)


def test_a_killed_filter_goes_on_after_its_last_block(tmp_path, monkeypatch):
    monkeypatch.setattr(outlier_filter, "ROWS_PER_BLOCK", 2)
    monkeypatch.setattr("bood_tasks.detectors.outliers.ROWS_AT_ONCE", 2)
    judged, real = [], brightness

    def dies(x):
        judged.append(len(x))
        if sum(judged) == 6 and len(judged) == 3:
            raise KeyboardInterrupt
        return real(x)

    monkeypatch.setattr("tests.detectors.test_outlier_filter.brightness", dies)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, monkeypatch)
    made, _ = run(tmp_path, monkeypatch)
    np.testing.assert_allclose(made["confidence"][:], expected(), rtol=1e-5)
    assert sum(judged) == 6 + 3  # the third block again, and the last picture


def test_a_class_without_an_outlier_left_is_named(tmp_path, monkeypatch):
    lowest = float(np.sort(expected())[0])
    message = (
        r"max_confidence must leave an outlier of every class, .* leaves none of (cat|dog) \(0 of"
    )
    with pytest.raises(ValueError, match=message):
        run(tmp_path, monkeypatch, max_confidence=lowest + 1e-4)


def test_a_detector_that_diverged_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tests.detectors.test_outlier_filter.brightness", lambda x: x.flatten(1)[:, :2] * torch.nan
    )
    with pytest.raises(ValueError, match=r"outlier_filter\.row must name a row whose detector"):
        run(tmp_path, monkeypatch)


@pytest.mark.parametrize("side", [4, 8])
@pytest.mark.parametrize("borders", [((0, 3), (3, 7)), ((0, 7),)])
def test_the_detector_reads_the_kept_pictures_alone(tmp_path, monkeypatch, borders, side):
    made, inputs = run(tmp_path, monkeypatch, borders=borders, side=side)
    source = {"weight": 1.0, "artifacts": len(borders), "count": None}
    roles = {"outliers": inputs["outliers"], "outlier_filters": [made]}

    def opened(**more):
        job = Job({"sources": [source | more]}, roles, tmp_path, {}, "")
        ((rows, share),) = open_outliers(job, FACTS)
        return rows[:], share

    rows, share = opened(filtered=True)
    assert share == 1.0
    assert rows[:, 0, 0, 0].tolist() == [GREYS[row] for row in made["rows"][:]]
    assert rows.shape[1:] == (4, 4, 3)
    assert opened()[0][:, 0, 0, 0].tolist() == GREYS


def test_texts_are_filtered_as_one_class(tmp_path, monkeypatch):
    monkeypatch.setattr(
        outlier_filter, "load_model",
        lambda *_: lambda x: torch.stack([x[:, 0].float(), torch.zeros(len(x))], 1),
    )  # fmt: skip
    tokens = np.array([[0, 1], [5, 1], [1, 1]], np.int32)
    facts = {"classes": CLASSES, "vocabulary": "x", "vocabulary_size": 9}
    inputs = {
        "outliers": [
            fake_artifacts.make(
                tmp_path, "texts", arrays={"tokens": tokens, "labels": np.full(3, -1)},
                files={"outliers.json": {"classes": None, "vocabulary": "x"}},
            )
        ],
        "detector": fake_artifacts.make(tmp_path, "detector"),
        "dataset": fake_artifacts.make(tmp_path, "dataset", files={"dataset.json": facts}),
    }  # fmt: skip
    settings = {"max_confidence": 0.8, "count": None, "crop": None}
    made = fake_artifacts.run_stage(
        tmp_path, outlier_filter.main, "outlier_filter", settings, inputs
    )
    assert made["rows"][:].tolist() == [0, 2]
    assert made.json("outlier_filter.json")["dropped"] == {"texts": 1}
    source = {"weight": 1.0, "artifacts": 1, "count": None, "filtered": True}
    roles = {"outliers": inputs["outliers"], "outlier_filters": [made]}
    ((rows, _),) = open_outliers(Job({"sources": [source]}, roles, tmp_path, {}, ""), facts)
    assert rows.tolist() == tokens[[0, 2]].tolist()
    assert made.digest == digest_of(made.spec)
