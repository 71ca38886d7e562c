"""Some classes of a data set: which they are, and that none of the others is among them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bood_tasks.datasets import dataset, tokens
from bood_tasks.datasets.folds import classes_of
from bood_tasks.jobs.job import Job
from tests import fake_artifacts

IMAGE = {"size": 4, "fit": "pad", "kernel": "bilinear"}
NAMES = ["ant", "bee", "cat", "dog", "eel"]
LABELS = {"train": [0, 1, 2, 3, 4] * 3, "validation": [4, 3, 2, 1, 0], "test": [2, 2, 1, 0, 3]}


@given(st.integers(1, 30), st.integers(2, 10))
def test_folds_part_the_classes(count, folds):
    out = [classes_of(count, fold=k, folds=folds, part="left_out") for k in range(folds)]
    assert sorted(n for left in out for n in left) == list(range(count))
    assert max(map(len, out)) - min(map(len, out)) <= 1
    for k, left in enumerate(out):
        kept = classes_of(count, fold=k, folds=folds, part="kept")
        assert sorted(kept + left) == list(range(count))


def source(root, labels=LABELS):
    """A data set of five classes; a picture's pixels are all its class's number."""
    arrays = {}
    for split, given_labels in labels.items():
        found = np.array(given_labels)
        arrays |= {
            f"{split}/images": np.broadcast_to(
                found[:, None, None, None], (len(found), 4, 4, 3)
            ).astype(np.uint8),
            f"{split}/labels": found,
            f"{split}/index": 100 + np.arange(len(found)),
        }
    return fake_artifacts.make(
        root, "dataset", arrays=arrays, files={"dataset.json": {"classes": NAMES}},
        settings={"name": "animals"},
    )  # fmt: skip


def fold(root, of, part, number=1, folds=2):
    settings = {
        "kind": "fold", "fold": number, "folds": folds, "part": part, "name": "x", "image": IMAGE,
    }  # fmt: skip
    return fake_artifacts.run_stage(root, dataset.main, "dataset", settings, {"of": of})


def test_kept_classes_keep_their_splits_and_count_from_0(tmp_path):
    kept = fold(tmp_path, source(tmp_path), "kept")
    assert kept.json("dataset.json")["classes"] == ["ant", "cat", "eel"]
    assert kept["train/labels"][:].tolist() == [0, 1, 2] * 3
    assert kept["train/images"][:, 0, 0, 0].tolist() == [0, 2, 4] * 3
    assert kept["validation/labels"][:].tolist() == [2, 1, 0]
    assert kept["test/index"][:].tolist() == [100, 101, 103]


def test_left_out_classes_have_their_validation_pictures_alone(tmp_path):
    out = fold(tmp_path, source(tmp_path), "left_out")
    assert out.json("dataset.json")["counts"] == {"test": 2}
    assert out["test/images"][:, 0, 0, 0].tolist() == [3, 1]
    assert out["test/index"][:].tolist() == [101, 103]
    assert "train/images" not in out


def test_too_few_classes_and_no_validation_split_are_refused_with_the_cure(tmp_path):
    with pytest.raises(ValueError, match=r"folds must leave 1 .* got 9 of 5 classes.*another"):
        fold(tmp_path, source(tmp_path), "left_out", number=8, folds=9)
    unheld = source(tmp_path, {name: LABELS[name] for name in ("train", "test")})
    with pytest.raises(ValueError, match="must have a validation split, and animals has none"):
        fold(tmp_path, unheld, "kept")


def test_texts_are_parted_as_pictures_are(tmp_path):
    arrays = {}
    for split, labels in LABELS.items():
        count = len(labels)
        arrays |= {
            f"{split}/tokens": np.repeat(np.array(labels, np.int32)[:, None], 3, 1),
            f"{split}/labels": np.array(labels), f"{split}/index": np.arange(count),
            f"{split}/length": np.full(count, 3),
        }  # fmt: skip
    of = fake_artifacts.make(
        tmp_path, "tokens", arrays=arrays,
        files={"dataset.json": {"classes": NAMES, "title": "animals"}}, settings={"name": "texts"},
    )  # fmt: skip

    settings = {"kind": "text_fold", "name": "x", "folds": 2, "fold": 0, "part": "kept"}
    job = Job(settings, {"of": of}, tmp_path, {}, "")
    splits, facts = tokens._of_fold(job)
    assert facts["classes"] == ["bee", "dog"]
    assert splits["train"]["tokens"][:, 0].tolist() == [1, 3] * 3
    assert splits["train"]["labels"].tolist() == [0, 1] * 3
