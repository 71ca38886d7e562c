"""Every published data set and corpus as small files of its real layout on disk.

Pictures are cut from the real data where they are (realdata.py), else drawn; both are the same at
every call, so that a test can ask for them again and compare.
"""

import gzip
import json
import pickle
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image

from bood_tasks import EMBEDDED
from bood_tasks.datasets.read_folders import ALIASES
from tests.realdata import real_pictures, realdata

Pictures = list[np.ndarray]
SHAPES = ((48, 64), (64, 48), (64, 64))  # of large pictures: [h, w]
TAKEN_FROM = {  # kind: folder of the real OOD pictures
    "svhn": "svhn",
    "mnist": "mnist",
    "dtd": "textures",
    "lsun_c": "tinyimagenet_crop",
    "tinyimagenet_crop": "tinyimagenet_crop",
    "lsun_r": "tinyimagenet_resize",
    "tinyimagenet_resize": "tinyimagenet_resize",
    "isun": "tinyimagenet_resize",
    "places": "places_resize",
    "places365": "places_resize",
    "sun": "places_resize",
    "inaturalist": "places_resize",
}  # fmt: skip
OTHERS = "outliers_tinyimagenet"
FOLDERS = {  # kind: the published file of picture i; PNG and JPEG as published
    "places365": "val_256/Places365_val_{i:08d}.jpg",
    "lsun_c": "LSUN/test/{i}.png",
    "lsun_r": "LSUN_resize/test/{i}.png",
    "isun": "iSUN/iSUN_patches/{i}.jpeg",
    "dtd": "dtd/images/{word}/{word}_{i:04d}.jpg",
    "inaturalist": "iNaturalist/images/{i:032x}.jpg",
    "sun": "SUN/images/sun_{i:017x}.jpg",
    "places": "Places/images/{word}_{i:08d}.jpg",
    "ninco": "NINCO/NINCO_OOD_classes/{word}/{i}.jpeg",
    "ssb_hard": "ssb_hard/{wnid}/{wnid}_{i}.JPEG",
    "tinyimagenet_crop": "Imagenet/test/{i}.png",
    "tinyimagenet_resize": "Imagenet_resize/test/{i}.png",
    "tinyimagenet": "tiny-imagenet-200/train/{wnid}/images/{wnid}_{i}.JPEG",
    "imagenet_a": "imagenet-a/{wnid}/{i:06d}_0.jpg",
    "imagenet_r": "imagenet-r/{wnid}/art_{i}.jpg",
    "openimage_o": "images/{i:016x}.jpg",
    "imagenet_o": "imagenet-o/{wnid}/ILSVRC2012_val_{i:08d}.JPEG",
}  # fmt: skip
CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip
LONGEST = 40  # words of a text: a GRU reads thousands one by one
WORDS = ("banded", "blotchy", "braided")
SMALL = ("lsun_c", "lsun_r", "tinyimagenet_crop", "tinyimagenet_resize", "isun")  # 32 x 32 files


@cache
def drawn(name: str, count: int) -> Pictures:
    """Return smooth coloured pictures, 32 x 32; those of one name look alike."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    common = rng.integers(0, 256, (4, 4, 3))
    found = []
    for _ in range(count):
        coarse = (2 * common + rng.integers(0, 256, (4, 4, 3))) // 3
        picture = PIL.Image.fromarray(coarse.astype(np.uint8))
        found.append(np.array(picture.resize((32, 32), PIL.Image.Resampling.BICUBIC)))
    return found


def small_pictures(kind: str, count: int) -> Pictures:
    """Return pictures of an OOD set, uint8 [32, 32, 3]."""
    if realdata() is None:
        return drawn(kind, count)
    return real_pictures("ood", TAKEN_FROM.get(kind, OTHERS), count)


def large_pictures(kind: str, count: int) -> Pictures:
    """Return pictures of an OOD set in several sizes, each pixel twice over, sides cut."""
    doubled = [np.kron(x, np.ones((2, 2, 1), np.uint8)) for x in small_pictures(kind, count)]
    return [x[: SHAPES[i % 3][0], : SHAPES[i % 3][1]] for i, x in enumerate(doubled)]


def cifar_names(kind: str) -> list[str]:
    """Return CIFAR's class names in the official order, which is the alphabet's."""
    if kind == "cifar100":
        return sorted(json.loads(ALIASES.read_text(encoding="utf-8"))["cifar100"])
    return list(CIFAR10)


def cifar_pictures(kind: str, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 [n, 32, 32, 3], `count` of each class, and labels, in a shuffled order."""
    names = cifar_names(kind)
    if realdata() is None:
        parts = {name: drawn(f"{split} {name}", count) for name in names}
    else:
        parts = {name: real_pictures(kind, f"{split}/{name}", count) for name in names}
    labels = np.repeat(np.arange(len(names)), count)
    order = np.random.default_rng(0).permutation(len(labels))
    return np.stack([x for name in names for x in parts[name]])[order], labels[order]


def write_cifar(folder: Path, kind: str, *, edition: str, train: int, test: int) -> None:
    """Write CIFAR-10 or -100, edition `python` or `binary`, so many pictures of each class."""
    ten, binary = kind == "cifar10", edition == "binary"
    below = {"python": "py" if ten else "python", "binary": "bin" if ten else "binary"}[edition]
    root = folder / f"{kind.replace('cifar', 'cifar-')}{'-batches' if ten else ''}-{below}"
    root.mkdir(parents=True)
    names = cifar_names(kind)
    files = {("test_batch" if ten else "test"): cifar_pictures(kind, "test", test)}
    images, labels = cifar_pictures(kind, "train", train)
    parts = [f"data_batch_{k}" for k in range(1, 6)] if ten else ["train"]
    for name, x, y in zip(
        parts, np.array_split(images, len(parts)), np.array_split(labels, len(parts)), strict=True
    ):
        files[name] = x, y
    for name, (x, y) in files.items():
        rows = np.ascontiguousarray(x.transpose(0, 3, 1, 2).reshape(len(x), -1))
        if binary:
            columns = [y[:, None].astype(np.uint8), rows]
            coarse = [] if ten else [(y[:, None] // 5).astype(np.uint8)]
            (root / f"{name}.bin").write_bytes(np.concatenate([*coarse, *columns], 1).tobytes())
            continue
        label = "labels" if ten else "fine_labels"
        record = {"data": rows, label: y.tolist(), "batch_label": name, "filenames": ["x"] * len(y)}
        (root / name).write_bytes(pickle.dumps(record, protocol=2))
    if binary:
        text = "batches.meta.txt" if ten else "fine_label_names.txt"
        (root / text).write_text("\n".join(names) + "\n\n")
    else:
        meta = {"label_names" if ten else "fine_label_names": names}
        (root / ("batches.meta" if ten else "meta")).write_bytes(pickle.dumps(meta, protocol=2))


def write_svhn(folder: Path, count: int) -> None:
    """Write SVHN's test file: X [32, 32, 3, n], y [n, 1] in 1..10, where 10 is the digit 0."""
    from scipy.io import savemat

    folder.mkdir(parents=True)
    images = np.stack(small_pictures("svhn", count)).transpose(1, 2, 3, 0)
    labels = (np.arange(count)[:, None] % 10 + 1).astype(np.uint8)
    savemat(folder / "test_32x32.mat", {"X": images, "y": labels}, do_compression=True)


def idx(images: np.ndarray) -> bytes:
    """Return MNIST's format of uint8 [n, h, w], gzipped."""
    return gzip.compress(np.array([2051, *images.shape], ">u4").tobytes() + images.tobytes())


def write_mnist(folder: Path, count: int) -> None:
    """Write MNIST's test file, of pictures cut to 28 pixels, in one colour."""
    folder.mkdir(parents=True)
    images = np.stack(small_pictures("mnist", count))[:, 2:30, 2:30, 0]
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(idx(images))


def write_folder(folder: Path, kind: str, count: int) -> list[Path]:
    """Write an OOD set's pictures under their published names; return the files."""
    pictures = (small_pictures if kind in SMALL else large_pictures)(kind, count)
    files = []
    for i, picture in enumerate(pictures):
        word, wnid = WORDS[i % 3], f"n0000000{i % 3}"
        path = folder / FOLDERS[kind].format(i=i, word=word, wnid=wnid)
        path.parent.mkdir(parents=True, exist_ok=True)
        jpeg = path.suffix.lower() != ".png"
        PIL.Image.fromarray(picture).save(path, **({"quality": 95} if jpeg else {}))
        files.append(path)
    return files


def imagenet100_ids() -> list[str]:
    """Return the WordNet ids of BOOD's 100 classes."""
    return sorted(json.loads(ALIASES.read_text(encoding="utf-8"))["imagenet100"])


def write_imagenet(folder: Path, ids: list[str], *, train: int, test: int) -> None:
    """Write ImageNet's tree, so many pictures of each class; a class's are tinted alike."""
    pool = large_pictures("imagenet", len(ids) * (train + test))
    tints = np.random.default_rng(1).uniform(0.3, 1, (len(ids), 3))
    for k, wnid in enumerate(ids):
        for i in range(train + test):
            split = "train" if i < train else "val"
            name = f"{wnid}_{i}.JPEG" if i < train else f"ILSVRC2012_val_{k:04d}{i:04d}.JPEG"
            path = folder / split / wnid / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = (pool[k * (train + test) + i] * tints[k]).astype(np.uint8)
            PIL.Image.fromarray(picture).save(path, quality=95)


def write_random_images(folder: Path, count: int) -> None:
    """Write the 300K random images' one array."""
    folder.mkdir(parents=True)
    np.save(folder / "300K_random_images.npy", np.stack(small_pictures("random_images", count)))


def write_samples(folder: Path, count: int) -> None:
    """Write GOE's published samples: key x, uint8 [n, 3, 32, 32]."""
    folder.mkdir(parents=True)
    images = np.stack(small_pictures("cifar100_gan", count)).transpose(0, 3, 1, 2)
    np.savez(folder / "samples-50.0.npz", x=images)


@cache
def _lines(name: str, embedded: str) -> list[str]:
    """Return a real corpus's lines, or a shipped one's: verses, or WordNet's definitions."""
    shipped = realdata() is None
    path = EMBEDDED / embedded if shipped else realdata() / f"text/{name}.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        lines = [line.strip() for line in handle if line.strip()]
    texts = (line.split("\t")[-1].split() for line in lines[shipped:])
    return [" ".join(words[:LONGEST]) for words in texts]


def _labelled(name: str, embedded: str, classes: list[str], each: int) -> str:
    """Return lines CLASS TAB TEXT. Real ones are regrouped: a loader sees the layout alone."""
    texts = [text for text in _lines(name, embedded) if len(text.split()) > 5]
    step = max(1, len(texts) // (len(classes) * each))
    picked = texts[::step][: len(classes) * each]
    return "".join(f"{classes[i // each]}\t{text}\n" for i, text in enumerate(picked))


def write_corpus(folder: Path, kind: str, count: int) -> None:
    """Write a published corpus's files, `count` texts in each, or of each class."""
    glosses, verses = "wordnet_glosses.tsv.gz", "kjv_verses.txt.gz"
    folder.mkdir(parents=True)
    if kind == "newsgroups20":
        groups = [f"group.{k:02d}" for k in range(20)]
        for split in ("train", "test"):
            text = _labelled(f"20newsgroups_bydate_{split}", glosses, groups, count)
            (folder / f"20ng-{split}-no-short.txt").write_text(text)
        return
    if kind == "reuters52":
        topics = [f"topic{k:02d}" for k in range(52)]
        for split in ("train", "test"):
            text = _labelled(f"reuters52_{split}", glosses, topics, max(1, count // 52))
            (folder / f"r52-{split}-stemmed.txt").write_text(text)
        return
    if kind == "wikitext2":
        lines = _lines("wikitext2_valid", verses)[:count]
        (folder / "wikitext-2").mkdir()
        text = " \n = A heading = \n \n" + "".join(f" {line} \n" for line in lines)
        (folder / "wikitext-2/wiki.train.tokens").write_text(text)
        return
    names = {"multi30k": ("m30k-test.txt", "multi30k_en_val"),
             "wmt16_sentences": ("wmt16_sentences", "wmt16_sentences")}  # fmt: skip
    file, real = names[kind]
    (folder / file).write_text("\n".join(_lines(real, verses)[:count]) + "\n")
