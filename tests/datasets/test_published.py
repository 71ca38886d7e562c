"""Every published data set, in small files of its real layout on disk."""

import gzip
import hashlib
import http.server
import os
import pickle
import re
import tarfile
from functools import partial

import numpy as np
import PIL.Image
import pytest

from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.datasets import download as downloading
from bood_tasks.datasets.dataset import main, open_published
from bood_tasks.datasets.pictures import read_picture
from bood_tasks.datasets.read_cifar import unpickle_plain
from bood_tasks.datasets.read_folders import ALIASES
from tests.datasets.serving import serving
from tests.published_files import idx

RNG = np.random.default_rng(0)


def settings_of(kind, **more):
    image = {"size": 32, "fit": "pad", "kernel": "bilinear"}
    return {
        "kind": kind, "name": "d", "image": image, "edition": "1", "train_per_class": None,
        "validation_per_class": 0, "max_unreadable": 0,
    } | more  # fmt: skip


def pictures(folder, names, size=(40, 30)):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def cifar_rows(count, classes):
    return RNG.integers(0, 256, (count, 3072), dtype=np.uint8), np.arange(count) % classes


def python_edition(folder, kind):
    """Pickles as published: protocol 2, a dict of text to array and list."""
    names = [f"name{k:02d}" for k in range(10)]
    folder.mkdir()
    files = ["train", "test"]
    if kind == "cifar10":
        files = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    content = {}
    for file in files:
        data, labels = cifar_rows(20, 10)
        key = "labels" if kind == "cifar10" else "fine_labels"
        record = {"data": data, key: labels.tolist(), "batch_label": "x", "filenames": ["a"] * 20}
        (folder / file).write_bytes(pickle.dumps(record, protocol=2))
        content[file] = data, labels
    meta = {"label_names": names} if kind == "cifar10" else {"fine_label_names": names}
    (folder / ("batches.meta" if kind == "cifar10" else "meta")).write_bytes(
        pickle.dumps(meta, protocol=2)
    )
    return content


def binary_edition(folder, kind):
    folder.mkdir()
    files = ["train", "test"]
    if kind == "cifar10":
        files = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    content = {}
    for file in files:
        data, labels = cifar_rows(20, 10)
        columns = [labels[:, None].astype(np.uint8), data]
        if kind == "cifar100":
            columns.insert(0, np.full((20, 1), 9, np.uint8))  # the coarse label
        (folder / f"{file}.bin").write_bytes(np.concatenate(columns, 1).tobytes())
        content[file] = data, labels
    meta = "batches.meta.txt" if kind == "cifar10" else "fine_label_names.txt"
    (folder / meta).write_text("".join(f"name{k:02d}\n" for k in range(10)))
    return content


@pytest.mark.parametrize(
    ("kind", "below", "write"),
    [
        ("cifar10", "cifar-10-batches-py", python_edition),
        ("cifar100", "cifar-100-python", python_edition),
        ("cifar10", "cifar-10-batches-bin", binary_edition),
        ("cifar100", "cifar-100-binary", binary_edition),
    ],
)
def test_cifar_in_both_editions(tmp_path, kind, below, write):
    content = write(tmp_path / below, kind)
    splits, classes = open_published(tmp_path, settings_of(kind))
    assert classes == [f"name{k:02d}" for k in range(10)]
    training = [content[name] for name in content if "test" not in name]
    expected = np.concatenate([data for data, _ in training]).reshape(-1, 3, 32, 32)
    assert len(splits["train"].labels) == len(expected)
    row = len(expected) - 3
    assert np.array_equal(splits["train"].read(row), expected[row].transpose(1, 2, 0))
    assert splits["train"].labels.tolist() == np.concatenate([y for _, y in training]).tolist()
    last = content["test" if kind == "cifar100" else "test_batch"]
    assert splits["test"].labels.tolist() == last[1].tolist()


def test_cifar_class_order_is_by_name(tmp_path):
    binary_edition(tmp_path / "cifar-100-binary", "cifar100")
    names = [f"name{k:02d}" for k in range(10)][::-1]
    (tmp_path / "cifar-100-binary" / "fine_label_names.txt").write_text("\n".join(names))
    splits, classes = open_published(tmp_path, settings_of("cifar100"))
    assert classes == sorted(names)
    assert splits["test"].labels[:3].tolist() == [9, 8, 7]


def test_cifar_truncated_binary_is_named(tmp_path):
    binary_edition(tmp_path / "cifar-100-binary", "cifar100")
    file = tmp_path / "cifar-100-binary" / "train.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"train.bin must hold rows of 3074 bytes"):
        open_published(tmp_path, settings_of("cifar100"))


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("value", [Evil(), {"data": Evil()}, {"data": np.array([Evil()], object)}])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_of_anything_but_plain_data_are_refused(value, protocol):
    with pytest.raises(
        pickle.UnpicklingError, match=r"(posix\.system, which is no plain data|which is no number)"
    ):
        unpickle_plain(pickle.dumps(value, protocol=protocol))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_plain_pickles_are_read(protocol):
    value = {
        "data": np.arange(6, dtype=np.uint8),
        "labels": [1, 2],
        "name": "x",
        "raw": b"\x00\xff",
    }
    found = unpickle_plain(pickle.dumps(value, protocol=protocol))
    assert np.array_equal(found.pop("data"), value.pop("data"))
    assert found == value


def test_truncated_pickle_is_named(tmp_path):
    python_edition(tmp_path / "cifar-100-python", "cifar100")
    file = tmp_path / "cifar-100-python" / "train"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"train must be CIFAR's pickle"):
        open_published(tmp_path, settings_of("cifar100"))


def test_svhn_label_ten_is_zero(tmp_path):
    from scipy.io import savemat

    images = RNG.integers(0, 256, (32, 32, 3, 20), dtype=np.uint8)
    labels = np.arange(1, 21)[:, None] % 10
    savemat(tmp_path / "test_32x32.mat", {"X": images, "y": np.where(labels == 0, 10, labels)})
    splits, classes = open_published(tmp_path, settings_of("svhn"))
    assert list(splits) == ["test"]
    assert [classes[k] for k in splits["test"].labels[:10]] == list("1234567890")
    assert np.array_equal(splits["test"].read(7), images[..., 7])


def imagenet(folder, wnids, train=3, val=2):
    for wnid in wnids:
        pictures(folder / "train" / wnid, [f"{wnid}_{k}.JPEG" for k in range(train)])
        pictures(folder / "val" / wnid, [f"ILSVRC2012_val_{k:08d}.JPEG" for k in range(val)])


def test_imagenet_tree_reads_validation_as_test(tmp_path):
    imagenet(tmp_path, ["n02", "n01"])
    splits, classes = open_published(tmp_path, settings_of("imagenet1k", validation_per_class=1))
    assert classes == ["n01", "n02"]
    assert splits["train"].labels.tolist() == [0, 0, 1, 1]
    assert splits["validation"].index.tolist() == [2, 5]
    assert splits["test"].labels.tolist() == [0, 0, 1, 1]
    assert splits["test"].name(2).endswith("val/n02/ILSVRC2012_val_00000000.JPEG")


def test_imagenet100_takes_its_classes_out_of_a_larger_tree(tmp_path):
    import json

    wnids = sorted(json.loads(ALIASES.read_text())["imagenet100"])
    assert len(wnids) == 100
    imagenet(tmp_path, [*wnids, "n99999999"], train=1, val=1)
    splits, classes = open_published(tmp_path, settings_of("imagenet100"))
    assert classes == wnids
    assert len(splits["train"].labels) == len(splits["test"].labels) == 100
    (tmp_path / "val" / wnids[3]).rename(tmp_path / "val" / "other")
    with pytest.raises(ValueError, match=rf"it lacks 1: {wnids[3]}; sort its pictures"):
        open_published(tmp_path, settings_of("imagenet100"))


LAYOUTS = {
    "places365": ["val_256/Places365_val_00000001.jpg", "val_256/Places365_val_00000002.jpg"],
    "lsun_c": ["LSUN/test/0.png", "LSUN/test/1.png"],
    "lsun_r": ["LSUN_resize/test/0.png", "LSUN_resize/test/1.png"],
    "isun": ["iSUN/iSUN_patches/1.jpeg", "iSUN/iSUN_patches/2.jpeg"],
    "dtd": ["dtd/images/banded/banded_0002.jpg", "dtd/images/dotted/dotted_0001.jpg"],
    "inaturalist": ["iNaturalist/images/a.jpg", "iNaturalist/images/b.jpg"],
    "sun": ["SUN/images/a.jpg", "SUN/images/b.jpg"],
    "places": ["Places/images/a.jpg", "Places/images/b.jpg"],
    "ninco": ["NINCO/NINCO_OOD_classes/amphiuma/1.jpg", "NINCO/NINCO_OOD_classes/bread/2.jpg"],
    "ssb_hard": ["ssb_hard/n00470682/1.JPEG", "ssb_hard/n00470966/2.JPEG"],
    "tinyimagenet_crop": ["Imagenet/test/0.png", "Imagenet/test/1.png"],
    "tinyimagenet_resize": ["Imagenet_resize/test/0.png", "Imagenet_resize/test/1.png"],
    "tinyimagenet": [
        "tiny-imagenet-200/train/n01443537/images/a.JPEG",
        "tiny-imagenet-200/train/n01629819/images/b.JPEG",
    ],
    "imagenet_a": ["imagenet-a/n01498041/0.jpg", "imagenet-a/n01531178/1.jpg"],
    "imagenet_r": ["imagenet-r/n01443537/art_0.jpg", "imagenet-r/n01484850/art_1.jpg"],
    "openimage_o": ["images/0a1b2c3d4e5f6071.jpg", "images/1a1b2c3d4e5f6071.jpg"],
    "imagenet_o": ["imagenet-o/n01443537/x.JPEG", "imagenet-o/n01704323/y.JPEG"],
}


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("extracted", ["as published", "one level up"])
def test_folder_data_sets_in_their_layout(tmp_path, kind, extracted):
    names = LAYOUTS[kind]
    if extracted == "one level up":
        names = [name.split("/", 1)[1] for name in names]
    pictures(tmp_path, names)
    (tmp_path / "README.txt").write_text("no picture")
    splits, _ = open_published(tmp_path, settings_of(kind))
    assert list(splits) == ["test"]
    rows = splits["test"]
    assert len(rows.labels) == 2
    assert [rows.name(i).rsplit("/", 1)[1] for i in (0, 1)] == [
        name.split("/")[-1] for name in names
    ]
    image = read_picture(rows, 1, size=32, fit="resize")
    assert image.shape == (32, 32, 3)
    assert image.std() > 10


@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_mnist_is_read_from_its_gzipped_file(tmp_path, below):
    images = RNG.integers(0, 256, (5, 28, 20), dtype=np.uint8)
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    (tmp_path / below / "t10k-images-idx3-ubyte.gz").write_bytes(idx(images))
    splits, _ = open_published(tmp_path, settings_of("mnist"))
    assert list(splits) == ["test"]
    assert np.array_equal(splits["test"].read(4), images[4])
    picture = read_picture(splits["test"], 0, size=32, fit="pad")
    assert np.array_equal(picture[2:30, 6:26], np.repeat(images[0][..., None], 3, axis=2))


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b""), idx(RNG.integers(0, 9, (5, 4, 4), dtype=np.uint8))[:-9],
     gzip.compress(np.array([2051, 5, 4, 4], ">u4").tobytes() + bytes(79)),
     gzip.compress(np.array([2049, 5, 4, 4], ">u4").tobytes() + bytes(80))],
    ids=["no gzip", "empty", "cut", "a pixel too few", "labels"],
)  # fmt: skip
def test_mnist_damaged_is_named(tmp_path, content):
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte.gz must be a gzipped idx file"):
        open_published(tmp_path, settings_of("mnist"))


def test_test_count_takes_some_pictures_always_the_same(tmp_path):
    images = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(idx(images))

    def taken(count):
        splits, _ = open_published(tmp_path, settings_of("mnist", test_count=count))
        rows = splits["test"]
        assert all(np.array_equal(rows.read(i), images[k]) for i, k in enumerate(rows.index))
        return rows.index.tolist()

    assert taken(None) == taken(40) == taken(99) == list(range(40))
    some = taken(10)
    assert some == taken(10) == sorted(set(some))
    assert len(some) == 10
    assert some != list(range(10))  # not the first ones: files are often sorted by class


def test_random_images_stay_on_disk(tmp_path):
    images = RNG.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "300K_random_images.npy", images)
    splits, _ = open_published(tmp_path, settings_of("random_images"))
    assert np.array_equal(splits["test"].read(29), images[29])
    np.save(tmp_path / "300K_random_images.npy", images.astype(float))
    with pytest.raises(ValueError, match=r"must be uint8 \[n, h, w, 3\], got float64"):
        open_published(tmp_path, settings_of("random_images"))


def test_random_images_that_are_cut_short_are_named(tmp_path):
    file = tmp_path / "300K_random_images.npy"
    np.save(file, RNG.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"300K_random_images\.npy"):
        open_published(tmp_path, settings_of("random_images"))


def test_goes_samples_are_turned_as_pytorch_ood_turns_them(tmp_path):
    from pytorch_ood.dataset.img import CIFAR100GAN

    images = RNG.integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    file = tmp_path / "samples-50.0.npz"
    np.savez(file, x=images, y=np.arange(5))
    theirs = CIFAR100GAN(str(tmp_path))
    splits, _ = open_published(tmp_path, settings_of("cifar100_gan"))
    assert len(splits["test"].labels) == len(theirs) == 5
    for i in range(5):
        assert np.array_equal(splits["test"].read(i), np.asarray(theirs[i][0]))
    np.savez(file, x=images.transpose(0, 2, 3, 1))
    with pytest.raises(ValueError, match=r"must hold x, uint8 \[n, 3, h, w\], got uint8 \[5, 32"):
        open_published(tmp_path, settings_of("cifar100_gan"))
    np.savez(file, y=np.arange(5))
    with pytest.raises(ValueError, match="got none"):
        open_published(tmp_path, settings_of("cifar100_gan"))


def test_goes_samples_have_pytorch_oods_address_and_checksum():
    from pytorch_ood.dataset.img import CIFAR100GAN

    given = (CIFAR100GAN.url[50.0], CIFAR100GAN.md5[50.0])
    assert CATALOGUE["cifar100_gan"].sources == {CIFAR100GAN.filename[50.0]: given}


def test_random_images_have_pytorch_oods_address_and_checksum():
    from pytorch_ood.dataset.img import TinyImages300k

    given = (TinyImages300k.url, TinyImages300k.md5)
    assert CATALOGUE["random_images"].sources == {TinyImages300k.filename: given}


def test_every_published_data_set_is_tested_here():
    tested = {"cifar10", "cifar100", "svhn", "mnist", "imagenet100", "imagenet1k"}
    tested |= {"random_images", "cifar100_gan"}
    assert set(CATALOGUE) == tested | set(LAYOUTS)


@pytest.mark.parametrize("kind", CATALOGUE)
def test_missing_data_set_says_what_was_expected_where(tmp_path, kind):
    folder = tmp_path / "absent"
    assert not CATALOGUE[kind].holds(folder)
    with pytest.raises(FileNotFoundError) as caught:
        open_published(folder, settings_of(kind))
    text = str(caught.value)
    for part in (str(folder), CATALOGUE[kind].layout, CATALOGUE[kind].published_at, "run.data"):
        assert part in text
    assert ("run.download: true" in text) == CATALOGUE[kind].downloadable


def test_nothing_is_fetched_unless_asked_for(tmp_path, monkeypatch):
    fetched = []

    def fetch(kind, folder):
        fetched.append(kind)
        binary_edition(folder / "cifar-100-binary", "cifar100")

    monkeypatch.setattr("bood_tasks.datasets.dataset.download", fetch)
    with pytest.raises(FileNotFoundError):
        open_published(tmp_path, settings_of("cifar100"))
    assert not fetched
    monkeypatch.setenv("BOOD_RUN", '{"download": true}')
    assert len(open_published(tmp_path, settings_of("cifar100"))[1]) == 10
    assert fetched == ["cifar100"]


FETCHED = sorted(kind for kind, entry in CATALOGUE.items() if entry.downloadable)


@pytest.mark.parametrize("kind", FETCHED)
def test_what_can_be_fetched_has_an_address_and_a_checksum(kind):
    found = list(downloading._files(kind))
    assert found
    for address, name, checksum in found:
        assert re.fullmatch(r"https?://\S+", address)
        assert re.fullmatch(r"[0-9a-f]{32}", checksum)
        known = [*CATALOGUE[kind].files, *downloading.ARCHIVES]
        assert (name or address).endswith((*known, ".mat"))


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The address below which this machine serves the test's folder."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    monkeypatch.setattr(handler.func, "log_message", lambda *_: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(handler) as address:
        yield address


def test_an_archive_is_checked_and_unpacked(tmp_path, monkeypatch, served):
    pictures(tmp_path, ["val_256/Places365_val_00000001.jpg"])
    archive = tmp_path / "val_256.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "val_256", "val_256")
    checksum = hashlib.md5(archive.read_bytes()).hexdigest()

    def fetch(md5):
        file = (f"{served}/{archive.name}", None, md5)
        monkeypatch.setattr(downloading, "_files", lambda kind: [file])
        downloading.download("places365", tmp_path / "data")

    with pytest.raises(ValueError, match="must have the MD5"):
        fetch("0" * 32)
    assert not CATALOGUE["places365"].holds(tmp_path / "data")
    fetch(checksum)
    assert CATALOGUE["places365"].holds(tmp_path / "data")


def test_published_data_set_through_the_command_line(tmp_path, monkeypatch):
    content = binary_edition(tmp_path / "cifar-100-binary", "cifar100")
    monkeypatch.chdir(tmp_path)
    spec = Spec("dataset", "d", settings_of("cifar100", validation_per_class=1))
    main(["--out", spec.manifest, "--spec", to_json(spec.identity()), "--source", str(tmp_path)])
    artifact = Artifact(spec.manifest)
    facts = artifact.json("dataset.json")
    assert facts["title"] == "CIFAR-100"
    assert facts["counts"] == {"train": 10, "validation": 10, "test": 20}
    assert facts["kernel"] == "bilinear"
    expected = content["test"][0].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(artifact["test/images"][:], expected)
    assert "d (CIFAR-100)" in CATALOGUE["cifar100"].missing("d", tmp_path)
