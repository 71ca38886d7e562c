import hashlib
import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.datasets import dataset
from bood_tasks.datasets.dataset import block_shape, open_dataset, require_readable
from bood_tasks.datasets.derived import CORRUPTIONS, corrupt, resample
from bood_tasks.datasets.pictures import RANDOM, drawn_kernel, fit_picture, read_picture

IMAGE = {"size": 32, "fit": "pad", "kernel": "bilinear"}


def make_dataset(settings, source=None):
    """Open a data set and read it whole."""
    splits, classes = open_dataset(settings, source)
    image = {"fit": "pad"} | settings["image"]
    found = {}
    for name, rows in splits.items():
        pictures = [read_picture(rows, i, **image) for i in range(len(rows.labels))]
        require_readable([item for item in pictures if isinstance(item, str)], settings)
        found[name] = SimpleNamespace(
            images=np.stack(pictures), labels=rows.labels, index=rows.index
        )
    return found, classes


def materialise(tmp_path, monkeypatch, settings, source):
    """Run the stage by its command line, the artifact tree below tmp_path."""
    monkeypatch.chdir(tmp_path)
    spec = Spec("dataset", settings["name"], settings, source=str(source))
    dataset.main(
        ["--out", spec.manifest, "--spec", to_json(spec.identity()), "--source", str(source)]
    )
    return Artifact(spec.manifest)


def test_pictures_are_shrunk_by_kernels_of_their_own(tmp_path, monkeypatch):
    """The kernel is that of a picture's place in the source: a set cut short keeps them."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(12):
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    image = {"size": 8, "fit": "resize", "kernel": "bilinear"}
    settings = {
        "kind": "folder", "name": "photos", "image": image, "shrink": "random", "role": "ood",
        "max_unreadable": 0, "max_pixels": 10**6,
    }  # fmt: skip
    made = materialise(tmp_path, monkeypatch, settings, folder)
    for number, found in enumerate(made["test/images"][:]):
        kernel = drawn_kernel("dataset", number)
        with PIL.Image.open(folder / f"{number:02d}.png") as picture:
            expected = fit_picture(picture, size=8, fit="resize", kernel=kernel)
        assert np.array_equal(found, expected)
    assert made.json("dataset.json")["kernel"] == "random"
    rows = open_dataset(settings, folder)[0]["test"].pick(np.array([5]))
    own = read_picture(rows, 0, **image | {"kernel": RANDOM})
    assert np.array_equal(own, made["test/images"][5])


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
    with np.load(EMBEDDED / "fashion_mnist.npz") as file:
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
    splits, _ = make_dataset(settings | {"role": "ood"}, tmp_path / "red")
    assert list(splits) == ["test"]
    assert len(splits["test"].labels) == 40
    with pytest.raises(ValueError, match="must have a folder of each class to be the ID data set"):
        make_dataset(settings, tmp_path / "red")


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


def test_split_folders_are_kept_and_the_missing_split_is_cut_out_of_training(tmp_path):
    for split, count in (("train", 40), ("val", 3)):
        (tmp_path / split).mkdir()
        folder(tmp_path / split, count=count)
    settings = {"kind": "folder", "name": "f", "image": {"size": 8}, "validation": 0.2, "test": 0.2}
    splits, classes = make_dataset(settings, tmp_path)
    assert classes == ["blue", "red"]
    assert len(splits["validation"].labels) == 6
    assert len(splits["train"].labels) + len(splits["test"].labels) == 80
    assert len(splits["test"].labels) > 6
    (tmp_path / "val" / "green").mkdir()
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "val" / "green" / "1.png")
    with pytest.raises(ValueError, match="same classes in every split, got green in val alone"):
        make_dataset(settings, tmp_path)


def test_unreadable_pictures_within_the_limit_are_left_out_and_counted(tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    settings = folder(pictures) | {"max_unreadable": 2}
    for name in ("red/3.png", "blue/4.png"):
        (pictures / name).write_bytes((pictures / name).read_bytes()[:40])
    artifact = materialise(tmp_path, monkeypatch, settings, pictures)
    facts = artifact.json("dataset.json")
    assert facts["unreadable"] == 2
    assert sum(facts["counts"].values()) == 78
    names = sorted(f"{name}/{k}.png" for name in ("blue", "red") for k in range(40))
    for split, count in facts["counts"].items():
        index, images = artifact[f"{split}/index"][:], artifact[f"{split}/images"][:]
        assert len(images) == len(index) == count
        for row, image in zip(index, images, strict=True):
            assert names[row] not in ("red/3.png", "blue/4.png")
            assert np.array_equal(image, np.asarray(PIL.Image.open(pictures / names[row])))
    with pytest.raises(ValueError, match=r"2 unreadable.*max_unreadable \(now 1\)"):
        materialise(tmp_path, monkeypatch, settings | {"max_unreadable": 1}, pictures)


def test_training_pictures_are_stored_whole_beside_where_asked(tmp_path, monkeypatch):
    files = [tmp_path / f"p/{name}/{k:02d}.png" for name in ("a", "b") for k in range(30)]
    for k, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        ramp = np.linspace(0, 255, 10 + k, dtype=np.uint8)  # from one end to the other
        PIL.Image.fromarray(np.tile(ramp, (10, 1))).save(file)
    files[5].write_bytes(files[5].read_bytes()[:40])
    image = {"size": 8, "fit": "resize", "kernel": "bilinear"}
    settings = {
        "kind": "folder", "name": "f", "image": image, "validation": 0.2, "test": 0.2,
        "max_unreadable": 1,
    }  # fmt: skip
    plain = materialise(tmp_path, monkeypatch, settings, tmp_path / "p")
    both = materialise(tmp_path, monkeypatch, settings | {"whole": True}, tmp_path / "p")
    assert np.array_equal(plain["train/images"][:], both["train/images"][:])
    assert "train/whole" not in plain
    assert "test/whole" not in both
    assert both["train/aspect"].dtype == np.float32
    for row, whole, aspect in zip(
        *(both[f"train/{part}"][:] for part in ("index", "whole", "aspect")), strict=True
    ):
        picture = PIL.Image.open(files[row])
        assert aspect == np.float32(picture.width / picture.height)
        assert np.array_equal(whole, fit_picture(picture, **image | {"fit": "squash"}))
    first, second = (item.json("dataset.json")["content"] for item in (plain, both))
    assert [name for name in first if first[name] != second[name]] == ["train"]


def test_mended_pictures_are_read_by_the_next_try(tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    settings = folder(pictures) | {"max_unreadable": 0}
    whole = (pictures / "red/3.png").read_bytes()
    (pictures / "red/3.png").write_bytes(whole[:40])
    with pytest.raises(ValueError, match="1 unreadable"):
        materialise(tmp_path, monkeypatch, settings, pictures)
    (pictures / "red/3.png").write_bytes(whole)
    artifact = materialise(tmp_path, monkeypatch, settings, pictures)
    assert sum(artifact.json("dataset.json")["counts"].values()) == 80


@pytest.mark.long
def test_a_killed_reader_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    settings = {
        "kind": "noise", "name": "n", "image": {"size": 32, "fit": "pad", "kernel": "bilinear"},
        "count": 12_000, "distribution": "uniform", "size": None,
    }  # fmt: skip
    whole = materialise(tmp_path, monkeypatch, settings, "")
    other = tmp_path / "other"
    other.mkdir()
    spec = Spec("dataset", "n", settings)
    command = [sys.executable, "-m", "bood_tasks.jobs", "--out", spec.manifest]
    command += ["--spec", to_json(spec.identity())]
    note = other / spec.manifest.replace("manifest.json", ".progress/test.json")
    job = subprocess.Popen(command, cwd=other, env={"PYTHONPATH": str(EMBEDDED.parents[1])})
    while job.poll() is None and not note.is_file():
        time.sleep(0.02)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert json.loads(note.read_text())["read"] == [10_000]
    monkeypatch.chdir(other)
    dataset.main(command[3:])
    assert Artifact(spec.manifest).files == whole.files


def test_content_names_pixels_and_labels(tmp_path, monkeypatch):
    _, settings = npz(tmp_path)
    first = materialise(tmp_path, monkeypatch, settings, tmp_path / "d.npz")
    content = first.json("dataset.json")["content"]
    images, labels = first["test/images"][:], first["test/labels"][:]
    block = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert content["test"] == hashlib.sha256(block.encode()).hexdigest()
    assert len(set(content.values())) == 3


@pytest.mark.parametrize("size", [8, 32, 224, 256, 1024])
def test_blocks_hold_whole_chunks_and_fit_in_memory(size):
    chunk, block = block_shape(size)
    assert block % chunk == 0
    assert chunk == 1 or chunk * 3 * size**2 <= 2**19
    assert block == chunk or block * 3 * size**2 <= 2**28


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos", "box"])
def test_kernels_differ_and_keep_the_mean(kernel):
    picture = PIL.Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    )
    plain = fit_picture(picture, size=32, fit="resize").astype(float)
    other = fit_picture(picture, size=32, fit="resize", kernel=kernel).astype(float)
    assert abs(plain.mean() - other.mean()) < 1
    assert not np.array_equal(plain, other)


@pytest.mark.parametrize(("side", "fit", "inside"), [(28, "pad", 28), (28, "resize", 32)])
def test_fit_pads_or_scales(side, fit, inside):
    out = fit_picture(PIL.Image.new("L", (side, side), 200), size=32, fit=fit)
    assert out.shape == (32, 32, 3)
    assert (out[:, 16, 0] == 200).sum() == inside


def test_squashed_is_torchvisions_resize_to_both_sides():
    from torchvision.transforms import Resize

    rng = np.random.default_rng(0)
    picture = PIL.Image.fromarray(rng.integers(0, 256, (50, 90, 3), dtype=np.uint8))
    out = fit_picture(picture, size=32, fit="squash")
    assert np.array_equal(out, np.asarray(Resize((32, 32))(picture)))
    small = picture.resize((20, 10))
    assert np.array_equal(
        fit_picture(small, size=32, fit="squash"), np.asarray(Resize((32, 32))(small))
    )


def test_noise_of_another_size_is_resized_as_every_picture():
    settings = {
        "kind": "noise", "name": "noise", "count": 3, "distribution": "uniform", "size": 224,
        "image": {"size": 256, "fit": "resize", "kernel": "bilinear"},
    }  # fmt: skip
    images = make_dataset(settings)[0]["test"].images
    assert images.shape == (3, 256, 256, 3)
    plain = make_dataset(settings | {"size": None})[0]["test"].images
    assert images.std() < 0.9 * plain.std()  # enlarging smooths


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
    settings = {
        "kind": "noise", "name": "noise", "image": IMAGE, "count": 20, "distribution": "uniform",
        "size": None,
    }  # fmt: skip
    few = make_dataset(settings)[0]["test"].images
    more = make_dataset(settings | {"count": 30})[0]["test"].images
    assert np.array_equal(few, more[:20])
    counts = np.bincount(few.ravel(), minlength=256)
    assert counts.min() > 0.7 * few.size / 256


def test_gaussian_noise_has_its_mean_and_deviation():
    settings = {
        "kind": "noise", "name": "noise", "image": IMAGE, "count": 20, "distribution": "gaussian",
        "size": None,
    }  # fmt: skip
    values = make_dataset(settings)[0]["test"].images.astype(float)
    assert abs(values.mean() - 127.5) < 1
    assert 58 < values.std() < 63.75  # a twentieth is clipped


def test_shipped_pictures_are_unchanged_by_the_reader():
    settings = {
        "kind": "npz", "name": "near", "image": IMAGE, "train": None, "test": ["x_test", "y_test"],
        "classes": {"dress": 3, "shirt": 6}, "train_per_class": None, "validation_per_class": 0,
    }  # fmt: skip
    splits, _ = make_dataset(settings, EMBEDDED / "fashion_mnist.npz")
    with np.load(EMBEDDED / "fashion_mnist.npz") as file:
        expected = file["x_test"][np.isin(file["y_test"], (3, 6))]
    assert np.array_equal(splits["test"].images[:, 2:30, 2:30, 1], expected)
    assert splits["test"].images.sum() == 3 * expected.astype(np.int64).sum()


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


def test_what_was_read_is_summed_up_in_the_artifact_and_the_log(tmp_path, monkeypatch, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    settings = folder(pictures) | {"max_unreadable": 1}
    (pictures / "red/3.png").write_bytes(b"")
    (pictures / "red/notes.txt").write_text("x")
    (pictures / "blue/.DS_Store").write_text("x")
    PIL.Image.new("RGB", (9, 9)).save(pictures / "loose.png")
    PIL.Image.new("RGBA", (9, 9)).save(pictures / "red/hole.png")
    read = materialise(tmp_path, monkeypatch, settings, pictures).json("dataset.json")["read"]
    assert read["left_out"] == {
        "beside the folders of classes": 1, "hidden files and those of tools": 1,
        "of another kind (.txt)": 1,
    }  # fmt: skip
    assert read["unreadable"] == 1
    assert read["converted"] == {"with transparency, laid on white": 1}
    assert sum(sum(counts.values()) for counts in read["classes"].values()) == 80
    said = capsys.readouterr().out
    assert "left out: 1 of another kind (.txt): 'pictures/red/notes.txt'" in said.replace(
        f"{tmp_path}/", ""
    )
    assert "1 with transparency, laid on white" in said
    assert "unreadable: " in said


def test_unreadable_pictures_may_not_empty_a_class(tmp_path, monkeypatch):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    settings = folder(pictures) | {"max_unreadable": 100}
    for file in (pictures / "red").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="every class in its train split, got none of red"):
        materialise(tmp_path, monkeypatch, settings, pictures)


def test_fewer_pictures_than_published_are_told(tmp_path, monkeypatch):
    (tmp_path / "dtd/images/banded").mkdir(parents=True)
    PIL.Image.new("RGB", (9, 9)).save(tmp_path / "dtd/images/banded/1.jpg")
    settings = {"kind": "dtd", "name": "d", "image": IMAGE, "train_per_class": None,
                "validation_per_class": 0}  # fmt: skip
    made = materialise(tmp_path, monkeypatch, settings, tmp_path / "dtd")
    assert made.json("dataset.json")["read"]["published"] == {"test": 5640}
