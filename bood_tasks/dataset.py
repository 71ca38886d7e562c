"""Materialise a data set: uint8 RGB images at the classifier's resolution, labels, source indices.

Enters: an .npz file, a folder of images, scikit-learn's digits, or another data set to corrupt.
Leaves: `<split>/images` [n, size, size, 3], `<split>/labels`, `<split>/index`, and dataset.json.
"""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
from jaxtyping import Int64, UInt8

from bood_tasks import seeds
from bood_tasks.stage import read_job, run
from bood_tasks.store import Artifact, write_json

VERSION = 1
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
ROWS_PER_CHUNK, ROWS_PER_SHARD = 100, 10_000

Pictures = UInt8[np.ndarray, "n h w 3"]
Labels = Int64[np.ndarray, " n"]


@dataclass
class Split:
    """Rows of one split; `index` says where in the source each comes from."""

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def fit_picture(picture: PIL.Image.Image, *, size: int, fit: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture at size x size.

    `pad`: pixels kept, black border; a larger picture is first shrunk to fit. `resize`: the
    short side is scaled to `size` and the centre cut out. Scaling is antialiased bilinear.
    """
    picture = picture.convert("RGB")
    extreme = max if fit == "pad" else min
    scale = size / extreme(picture.size)
    if scale < 1 or fit == "resize":
        shape = [max(1, round(side * scale)) for side in picture.size]
        picture = picture.resize(shape, PIL.Image.Resampling.BILINEAR)
    canvas = PIL.Image.new("RGB", (size, size))
    canvas.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
    return np.asarray(canvas)


def fit_pictures(
    images: UInt8[np.ndarray, "n h w"], *, size: int, fit: str
) -> UInt8[np.ndarray, "n s s 3"]:
    """Return grey images at size x size in three channels (see fit_picture)."""
    return np.stack([fit_picture(PIL.Image.fromarray(item), size=size, fit=fit) for item in images])


def _npz_arrays(source: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an .npz file; pickled objects are refused."""
    try:
        with source.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{source} must be a whole .npz file of plain arrays: {error}; copy it again"
        ) from error


def read_npz(source: Path, settings: Mapping) -> tuple[dict[str, Split], list[str]]:
    """Return the splits of an .npz file and its class names.

    Raises ValueError for a missing key, another shape than uint8 [n, h, w] or a class without
    images.
    """
    file = _npz_arrays(source)

    def read(role: str) -> tuple[np.ndarray, np.ndarray]:
        for key in settings[role]:
            if key not in file:
                raise ValueError(
                    f"datasets.{settings['name']}.{role} must name arrays of {source.name}, "
                    f"got {key!r}; it holds {', '.join(file)}"
                )
        images, labels = (file[key] for key in settings[role])
        if images.dtype != np.uint8 or images.ndim != 3 or len(images) != len(labels):
            raise ValueError(
                f"{source.name}:{settings[role][0]} must be uint8 [n, h, w] with one label a row, "
                f"got {images.dtype} {list(images.shape)} and {len(labels)} labels"
            )
        return images, labels.astype(np.int64)

    names = [str(name) for name in file["names"]] if "names" in file else []
    given = settings["classes"] or {name: label for label, name in enumerate(names)}
    classes = dict(sorted(given.items()))  # as in a folder: the order of keys has no meaning

    def pick(role: str, part: Callable[[np.ndarray], np.ndarray]) -> Split:
        images, labels = read(role)
        rows, mapped = [], np.full(len(labels), -1, np.int64)
        for new, (name, old) in enumerate(classes.items()):
            found = part(np.flatnonzero(labels == old))
            if not len(found):
                raise ValueError(
                    f"datasets.{settings['name']}.classes.{name} must be a label of {source.name}, "
                    f"got {old}: no images left in {role!r}; it has {sorted(set(labels.tolist()))}"
                )
            mapped[found] = new
            rows.append(found)
        index = np.sort(np.concatenate(rows))
        return Split(images[index], mapped[index], index.astype(np.int64))

    held, limit = settings["validation_per_class"], settings["train_per_class"]
    splits = {}
    if settings["train"]:
        splits["train"] = pick("train", lambda rows: rows[: len(rows) - held][:limit])
        if held:
            splits["validation"] = pick("train", lambda rows: rows[len(rows) - held :])
    splits["test"] = pick("test", lambda rows: rows)
    for split in splits.values():
        split.images = fit_pictures(split.images, **settings["image"])
    return splits, list(classes)


def read_folder(source: Path, settings: Mapping) -> tuple[dict[str, Split], list[str]]:
    """Return a folder's images: one class a sub-folder, or everything as `test` if it is flat.

    Labelled images are split by a hash of their names, so adding files moves no other file.
    Raises ValueError that lists every unreadable file.
    """
    folders = sorted(item for item in source.iterdir() if item.is_dir())
    classes = [item.name for item in folders] or [source.name]
    parts: dict[str, list[tuple[np.ndarray, int]]] = {"train": [], "validation": [], "test": []}
    bad, order, position = [], {name: [] for name in parts}, 0
    for label, folder in enumerate(folders or [source]):
        files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            bad.append(f"{folder}: no {', '.join(IMAGE_SUFFIXES)}")
        for file in files:
            place = seeds.stream(0, "dataset", folder.name, file.name) / 2**63
            split = "train" if place >= settings["validation"] + settings["test"] else "validation"
            if not folders or place < settings["test"]:
                split = "test"
            try:
                with PIL.Image.open(file) as picture:
                    parts[split].append((fit_picture(picture, **settings["image"]), label))
            except (OSError, SyntaxError, ValueError) as error:
                bad.append(f"{file}: {error}")
            order[split].append(position)
            position += 1
    if bad:
        raise ValueError(
            f"datasets.{settings['name']}.path: {len(bad)} unreadable: " + "; ".join(bad[:20])
        )
    splits = {
        name: Split(
            np.stack([image for image, _ in items]),
            np.array([label for _, label in items], np.int64),
            np.array(order[name], np.int64),
        )
        for name, items in parts.items()
        if items
    }
    for name, split in splits.items() if folders else ():
        absent = [classes[k] for k in set(range(len(classes))) - set(split.labels.tolist())]
        if absent:
            raise ValueError(
                f"datasets.{settings['name']}.path: no image of {', '.join(sorted(absent))} fell "
                f"into the {name} split; add images to them or raise its share"
            )
    return splits, classes


def read_digits(settings: Mapping) -> tuple[dict[str, Split], list[str]]:
    """Return scikit-learn's 1,797 digits, 8 x 8 with values 0..16, up-sampled to 28 pixels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    large = [
        np.asarray(PIL.Image.fromarray(item).resize((28, 28), PIL.Image.Resampling.BICUBIC))
        for item in grey
    ]
    images = fit_pictures(np.stack(large), **settings["image"])
    return {"test": Split(images, digits.target.astype(np.int64))}, [str(k) for k in range(10)]


def make_noise(settings: Mapping) -> tuple[dict[str, Split], list[str]]:
    """Return images of independent uniform pixels, one random stream an image."""
    size = settings["image"]["size"]
    images = np.stack(
        [
            seeds.generator(0, "dataset", "noise", item).integers(
                0, 256, (size, size, 3), dtype=np.uint8
            )
            for item in range(settings["count"])
        ]
    )
    return {"test": Split(images, np.zeros(len(images), np.int64))}, ["noise"]


def _jigsaw(image: np.ndarray, _other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle a 4 x 4 grid of tiles."""
    tile = image.shape[0] // 4
    order = rng.permutation(16)
    whole = image[: 4 * tile, : 4 * tile].reshape(4, tile, 4, tile, 3).swapaxes(1, 2)
    mixed = whole.reshape(16, tile, tile, 3)[order].reshape(4, 4, tile, tile, 3)
    return mixed.swapaxes(1, 2).reshape(4 * tile, 4 * tile, 3)


def _phase(image: np.ndarray, _other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keep the amplitude spectrum, take the phases of noise: ID statistics without ID shape."""
    noise = np.angle(np.fft.fft2(rng.standard_normal(image.shape[:2])))
    spectrum = np.abs(np.fft.fft2(image[..., 0].astype(np.float64)))
    grey = np.fft.ifft2(spectrum * np.exp(1j * noise)).real
    return np.repeat(grey[..., None], 3, axis=2)


CORRUPTIONS: dict[str, Callable] = {
    "mixed": lambda a, b, rng: (a.astype(np.float64) + b) / 2,
    "cut": lambda a, b, rng: np.concatenate([a[: len(a) // 2], b[len(b) // 2 :]]),
    "jigsaw": _jigsaw,
    "phase": _phase,
    "negative": lambda a, b, rng: 255 - a,
    "quarter-turn": lambda a, b, rng: np.rot90(a, 1 + 2 * int(rng.integers(2))),
}


def corrupt(images: Pictures, labels: Labels) -> tuple[Pictures, Labels]:
    """Return one corrupted copy of each image, the corruptions in turn; labels name them.

    `mixed` and `cut` join an image with one of another class, so they lie near the ID data;
    the others keep its statistics and lose its shape or its place.
    """
    done, kinds = [], []
    for row, image in enumerate(images):
        rng = seeds.generator(0, "dataset", "corrupted", row)
        kind = row % len(CORRUPTIONS)
        other = images[rng.choice(np.flatnonzero(labels != labels[row]))]
        result = list(CORRUPTIONS.values())[kind](image, other, rng)
        done.append(np.clip(np.rint(result), 0, 255).astype(np.uint8))
        kinds.append(kind)
    return np.stack(done), np.array(kinds, np.int64)


def resample(images: Pictures, *, size: int) -> Pictures:
    """Return images scaled down to size x size and back up (antialiased bilinear, bicubic)."""
    shape, scale = images.shape[1:3], PIL.Image.Resampling
    small = [PIL.Image.fromarray(item).resize((size, size), scale.BILINEAR) for item in images]
    return np.stack([np.asarray(item.resize(shape[::-1], scale.BICUBIC)) for item in small])


def _derived(settings: Mapping, of: Artifact) -> tuple[dict[str, Split], list[str]]:
    """Read the data set that this one is made from and change it."""
    split = "validation" if settings["kind"] == "corrupted" else "test"
    if f"{split}/images" not in of:
        raise ValueError(
            f"datasets.{settings['name']}.of must have a {split} split, and "
            f"{of.settings['name']} has none; set its validation_per_class"
        )
    images, labels = of[f"{split}/images"][:], of[f"{split}/labels"][:]
    if settings["kind"] == "corrupted":
        images, kinds = corrupt(images, labels)
        return {"test": Split(images, kinds)}, list(CORRUPTIONS)
    resampled = resample(images, size=settings["size"])
    return {"test": Split(resampled, labels)}, of.json("dataset.json")["classes"]


def make_dataset(
    settings: Mapping, source: Path | None = None, of: Artifact | None = None
) -> tuple[dict[str, Split], list[str]]:
    """Return the splits and the class names of the data set that `settings` describes.

    Raises ValueError or FileNotFoundError that names the setting, the file and the cure.
    """
    kind = settings["kind"]
    if kind == "npz":
        return read_npz(source, settings)
    if kind == "folder":
        return read_folder(source, settings)
    if kind == "digits":
        return read_digits(settings)
    if kind == "noise":
        return make_noise(settings)
    return _derived(settings, of)


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    source = Path(job.source) if job.source else None
    splits, classes = make_dataset(job.settings, source, job.inputs.get("of"))
    with job.draft() as draft:
        for name, split in splits.items():
            shape = split.images.shape
            images = draft.array(
                f"{name}/images",
                shape,
                "uint8",
                chunk=ROWS_PER_CHUNK,
                shard=ROWS_PER_SHARD,
            )
            images[...] = split.images
            draft.save(f"{name}/labels", split.labels)
            index = split.index if len(split.index) else np.arange(shape[0], dtype=np.int64)
            draft.save(f"{name}/index", index)
        counts = {name: len(split.labels) for name, split in splits.items()}
        facts = {"name": job.settings["name"], "kind": job.settings["kind"], "classes": classes}
        write_json(
            draft.folder / "dataset.json", facts | {"counts": counts} | job.settings["image"]
        )
        draft.finish(rows=counts)


if __name__ == "__main__":
    run(main)
