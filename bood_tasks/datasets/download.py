"""Fetch published data sets and corpora, checked by their published checksums.

What was fetched of a file when the network or the command broke off lies beside it as `.NAME.part`,
and the next try goes on from there.
"""

import hashlib
import http.client
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from bood_tasks.catalogue.corpora import ALL_PUBLISHED
from bood_tasks.catalogue.datasets import CATALOGUE

TRIES = 5  # in a row that bring nothing new
PIECE = 2**20
RESUMED = (ConnectionError, TimeoutError, http.client.HTTPException, urllib.error.URLError)
NOTHING_MORE = 416  # HTTP: all was there already
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


def _go_on(address: str, part: Path) -> None:
    """Fetch what a file lacks; all of it from a server that knows no ranges."""
    have = part.stat().st_size if part.exists() else 0
    asked = urllib.request.Request(address, headers={"User-Agent": "bood-tasks"})
    if have:
        asked.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(asked, timeout=60)
    except urllib.error.HTTPError as error:
        if have and error.code == NOTHING_MORE:
            return
        raise
    with answer, part.open("ab") as handle:
        if have and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            handle.truncate(0)
        expected = answer.headers["Content-Length"]
        before = handle.seek(0, os.SEEK_END)
        shutil.copyfileobj(answer, handle, PIECE)
        if expected is not None and handle.tell() - before < int(expected):
            raise http.client.IncompleteRead(b"", int(expected) - (handle.tell() - before))


def fetch_file(address: str, path: Path, check: Callable[[Path], object]) -> None:
    """Fetch a file that `check` finds right, going on where an earlier try broke off.

    Raises OSError if the network fails, and what `check` does; a wrong file is not kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    fails = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _go_on(address, part)
            break
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            got = part.stat().st_size if part.exists() else 0
            fails = 0 if got > before else fails + 1
            if fails >= TRIES or not isinstance(error, RESUMED):
                raise OSError(f"{address}: {error}; {got:,} bytes of it are kept") from error
            print(f"{address}: {error}; going on after {got:,} bytes", file=sys.stderr)
    try:
        check(part)
    except ValueError:
        part.unlink()
        raise
    part.replace(path)


def _has_md5(checksum: str | None) -> Callable[[Path], None]:
    """Return a check of a published MD5; None passes everything."""

    def check(path: Path) -> None:
        with path.open("rb") as handle:
            found = hashlib.file_digest(handle, "md5").hexdigest()
        if checksum and found != checksum:
            raise ValueError(f"{path} must have the MD5 {checksum}, got {found}; fetch it again")

    return check


def download(kind: str, folder: Path) -> None:
    """Fetch a published data set or corpus into a folder; nothing is unpickled.

    Raises OSError if the network fails and ValueError for a wrong checksum.
    """
    from torchvision.datasets.utils import extract_archive

    print(f"fetching {ALL_PUBLISHED[kind].title} into {folder}", flush=True)
    for address, name, checksum in _files(kind):
        path = folder / (name or address.rpartition("/")[2])
        check = _has_md5(checksum)
        try:
            check(path)  # one that other tools have fetched
        except (FileNotFoundError, ValueError):
            fetch_file(address, path, check)
        if path.name.endswith(ARCHIVES):
            extract_archive(str(path), str(folder))
