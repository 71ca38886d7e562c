"""Fetch published data sets and corpora, checked by their published checksums."""

from pathlib import Path

from bood_tasks.catalogue.corpora import PUBLISHED
from bood_tasks.catalogue.datasets import CATALOGUE


def download_corpus(kind: str, folder: Path) -> None:
    """Fetch a published corpus, checked by its published checksum."""
    from torchvision.datasets.utils import download_and_extract_archive, download_url

    print(f"fetching {PUBLISHED[kind].title} into {folder}", flush=True)
    for name, (address, checksum) in PUBLISHED[kind].sources.items():
        if name.endswith(".zip"):
            download_and_extract_archive(address, str(folder), filename=name, md5=checksum)
        else:
            download_url(address, str(folder), name, checksum)


def download_dataset(kind: str, folder: Path) -> None:
    """Fetch a published data set by torchvision's addresses and checksums, nothing unpickled."""
    from torchvision import datasets
    from torchvision.datasets.utils import download_and_extract_archive, download_url

    print(f"fetching {CATALOGUE[kind].title} into {folder}", flush=True)
    if kind == "svhn":
        for url, name, checksum in (datasets.SVHN.split_list[s] for s in ("train", "test")):
            download_url(url, folder, name, checksum)
        return
    url, checksum = {
        "cifar10": (datasets.CIFAR10.url, datasets.CIFAR10.tgz_md5),
        "cifar100": (datasets.CIFAR100.url, datasets.CIFAR100.tgz_md5),
        "dtd": (datasets.DTD._URL, datasets.DTD._MD5),
    }[kind]
    download_and_extract_archive(url, str(folder), md5=checksum)
