from pathlib import Path

import numpy as np
import pytest
import torch

from bood_tasks.jobs.job import Job
from bood_tasks.synthesis.images import assign_vectors
from bood_tasks.synthesis.shards import each_shard, item_noise


def test_image_i_of_a_class_uses_vector_i_mod_n():
    labels = np.array([1, 0, 1, 0, 1])  # class a has rows 1, 3; class b has rows 0, 2, 4
    which, items, vectors = assign_vectors(labels, ["a", "b"], start=0, stop=4)
    assert which.tolist() == [0, 1] * 4
    assert items.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert vectors.tolist() == [1, 0, 3, 2, 1, 4, 3, 0]


def test_shards_are_cut_from_one_sequence():
    labels = np.array([0, 0, 1, 1, 1])
    whole = assign_vectors(labels, ["a", "b"], start=0, stop=10)
    parts = [assign_vectors(labels, ["a", "b"], start=s, stop=e) for s, e in ((0, 3), (3, 10))]
    for index in range(3):
        joined = np.concatenate([part[index] for part in parts])
        assert joined.tolist() == whole[index].tolist()


def test_class_without_a_vector_is_named():
    with pytest.raises(ValueError, match=r"none for b; raise ood_features.rate"):
        assign_vectors(np.array([0, 0]), ["a", "b"], start=0, stop=1)


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (-1, 2)])
def test_empty_or_negative_shard_range_is_refused(start, stop):
    job = Job({"start": start, "stop": stop}, {}, Path("x"), {}, "")
    with pytest.raises(ValueError, match="a shard must cover"):
        each_shard(job, lambda shard: pytest.fail(f"made {shard}"))


def test_noise_belongs_to_the_item_not_to_its_place():
    items = [4, 5, 6]
    together = item_noise((4, 2, 2), 0, "images", ["a", "b", "a"], items)
    alone = item_noise((4, 2, 2), 0, "images", ["b"], items[1:2])
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0], together[2])
    assert not torch.equal(alone, item_noise((4, 2, 2), 1, "images", ["b"], items[1:2]))
    assert not torch.equal(alone, item_noise((4, 2, 2), 0, "images", ["a"], items[1:2]))


def test_vectors_of_no_class_are_refused():
    with pytest.raises(ValueError, match="must be below 2, one a class, got 99"):
        assign_vectors(np.array([0, 1, 99]), ["a", "b"], start=0, stop=1)
