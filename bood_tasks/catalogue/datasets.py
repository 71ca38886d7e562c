"""The published data sets: what each is called, where it lies, what it should hold.

Standard library only: configuration and plan read it before any data is at hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bood_tasks.catalogue.published import Published
from bood_tasks.catalogue.walk import holds_any

IMAGE_SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif", ".tif",
    ".tiff", ".avif", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
MAX_PIXELS = 2**27  # of a picture in a file
SPLIT_NAMES = {  # of folders, in any case
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Entry(Published):
    """One data set.

    `edition` stands for the published content in an artifact's identity; `roots` are the folders
    below the data set's own where its files may lie, the first that exists counts; `counts` are
    those published (None: there are several subsets). Splits are named as here: `test` is the
    part that figures are read from (ImageNet's is its validation folder). `sources`: address and
    MD5 of each file, where torchvision has none. `generated`: drawn from a generative model.
    """

    title: str
    family: Literal["cifar", "svhn", "idx", "tree", "pictures", "npy", "samples"]
    layout: str
    published_at: str
    counts: Mapping[str, int | None]
    edition: str = "1"
    classes: int = 1
    roots: tuple[str, ...] = ("",)
    files: tuple[str, ...] = field(default=())
    downloadable: bool = False
    sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    generated: bool = False

    def root_in(self, folder: Path) -> Path | None:
        """Return the folder below `folder` that holds the files; None if there is none."""
        for root in (folder / name for name in self.roots):
            if self.family == "pictures":
                found = holds_any(root, IMAGE_SUFFIXES)
            else:
                present = [(root / name).exists() for name in self.files]
                found = all(present) if self.family == "tree" else any(present)
            if found:
                return root
        return None

    def holds(self, folder: Path) -> bool:
        """Whether a folder looks like the data set; its files are read later."""
        return self.root_in(folder) is not None


def _ood(
    title: str,
    layout: str,
    published_at: str,
    count: int | None,
    *roots: str,
    fetched: bool = False,
) -> Entry:
    return Entry(
        title, "pictures", layout, published_at, {"test": count}, roots=(*roots, ""),
        downloadable=fetched,
    )  # fmt: skip


_IMAGENET = "train/<WordNet id>/*.JPEG and val/<WordNet id>/*.JPEG"
_MOS = "https://github.com/deeplearning-wisc/large_scale_ood"
_ODIN = "https://github.com/facebookresearch/odin"
CATALOGUE = {
    "cifar10": Entry(
        "CIFAR-10",
        "cifar",
        "cifar-10-batches-py/ (data_batch_1..5, test_batch, batches.meta) or cifar-10-batches-bin/",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        {"train": 50_000, "test": 10_000},
        classes=10,
        roots=("cifar-10-batches-bin", "cifar-10-batches-py", ""),
        files=("test_batch.bin", "test_batch"),
        downloadable=True,
    ),
    "cifar100": Entry(
        "CIFAR-100",
        "cifar",
        "cifar-100-python/ (train, test, meta) or cifar-100-binary/ (train.bin, test.bin, "
        "fine_label_names.txt)",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        {"train": 50_000, "test": 10_000},
        classes=100,
        roots=("cifar-100-binary", "cifar-100-python", ""),
        files=("test.bin", "test"),
        downloadable=True,
    ),
    "imagenet100": Entry(
        "ImageNet-100 (BOOD's and DreamOOD's 100 classes)",
        "tree",
        f"{_IMAGENET} of the 100 classes; others are left out",
        "https://www.image-net.org",
        {"train": 128_117, "test": 5_000},  # training: the mean of ImageNet-1K's classes
        classes=100,
        files=("train", "val"),
    ),
    "imagenet1k": Entry(
        "ImageNet-1K",
        "tree",
        _IMAGENET,
        "https://www.image-net.org",
        {"train": 1_281_167, "test": 50_000},
        classes=1000,
        files=("train", "val"),
    ),
    "svhn": Entry(
        "SVHN",
        "svhn",
        "test_32x32.mat (and train_32x32.mat to use it as ID data)",
        "http://ufldl.stanford.edu/housenumbers",
        {"train": 73_257, "test": 26_032},
        classes=10,
        files=("test_32x32.mat",),
        downloadable=True,
    ),
    "mnist": Entry(
        "MNIST",
        "idx",
        "t10k-images-idx3-ubyte.gz",
        "http://yann.lecun.com/exdb/mnist",
        {"test": 10_000},
        roots=("MNIST/raw", ""),
        files=("t10k-images-idx3-ubyte.gz",),
        downloadable=True,
    ),
    "places365": _ood(
        "Places365",
        "the pictures of the subset you use (names differ: val_256, test_256, 10,000 of them)",
        "http://places2.csail.mit.edu",
        None,
        "val_256",
        "test_256",
        "places365_standard/val",
        fetched=True,  # val_256, 36,500 pictures
    ),
    "lsun_c": _ood("LSUN (crop)", "test/*.png", _ODIN, 10_000, "LSUN", "test"),
    "lsun_r": _ood("LSUN (resize)", "test/*.png", _ODIN, 10_000, "LSUN_resize", "test"),
    "isun": _ood("iSUN", "iSUN_patches/*.jpeg", _ODIN, 8_925, "iSUN", "iSUN_patches"),
    "dtd": Entry(
        "Textures (DTD)",
        "pictures",
        "images/<texture>/*.jpg",
        "https://www.robots.ox.ac.uk/~vgg/data/dtd",
        {"test": 5_640},
        classes=47,
        roots=("dtd/images", "images", ""),
        downloadable=True,
    ),
    "inaturalist": _ood("iNaturalist (MOS)", "images/*.jpg", _MOS, 10_000, "iNaturalist", "images"),
    "sun": _ood("SUN (MOS)", "images/*.jpg", _MOS, 10_000, "SUN", "images"),
    "places": _ood("Places (MOS)", "images/*.jpg", _MOS, 10_000, "Places", "images"),
    "ninco": _ood(
        "NINCO",
        "NINCO_OOD_classes/<class>/*",
        "https://github.com/j-cb/NINCO",
        5_879,
        "NINCO/NINCO_OOD_classes",
        "NINCO_OOD_classes",
    ),
    "ssb_hard": _ood(
        "SSB-hard",
        "<class>/*.JPEG",
        "https://github.com/Jingkang50/OpenOOD",
        49_000,
        "ssb_hard",
    ),
    "tinyimagenet_crop": _ood("TinyImageNet (crop)", "test/*.png", _ODIN, 10_000, "Imagenet"),
    "tinyimagenet_resize": _ood(
        "TinyImageNet (resize)", "test/*.png", _ODIN, 10_000, "Imagenet_resize"
    ),
    "tinyimagenet": Entry(  # natural outliers
        "Tiny ImageNet's training pictures",
        "pictures",
        "tiny-imagenet-200/train/<WordNet id>/images/*.JPEG",
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        {"test": 100_000},
        classes=200,
        roots=("tiny-imagenet-200/train", "train", ""),
        downloadable=True,
        sources={  # the checksum is Avalanche's (benchmarks/datasets/tiny_imagenet)
            "tiny-imagenet-200.zip": (
                "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                "90528d7ca1a48142e341f4ef8d21d0de",
            )
        },
    ),
    "imagenet_a": _ood(
        "ImageNet-A",
        "<WordNet id>/*.jpg",
        "https://github.com/hendrycks/natural-adv-examples",
        7_500,
        "imagenet-a",
    ),
    "imagenet_r": _ood(
        "ImageNet-R",
        "<WordNet id>/*.jpg",
        "https://github.com/hendrycks/imagenet-r",
        30_000,
        "imagenet-r",
    ),
    "imagenet_o": _ood(
        "ImageNet-O",
        "<WordNet id>/*.JPEG",
        "https://github.com/hendrycks/natural-adv-examples",
        2_000,
        "imagenet-o",
    ),
    "openimage_o": _ood(
        "OpenImage-O", "images/*.jpg", "https://github.com/haoqiwang/vim", 17_632, "images"
    ),
    "random_images": Entry(
        "300K random images",
        "npy",
        "300K_random_images.npy",
        "https://github.com/hendrycks/outlier-exposure",
        {"test": 300_000},
        files=("300K_random_images.npy",),
        downloadable=True,
        sources={  # the address is the README's, the checksum pytorch-ood's
            "300K_random_images.npy": (
                "https://people.eecs.berkeley.edu/~hendrycks/300K_random_images.npy",
                "64ca64357de98351f28454274a112dc3",
            )
        },
    ),
    "cifar100_gan": Entry(
        "GOE's samples of a BigGAN of CIFAR-100, σ = 50",
        "samples",
        "samples-50.0.npz (key x: uint8 [n, 3, 32, 32])",
        "https://files.kondas.de/goe-data (pytorch-ood: dataset/img/goe.py)",
        {"test": 50_000},
        files=("samples-50.0.npz",),
        downloadable=True,
        sources={
            "samples-50.0.npz": (
                "https://files.kondas.de/goe-data/samples-50.0.npz",
                "95f1365e4c6e188595bb8476d43a82d9",
            )
        },
        generated=True,
    ),
}
