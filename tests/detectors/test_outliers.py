"""What a detector may train on as outliers is looked at before it trains."""

import numpy as np
import PIL.Image
import pytest

from bood_tasks.datasets.pictures import KERNELS, drawn_kernel, fit_picture
from bood_tasks.detectors.outliers import open_mixing, open_outliers, require_pictures
from bood_tasks.jobs.job import Job
from tests import fake_artifacts

FACTS = {"size": 8, "kernel": "bilinear", "classes": ["a", "b"]}


def shards(folder, side=16, count=60):
    """Two shards of pictures of noise, and all of these."""
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    parts = [images[: count // 3], images[count // 3 :]]
    made = [
        fake_artifacts.make(folder, "images", settings={"k": k}, arrays={"images": part})
        for k, part in enumerate(parts)
    ]
    return made, images


def job_of(folder, made, **settings):
    source = {"weight": 1.0, "artifacts": len(made), "count": None}
    return Job({"sources": [source], "seed": 3} | settings, {"outliers": made}, folder, {}, "")


def test_outliers_that_show_nothing_are_refused_and_few_that_do_not_are_no_matter():
    pictures = np.zeros((200, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="all of here are one colour, 0; make them again"):
        require_pictures(pictures, "here")
    pictures[0, 3, 3] = 1
    require_pictures(pictures, "here")
    require_pictures(np.arange(3, dtype=np.uint8).repeat(192).reshape(3, 8, 8, 3), "here")


def test_kernels_are_drawn_by_each_items_own_stream_and_all_of_them():
    found = [drawn_kernel("detector", 0, k, seed=1) for k in range(2000)]
    assert set(found) == set(KERNELS) == {"nearest", "box", "bilinear", "bicubic", "lanczos"}
    assert min(map(found.count, KERNELS)) > 320
    assert found[77] == drawn_kernel("detector", 0, 77, seed=1)
    assert found != [drawn_kernel("detector", 0, k, seed=2) for k in range(2000)]


def test_each_outlier_is_shrunk_by_its_own_kernel(tmp_path):
    made, images = shards(tmp_path)
    ((rows, _),) = open_outliers(job_of(tmp_path, made, outlier_kernel="random"), FACTS)
    for number, (own, picture) in enumerate(zip(rows, images, strict=True)):
        kernel = drawn_kernel("detector", 0, number, seed=3)
        expected = fit_picture(PIL.Image.fromarray(picture), size=8, fit="resize", kernel=kernel)
        assert np.array_equal(own, expected)
    ((plain, _),) = open_outliers(job_of(tmp_path, made), FACTS)
    assert not np.array_equal(plain, rows)


def test_a_random_kernel_that_would_do_nothing_is_refused(tmp_path):
    made, _ = shards(tmp_path, side=8)
    with pytest.raises(ValueError, match=r"outlier_kernel must be image for outliers that have 8"):
        open_outliers(job_of(tmp_path, made, outlier_kernel="random"), FACTS)


def test_a_mixing_set_is_read_at_the_training_resolution(tmp_path):
    made, images = shards(tmp_path)
    how = {"rounds": 4, "beta": 3.0, "severity": 3.0}
    job = Job({"pixmix": how | {"count": 50}}, {"mixing": made}, tmp_path, {}, "")
    rows, found = open_mixing(job, FACTS)
    assert found == how
    assert rows.shape == (50, 8, 8, 3)
    expected = fit_picture(PIL.Image.fromarray(images[49]), size=8, fit="resize")
    assert np.array_equal(rows[49], expected)
    assert open_mixing(Job({}, {}, tmp_path, {}, ""), FACTS) is None


def test_of_the_id_data_set_training_pictures_are_mixed(tmp_path):
    parts = {name: np.full((4, 8, 8, 3), k, np.uint8) for k, name in enumerate(("test", "train"))}
    for part in parts.values():
        part[0, 0] = 9
    arrays = {f"{name}/images": part for name, part in parts.items()}
    made = fake_artifacts.make(tmp_path, "dataset", arrays=arrays)
    job = Job({"pixmix": {"rounds": 1, "count": None}}, {"mixing": [made]}, tmp_path, {}, "")
    assert np.array_equal(open_mixing(job, FACTS)[0][:], parts["train"])
