import numpy as np
import PIL.Image
import pytest

from bood_tasks.dataset import CORRUPTIONS, corrupt, fit_picture, make_dataset, resample
from bood_tasks.sources import DATA

IMAGE = {"size": 32, "fit": "pad"}


def npz(tmp_path, **more):
    rng = np.random.default_rng(0)
    labels = np.array([5, 7, 9] * 4)
    images = rng.integers(0, 256, (12, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=images, y=labels)
    settings = {
        "kind": "npz", "name": "d", "image": {"size": 8, "fit": "pad"},
        "train": ["x", "y"], "test": ["x", "y"], "classes": {"b": 5, "a": 9},
        "train_per_class": None, "validation_per_class": 1,
    }  # fmt: skip
    return images, settings | more


def test_npz_keeps_order_maps_labels_and_holds_out_the_last(tmp_path):
    images, settings = npz(tmp_path)
    splits, classes = make_dataset(settings, tmp_path / "d.npz")
    assert classes == ["a", "b"]
    assert splits["train"].index.tolist() == [0, 2, 3, 5, 6, 8]
    assert splits["train"].labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert splits["validation"].index.tolist() == [9, 11]
    assert splits["test"].index.tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
    assert np.array_equal(splits["train"].images[1, 1:7, 1:7, 2], images[2])
    assert splits["train"].images[1, 0].max() == 0


def test_npz_limits_the_training_split(tmp_path):
    _, settings = npz(tmp_path, train_per_class=1)
    assert make_dataset(settings, tmp_path / "d.npz")[0]["train"].index.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": ["z", "y"]}, "datasets.d.train must name arrays of d.npz, got 'z'; it holds"),
        ({"classes": {"a": 6}}, r"datasets.d.classes.a must be a label of d.npz, got 6"),
        ({"validation_per_class": 4}, "no images left in 'train'"),
    ],
)
def test_npz_settings_that_do_not_fit_the_file_are_refused(tmp_path, change, message):
    _, settings = npz(tmp_path, **change)
    with pytest.raises(ValueError, match=message):
        make_dataset(settings, tmp_path / "d.npz")


def test_truncated_npz_is_named(tmp_path):
    _, settings = npz(tmp_path)
    file = tmp_path / "d.npz"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"d.npz must be a whole .npz file"):
        make_dataset(settings, file)


def test_object_arrays_are_refused(tmp_path):
    _, settings = npz(tmp_path)
    np.savez(tmp_path / "d.npz", x=np.array([{}], object), y=np.array([5]))
    with pytest.raises(ValueError, match=r"plain arrays: .*allow_pickle"):
        make_dataset(settings, tmp_path / "d.npz")


def test_shipped_fashion_holds_no_held_out_class_in_training():
    with np.load(DATA / "fashion_mnist.npz") as file:
        assert set(file["y_train"].tolist()) == {0, 1, 2, 4, 5, 7, 8, 9}


def folder(tmp_path, names=("red", "blue"), count=40):
    for value, name in enumerate(names):
        (tmp_path / name).mkdir()
        for index in range(count):
            array = np.full((8, 8, 3), 10 * value + index % 10, np.uint8)
            PIL.Image.fromarray(array).save(tmp_path / name / f"{index}.png")
    return {
        "kind": "folder", "name": "f", "image": {"size": 8, "fit": "pad"},
        "validation": 0.2, "test": 0.2,
    }  # fmt: skip


def test_folder_splits_every_picture_once_and_adding_one_moves_no_other(tmp_path):
    settings = folder(tmp_path)
    splits, classes = make_dataset(settings, tmp_path)
    assert classes == ["blue", "red"]
    assert sorted(np.concatenate([s.index for s in splits.values()])) == list(range(80))
    assert all(len(splits[name].labels) >= 6 for name in ("train", "validation", "test"))
    assert set(splits["train"].images[splits["train"].labels == 1].ravel()) <= set(range(10))
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "red" / "zzz.png")
    after, _ = make_dataset(settings, tmp_path)
    for name, split in splits.items():
        assert set(split.index) <= set(after[name].index)


def test_flat_folder_is_all_test(tmp_path):
    settings = folder(tmp_path, names=("red",))
    splits, _ = make_dataset(settings, tmp_path / "red")
    assert list(splits) == ["test"]
    assert len(splits["test"].labels) == 40


def test_unreadable_pictures_are_named_in_one_list(tmp_path):
    settings = folder(tmp_path)
    for name in ("red/3.png", "blue/4.png"):
        file = tmp_path / name
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"2 unreadable: .*4\.png.*3\.png"):
        make_dataset(settings, tmp_path)


def test_a_class_without_pictures_in_a_split_is_named(tmp_path):
    settings = folder(tmp_path, count=2)
    with pytest.raises(ValueError, match=r"no image of .*fell into the"):
        make_dataset(settings, tmp_path)


@pytest.mark.parametrize(("side", "fit", "inside"), [(28, "pad", 28), (28, "resize", 32)])
def test_fit_pads_or_scales(side, fit, inside):
    out = fit_picture(PIL.Image.new("L", (side, side), 200), size=32, fit=fit)
    assert out.shape == (32, 32, 3)
    assert (out[:, 16, 0] == 200).sum() == inside


def test_fit_shrinks_a_large_picture_antialiased():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    out = fit_picture(PIL.Image.fromarray(stripes), size=32, fit="pad")
    assert abs(int(out[16, 16, 0]) - 127) < 30  # nearest-neighbour would give 0 or 255


def test_digits_are_scaled_up_inside_the_border():
    splits, classes = make_dataset({"kind": "digits", "name": "digits", "image": IMAGE})
    images = splits["test"].images
    assert images.shape == (1797, 32, 32, 3)
    assert len(classes) == 10
    assert images[:, :2].max() == images[:, :, -2:].max() == 0
    assert images.max() == 255


def test_noise_is_uniform_and_item_by_item():
    settings = {"kind": "noise", "name": "noise", "image": IMAGE, "count": 20}
    few = make_dataset(settings)[0]["test"].images
    more = make_dataset(settings | {"count": 30})[0]["test"].images
    assert np.array_equal(few, more[:20])
    counts = np.bincount(few.ravel(), minlength=256)
    assert counts.min() > 0.7 * few.size / 256


def test_corruptions_by_hand():
    rng = np.random.default_rng(1)
    images = np.repeat(rng.integers(0, 256, (12, 8, 8, 1), dtype=np.uint8), 3, axis=3)
    labels = np.arange(12) % 2
    out, kinds = corrupt(images, labels)
    assert kinds.tolist() == [*range(6), *range(6)]
    names = list(CORRUPTIONS)
    row = {name: names.index(name) for name in names}
    others = images[labels != labels[row["mixed"]]].astype(float)
    means = np.rint((images[row["mixed"]] + others) / 2)
    assert (means == out[row["mixed"]]).all((1, 2, 3)).any()
    assert np.array_equal(out[row["cut"]][:4], images[row["cut"]][:4])
    assert np.array_equal(
        np.sort(out[row["jigsaw"]].ravel()), np.sort(images[row["jigsaw"]].ravel())
    )
    assert not np.array_equal(out[row["jigsaw"]], images[row["jigsaw"]])
    assert np.array_equal(out[row["negative"]], 255 - images[row["negative"]])
    turned = images[row["quarter-turn"]]
    assert any(np.array_equal(out[row["quarter-turn"]], np.rot90(turned, k)) for k in (1, 3))


def test_phase_corruption_keeps_the_amplitude_spectrum():
    image = np.repeat(np.random.default_rng(0).random((16, 16, 1)), 3, axis=2)
    noise = CORRUPTIONS["phase"](image, image, np.random.default_rng(0))[..., 0]
    # phases of real noise are antisymmetric, so the result is real up to rounding
    np.testing.assert_allclose(
        np.abs(np.fft.fft2(noise)), np.abs(np.fft.fft2(image[..., 0])), atol=1e-9
    )


def test_resampling_keeps_shape_and_mean_and_loses_detail():
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    out = resample(images, size=8)
    assert out.shape == images.shape
    assert abs(out.mean() - images.mean()) < 3
    assert out.std() < images.std() / 2
