"""What our readers give equals the pictures in published files, bit for bit; real if there."""

import numpy as np
import PIL.Image
import pytest
import torchvision.transforms.functional as reference

from bood_tasks.catalogue.corpora import PUBLISHED
from bood_tasks.datasets.dataset import open_published
from bood_tasks.datasets.pictures import fit_picture, read_picture
from bood_tasks.datasets.read_texts import read_published
from tests import published_files as files
from tests.realdata import needs_realdata
from tests.workflow.small_presets import SMALL, used_kinds

pytestmark = pytest.mark.long  # an archive of real pictures is read from its start alone
SETTINGS = {"name": "d", "train_per_class": None, "validation_per_class": 0, "max_unreadable": 0}
UNCHANGED = {"size": 32, "fit": "resize"}  # 32 x 32 stays as it is


def read(folder, kind):
    return open_published(folder, SETTINGS | {"kind": kind})


def given(rows, **image):
    """Return all pictures of a split as a network's data set holds them."""
    found = [read_picture(rows, i, **image) for i in range(len(rows.labels))]
    assert not [item for item in found if isinstance(item, str)]
    return np.stack(found)


def test_every_kind_that_a_paper_preset_reads_has_a_writer():
    arrays = {"cifar10", "cifar100", "svhn", "random_images", "cifar100_gan"}
    written = {*files.FOLDERS, *arrays, "imagenet100", "imagenet1k", *PUBLISHED}
    assert set().union(*map(used_kinds, SMALL.values())) <= written


@pytest.mark.parametrize("edition", ["python", "binary"])
@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_cifar(tmp_path, kind, edition):
    files.write_cifar(tmp_path, kind, edition=edition, train=3, test=2)
    splits, classes = read(tmp_path, kind)
    assert classes == files.cifar_names(kind)
    for split, count in (("train", 3), ("test", 2)):
        images, labels = files.cifar_pictures(kind, split, count)
        assert np.array_equal(given(splits[split], **UNCHANGED), images)
        assert splits[split].labels.tolist() == labels.tolist()


def test_svhn(tmp_path):
    files.write_svhn(tmp_path / "svhn", 12)
    splits, classes = read(tmp_path / "svhn", "svhn")
    assert np.array_equal(given(splits["test"], **UNCHANGED), files.small_pictures("svhn", 12))
    assert splits["test"].labels.tolist() == [*range(1, 10), 0, 1, 2]  # 10 stands for the digit 0
    assert classes == list("0123456789")


def test_samples(tmp_path):
    files.write_samples(tmp_path / "s", 9)
    splits, _ = read(tmp_path / "s", "cifar100_gan")
    assert np.array_equal(
        given(splits["test"], **UNCHANGED), files.small_pictures("cifar100_gan", 9)
    )


def test_random_images(tmp_path):
    files.write_random_images(tmp_path / "r", 9)
    splits, _ = read(tmp_path / "r", "random_images")
    assert np.array_equal(
        given(splits["test"], **UNCHANGED), files.small_pictures("random_images", 9)
    )


@pytest.mark.parametrize("kind", files.FOLDERS)
def test_folders(tmp_path, kind):
    written = files.write_folder(tmp_path, kind, 7)
    splits, classes = read(tmp_path, kind)
    expected = {path.as_posix(): np.array(PIL.Image.open(path).convert("RGB")) for path in written}
    rows = splits["test"]
    assert sorted(map(rows.name, range(7))) == sorted(expected)
    if kind in files.SMALL:
        for i in range(7):
            assert np.array_equal(given(rows, **UNCHANGED)[i], expected[rows.name(i)])
    pngs = [path for path in written if path.suffix == ".png"]
    for picture, path in zip(files.small_pictures(kind, 7), pngs, strict=False):
        assert np.array_equal(expected[path.as_posix()], picture)  # PNG: to the bit of the source
    parents = {path.parent.name for path in written}
    assert {name.rsplit("/", 1)[-1] for name in classes} <= parents | {"."}


@pytest.mark.parametrize("size", [24, 36, 48])  # sides whose cut is even
def test_other_sizes_are_reached_as_torchvision_reaches_them(size):
    for picture in files.large_pictures("places", 6):
        pil = PIL.Image.fromarray(picture)
        expected = reference.center_crop(reference.resize(pil, size), [size, size])
        assert np.array_equal(fit_picture(pil, size=size, fit="resize"), np.array(expected))


def test_imagenet(tmp_path):
    ids = files.imagenet100_ids()
    files.write_imagenet(tmp_path, ["n00000001", *ids], train=2, test=1)
    splits, classes = read(tmp_path, "imagenet100")
    assert classes == ids  # others are left out
    assert splits["train"].labels.tolist() == np.repeat(np.arange(100), 2).tolist()
    for split, folder in (("train", "train"), ("test", "val")):
        rows = splits[split]
        for i in (0, len(rows.labels) - 1):
            wnid = ids[rows.labels[i]]
            assert f"/{folder}/{wnid}/" in rows.name(i)
            with PIL.Image.open(rows.name(i)) as picture:
                assert np.array_equal(np.array(rows.read(i)), np.array(picture))
    assert len(read(tmp_path, "imagenet1k")[1]) == 101  # as many as there are folders


@pytest.mark.parametrize("kind", PUBLISHED)
def test_corpora(tmp_path, kind):
    files.write_corpus(tmp_path / kind, kind, 104)
    settings = {"kind": kind, "name": "d", "validation": 0, "stop_words": "kept"}
    splits, classes = read_published(tmp_path / kind, settings)
    assert len(classes) == {"newsgroups20": 20, "reuters52": 52}.get(kind, 0)
    for split in splits.values():
        assert len(split.texts) >= 70  # headings are none
        assert not [text for text in split.texts if "A heading" in text or "\t" in text]


@needs_realdata
def test_the_pictures_are_real():
    images, labels = files.cifar_pictures("cifar10", "test", 50)
    means = images.reshape(len(images), -1, 3).mean(1)
    assert np.allclose(means.mean(0), [125.3, 123.0, 113.9], atol=8)  # CIFAR-10's own
    ships, frogs = (means[labels == files.cifar_names("cifar10").index(name)].mean(0)
                    for name in ("ship", "frog"))  # fmt: skip
    assert ships[2] > ships[0]  # water is blue
    assert frogs[2] < frogs[0]
