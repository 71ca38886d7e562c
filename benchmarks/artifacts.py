"""Artifact I/O against .npy files and one PNG a picture: write, read random rows, read all.

    PYTHONPATH=. python benchmarks/artifacts.py

Ours writes checksums, manifest and fsync as every stage does; .npy has none of these, PNG files
are what most projects keep pictures in. Pictures are the shipped garments, so they compress as
real ones do. `ratio` is that of PNG files to ours, summed over the three tasks. The last line is
JSON.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Artifact, Draft


def timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(*, rows: int, picked: int) -> dict:
    """Return the seconds of each task for each way to keep pictures."""
    with np.load(EMBEDDED / "fashion_mnist.npz") as file:
        grey = np.pad(file["x_train"][:rows], ((0, 0), (2, 2), (2, 2)))
    images = np.repeat(np.resize(grey, (rows, 32, 32))[..., None], 3, axis=3)
    some = np.random.default_rng(0).choice(rows, picked, replace=False)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        identity = {"stage": "benchmark", "version": 1, "settings": {}, "inputs": {}}
        manifest = folder / digest_of(identity) / "manifest.json"

        def write_ours() -> None:
            with Draft(manifest, identity) as draft:
                array = draft.array("x", images.shape, "uint8", chunk=100, shard=10_000)
                array[...] = images
                draft.finish()

        def write_png() -> None:
            (folder / "png").mkdir()
            for number, image in enumerate(images):
                PIL.Image.fromarray(image).save(folder / f"png/{number}.png")

        def read_png(numbers) -> np.ndarray:
            return np.stack([np.asarray(PIL.Image.open(folder / f"png/{n}.png")) for n in numbers])

        found["ours"] = {
            "write": timed(write_ours),
            "random_rows": timed(lambda: Artifact(manifest)["x"].oindex[np.sort(some)]),
            "read_all": timed(lambda: Artifact(manifest)["x"][:]),
        }
        found["npy"] = {
            "write": timed(lambda: np.save(folder / "x.npy", images)),
            "random_rows": timed(lambda: np.load(folder / "x.npy", mmap_mode="r")[some].copy()),
            "read_all": timed(lambda: np.load(folder / "x.npy")),
        }
        found["png"] = {
            "write": timed(write_png),
            "random_rows": timed(lambda: read_png(some)),
            "read_all": timed(lambda: read_png(range(rows))),
        }
        assert np.array_equal(Artifact(manifest)["x"][:], read_png(range(rows)))
        sizes = {
            "ours": sum(item["size"] for item in Artifact(manifest).files.values()),
            "npy": (folder / "x.npy").stat().st_size,
            "png": sum(item.stat().st_size for item in (folder / "png").iterdir()),
        }
    total = {name: sum(parts.values()) for name, parts in found.items()}
    return {
        "benchmark": "artifacts",
        "seconds": round(total["ours"], 3),
        "peer": "one PNG file a picture",
        "peer_seconds": round(total["png"], 3),
        "ratio": round(total["png"] / total["ours"], 2),
        "npy_ratio": round(total["npy"] / total["ours"], 2),
        "parts": {n: {k: round(v, 4) for k, v in parts.items()} for n, parts in found.items()},
        "megabytes": {name: round(size / 1e6, 1) for name, size in sizes.items()},
        "rows": rows,
        "picked": picked,
    }


def main() -> None:
    from machine import machine

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--picked", type=int, default=1_000)
    options = parser.parse_args()
    record = measure(rows=options.rows, picked=options.picked)
    print(json.dumps(record | {"machine": machine("cpu")}))


if __name__ == "__main__":
    main()
