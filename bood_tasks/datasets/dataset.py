"""Materialise a data set: uint8 RGB images at one resolution, labels, source indices.

Enters: files in the layout of their kind (read_*.py), or another data set to change
(derived.py). Pictures are decoded and resized once, by threads, block by block, so that none but
a block is ever in memory and a killed job goes on after its last whole block.
Leaves: `<split>/images` [n, size, size, 3], `<split>/labels`, `<split>/index`, with `whole` also
`train/whole` [n, size, size, 3], the pictures squashed, uncut, and `train/aspect`, their width /
height; and dataset.json with counts, class names, what was read and left out (`read`, see
summary.py), and `content`: for each split the SHA-256 over its blocks' SHA-256 (pixels, then
labels), by which two machines can compare what they used.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact, Draft, block_file
from bood_tasks.catalogue.datasets import CATALOGUE, MAX_PIXELS
from bood_tasks.catalogue.walk import LeftOut
from bood_tasks.datasets.derived import derive, make_noise
from bood_tasks.datasets.download import download
from bood_tasks.datasets.pictures import (
    RANDOM,
    Rows,
    fit_both,
    fit_picture,
    read_told,
    require_classes,
    some_of,
)
from bood_tasks.datasets.read_arrays import (
    read_digits,
    read_idx,
    read_npy,
    read_npz,
    read_samples,
    read_svhn,
)
from bood_tasks.datasets.read_cifar import read_cifar
from bood_tasks.datasets.read_folders import read_folder, read_pictures, read_tree
from bood_tasks.datasets.read_imglist import read_imglist
from bood_tasks.datasets.summary import report_lines, summarise
from bood_tasks.jobs.environment import run_setting
from bood_tasks.jobs.job import read_job
from bood_tasks.jobs.progress import progress

VERSION = 3
ROWS_AT_ONCE = 256  # handed to the threads together
BYTES_PER_CHUNK, ROWS_PER_CHUNK = 2**19, 100  # training streams single rows of large pictures
BYTES_PER_BLOCK, ROWS_PER_BLOCK = 2**28, 10_000
SHOWN = 20  # unreadable files in a message


def open_published(
    folder: Path, settings: Mapping, told: LeftOut | None = None
) -> tuple[dict[str, Rows], list[str]]:
    """Return a published data set's splits, fetched first if it may be.

    Raises FileNotFoundError that says what was expected where.
    """
    kind = settings["kind"]
    entry = CATALOGUE[kind]
    root = entry.root_in(folder)
    if root is None and entry.downloadable and run_setting("download"):
        download(kind, folder)
        root = entry.root_in(folder)
    if root is None:
        raise FileNotFoundError(entry.missing(settings["name"], folder))
    match entry.family:
        case "cifar":
            splits, classes = read_cifar(root, settings)
        case "svhn":
            splits, classes = read_svhn(root, settings)
        case "tree":
            splits, classes = read_tree(root, settings, told)
        case "idx":
            splits, classes = read_idx(root / entry.files[0])
        case "npy":
            splits, classes = read_npy(root / entry.files[0])
        case "samples":
            splits, classes = read_samples(root / entry.files[0])
        case "pictures":
            splits, classes = read_pictures(root, f"datasets.{settings['name']}", told)
    return splits | {"test": some_of(splits["test"], settings.get("test_count"))}, classes


def open_dataset(
    settings: Mapping,
    source: Path | None = None,
    of: Artifact | None = None,
    told: LeftOut | None = None,
) -> tuple[dict[str, Rows], list[str]]:
    """Return the unread splits and the class names of the data set that `settings` describes; what
    is left out is counted in `told`.

    Raises ValueError or FileNotFoundError that names the setting, the file and the cure.
    """
    match settings["kind"]:
        case "npz":
            return read_npz(source, settings, told)
        case "folder":
            return read_folder(source, settings, told)
        case "imglist":
            return read_imglist(source, settings, told)
        case "digits":
            return read_digits()
        case "noise":
            return make_noise(settings)
        case "corrupted" | "resampled" | "fold":
            return derive(settings, of)
    return open_published(source, settings, told)


def block_shape(size: int) -> tuple[int, int]:
    """Return rows per zarr chunk and per file for pictures of size x size."""
    chunk = max(1, min(ROWS_PER_CHUNK, BYTES_PER_CHUNK // (3 * size**2)))
    return chunk, max(1, min(ROWS_PER_BLOCK, BYTES_PER_BLOCK // (3 * size**2)) // chunk) * chunk


class Writer:
    """Writes one split block by block, and notes in the draft's progress how far it came.

    A block that an earlier try noted and that is damaged is made again, with all after it.
    `unreadable` lists what had to be left out. Beyond `limit` nothing more is written or noted,
    only read, so that the list is complete and the next try reads the mended files. `whole`: the
    pictures are written whole, too.
    """

    def __init__(
        self, draft: Draft, name: str, rows: Rows, image: Mapping, limit: int, *, whole: bool
    ):
        self.draft, self.name, self.rows, self.image, self.limit = draft, name, rows, image, limit
        chunk, self.block = block_shape(image["size"])
        shape = (len(rows.labels), image["size"], image["size"], 3)
        self.arrays = {
            part: draft.array(f"{name}/{part}", shape, "uint8", chunk=chunk, shard=self.block)
            for part in ("images", *["whole"] * whole)
        }
        if whole:
            self.arrays["aspect"] = draft.array(
                f"{name}/aspect", shape[:1], "float32", chunk=self.block
            )
        self.note = f"{name}.json"
        self.state = draft.noted(self.note) or {
            "read": [], "kept": [], "hashes": [], "unreadable": [], "converted": []
        }  # fmt: skip
        self._forget_after_damage()
        self.written = sum(self.state["kept"])
        self.waiting: list[Mapping[str, np.ndarray]] = []
        self.numbers: list[int] = []
        self.notes: Counter[str] = Counter()  # of what waits

    @property
    def read(self) -> int:
        """How many of the rows' pictures were read, of blocks that are written."""
        return self.state["read"][-1] if self.state["read"] else 0

    def _files(self, number: int) -> Iterator[Path]:
        """Yield the files of a block, one for each array."""
        return (block_file(array, number) for array in self.arrays.values())

    def _forget_after_damage(self) -> None:
        whole = 0
        for number in range(len(self.state["kept"])):
            if not all(self.draft.keeps(path) for path in self._files(number)):
                break
            whole = number + 1
        for part in ("read", "kept", "hashes", "converted"):
            del self.state[part][whole:]
        self.state["unreadable"] = [x for x in self.state["unreadable"] if x[0] < self.read]

    @property
    def unreadable(self) -> list[str]:
        return [reason for _, reason in self.state["unreadable"]]

    @property
    def converted(self) -> Counter[str]:
        """How many of the pictures that are written were changed, and how."""
        return sum(map(Counter, self.state["converted"]), Counter())

    def add(
        self,
        number: int,
        picture: np.ndarray | Mapping[str, np.ndarray] | str,
        notes: Iterable[str] = (),
    ) -> None:
        """Take the next picture, or the reason why there is none; and what was done to it."""
        if isinstance(picture, str):
            self.state["unreadable"].append([number, picture])
        elif len(self.unreadable) <= self.limit:
            self.waiting.append({"images": picture} if isinstance(picture, np.ndarray) else picture)
            self.numbers.append(number)
            self.notes.update(notes)
            if len(self.waiting) == self.block:
                self.flush()

    def flush(self) -> None:
        """Write what waits; a whole block unless the split ends."""
        if not self.waiting:
            return
        content, after = hashlib.sha256(), self.written + len(self.waiting)
        for part, array in self.arrays.items():
            block = np.stack([item[part] for item in self.waiting])
            array[self.written : after] = block
            content.update(block.tobytes())
        self.written = after
        content.update(self.rows.labels[self.numbers].tobytes())
        self.state["hashes"].append(content.hexdigest())
        self.state["kept"].append(len(block))
        self.state["converted"].append(dict(self.notes))
        self.state["read"].append(self.numbers[-1] + 1)
        for path in self._files(len(self.state["kept"]) - 1):
            self.draft.keep(path)
        self.draft.note(self.note, self.state)
        self.waiting, self.numbers, self.notes = [], [], Counter()

    def keep(self) -> np.ndarray:
        """Return which rows are not unreadable [n]."""
        keep = np.ones(len(self.rows.labels), bool)
        keep[[number for number, _ in self.state["unreadable"]]] = False
        return keep

    def finish(self) -> dict:
        """Write the last rows, labels and indices; return the split's facts."""
        self.flush()
        if not self.written:
            raise ValueError(f"the {self.name} split has no readable picture")
        if self.written < len(self.rows.labels):
            for array in self.arrays.values():
                array.resize((self.written, *array.shape[1:]))
        keep = self.keep()
        for part in ("labels", "index"):
            self.draft.save(f"{self.name}/{part}", getattr(self.rows, part)[keep])
        content = hashlib.sha256("".join(self.state["hashes"]).encode()).hexdigest()
        return {"count": self.written, "content": content}


def write_split(
    writer: Writer,
    pool: Executor,
    advance: Callable[[int], object] = lambda count: None,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Read the rest of a split with the pool's threads, in order, and hand it to its writer."""
    into = fit_both if "whole" in writer.arrays else fit_picture
    read = partial(read_told, writer.rows, into=into, max_pixels=max_pixels, **writer.image)
    for start in range(writer.read, len(writer.rows.labels), ROWS_AT_ONCE):
        numbers = range(start, min(start + ROWS_AT_ONCE, len(writer.rows.labels)))
        for number, (picture, notes) in zip(numbers, pool.map(read, numbers), strict=True):
            writer.add(number, picture, notes)
        advance(len(numbers))


def require_readable(unreadable: list[str], settings: Mapping) -> None:
    """Raise ValueError that names the unreadable pictures if there are more than allowed."""
    limit = settings.get("max_unreadable", 0)
    if len(unreadable) > limit:
        more = f"; and {len(unreadable) - SHOWN} more" if len(unreadable) > SHOWN else ""
        raise ValueError(
            f"datasets.{settings['name']}: {len(unreadable)} unreadable: "
            + "; ".join(unreadable[:SHOWN])
            + f"{more}. Mend or remove them, or raise datasets.{settings['name']}.max_unreadable "
            f"(now {limit})"
        )


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    source = Path(job.source) if job.source else None
    told, max_pixels = LeftOut(), settings.get("max_pixels", MAX_PIXELS)
    # Pillow refuses twice its own limit. This process reads nothing but this data set.
    PIL.Image.MAX_IMAGE_PIXELS = max(PIL.Image.MAX_IMAGE_PIXELS or 0, max_pixels)
    splits, classes = open_dataset(settings, source, job.inputs.get("of"), told)
    if empty := [name for name, rows in splits.items() if not len(rows.labels)]:
        raise ValueError(
            f"datasets.{settings['name']} must hold samples, and its {empty[0]} split holds none; "
            "add some"
        )
    if "train" in splits:
        require_classes(
            settings["name"], classes, {name: rows.labels for name, rows in splits.items()}
        )
    total = sum(len(rows.labels) for rows in splits.values())
    image = settings["image"]
    if settings.get("shrink") == RANDOM:
        image = image | {"kernel": RANDOM}
    with (
        job.draft() as draft,
        ThreadPoolExecutor(run_setting("workers")) as pool,
        progress("dataset", total, "pictures") as advance,
    ):
        limit = settings.get("max_unreadable", 0)
        writers = {
            name: Writer(
                draft, name, rows, image, limit,
                whole=name == "train" and settings.get("whole", False),
            )
            for name, rows in splits.items()
        }  # fmt: skip
        for writer in writers.values():
            write_split(writer, pool, advance, max_pixels)
        unreadable = [reason for writer in writers.values() for reason in writer.unreadable]
        if len(unreadable) > limit:  # the next try reads the mended files
            for writer in writers.values():
                draft.forget(writer.note)
        require_readable(unreadable, settings)
        labels = {name: writer.rows.labels[writer.keep()] for name, writer in writers.items()}
        if "train" in splits:  # what was unreadable must not leave a class without pictures
            had = {name: rows.labels for name, rows in splits.items()}
            require_classes(settings["name"], classes, labels, had)
        facts = {name: writer.finish() for name, writer in writers.items()}
        counts = {name: fact["count"] for name, fact in facts.items()}
        entry = CATALOGUE.get(settings["kind"])
        cut = settings.get("test_count") or settings.get("train_per_class")
        summary = summarise(
            classes,
            labels,
            told,
            unreadable=len(unreadable),
            converted=sum((writer.converted for writer in writers.values()), Counter()),
            published={"test": entry.counts.get("test")} if entry and not cut else None,
        )
        print(*report_lines(settings["name"], counts, summary, told), sep="\n")
        print(*(f"  unreadable: {line}" for line in unreadable[:SHOWN]), sep="\n", flush=True)
        write_json(
            draft.folder / "dataset.json",
            {
                "name": settings["name"],
                "kind": settings["kind"],
                "title": entry.title if entry else settings["name"],
                "published_at": entry.published_at if entry else "",
                "classes": classes,
                "counts": counts,
                "content": {name: fact["content"] for name, fact in facts.items()},
                "unreadable": len(unreadable),
                "read": summary,
                **image,
            },
        )
        draft.finish(rows=counts)
