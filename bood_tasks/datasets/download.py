"""Fetch published data sets and corpora, checked by their published checksums."""

from collections.abc import Iterator
from pathlib import Path

from bood_tasks.catalogue.corpora import ALL_PUBLISHED
from bood_tasks.catalogue.datasets import CATALOGUE

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


def _files(kind: str) -> Iterator[tuple[str, str | None, str]]:
    """Yield address, name (None: the address's own) and MD5 of each file; archives are unpacked.

    Those that the catalogue does not say are torchvision's.
    """
    if ALL_PUBLISHED[kind].sources:
        for name, (address, checksum) in ALL_PUBLISHED[kind].sources.items():
            yield address, name, checksum
        return
    from torchvision import datasets

    match kind:
        case "svhn":
            yield from (datasets.SVHN.split_list[split] for split in ("train", "test"))
        case "cifar10":
            yield datasets.CIFAR10.url, None, datasets.CIFAR10.tgz_md5
        case "cifar100":
            yield datasets.CIFAR100.url, None, datasets.CIFAR100.tgz_md5
        case "dtd":
            yield datasets.DTD._URL, None, datasets.DTD._MD5
        case "mnist":
            name, checksum = next(
                item for item in datasets.MNIST.resources if item[0] in CATALOGUE[kind].files
            )
            yield f"{datasets.MNIST.mirrors[0]}{name}", None, checksum
        case "places365":
            name, checksum = datasets.Places365._IMAGES_META["val", True]  # 256 pixels
            yield f"{datasets.Places365._BASE_URL}{name}", None, checksum


def download(kind: str, folder: Path) -> None:
    """Fetch a published data set or corpus into a folder; nothing is unpickled.

    Raises RuntimeError or OSError if the network or a checksum fails.
    """
    from torchvision.datasets.utils import download_and_extract_archive, download_url

    print(f"fetching {ALL_PUBLISHED[kind].title} into {folder}", flush=True)
    for address, name, checksum in _files(kind):
        if (name or address).endswith(ARCHIVES):
            download_and_extract_archive(address, str(folder), filename=name, md5=checksum)
        else:
            download_url(address, str(folder), name, checksum)
