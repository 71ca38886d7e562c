"""Artifacts: folders whose manifest is written last.

A folder is an artifact if and only if it holds `manifest.json`: format, identity, row counts,
and size and SHA-256 of every payload file. What varies from run to run (host, versions, time)
stands beside it in `run.json`. Until the manifest exists, `.progress/` holds what a killed job
needs to go on. `.finished.json` is a copy of the manifest: Snakemake removes a manifest before it
starts a job, also one that another process finished in the meantime, and the job, or Snakemake
itself, may be killed before it has put that back.
"""

import json
import math
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from bood_tasks.artifacts.manifest import (
    FORMAT,
    MANIFEST_COPY,
    DamagedArtifact,
    damaged_files,
    payload_files,
    read_manifest,
    sha256,
    write_json,
)
from bood_tasks.artifacts.spec import digest_of, to_json

if TYPE_CHECKING:
    import zarr


ROWS_PER_CHUNK = 1024
UNFINISHED_SUFFIXES = (".tmp", ".partial")  # what a kill inside write_json or zarr leaves


def _missing_chunks(group: "zarr.Group") -> list[str]:
    """Name the chunk files that a killed writer left out (zarr would read them as fill)."""
    import zarr

    missing = []
    for name, array in group.members(max_depth=None):
        if isinstance(array, zarr.Array):
            grid = [
                math.ceil(n / c)
                for n, c in zip(array.shape, array.shards or array.chunks, strict=True)
            ]
            for index in np.ndindex(*grid):
                path = Path(str(group.store_path.store.root), name, "c", *map(str, index))
                if not path.is_file():
                    missing.append(str(path))
    return missing


_ENDED: list[float] = []  # when this process finished its last artifact, seconds since 1970


class Draft:
    """An artifact being written. Use as a context manager; call `finish` as the last act.

    Entering wipes the payload unless `.progress/spec` says that it belongs to the same
    identity; leaving without `finish` keeps what is there for the next try.
    """

    def __init__(self, manifest: Path | str, identity: Mapping):
        self.manifest = Path(manifest)
        self.folder = self.manifest.parent
        self.progress = self.folder / ".progress"
        self.identity = json.loads(to_json(identity))
        self.resumed = False
        expected = digest_of(self.identity)
        if self.folder.name != expected:
            raise ValueError(
                f"--out must lie in a folder named {expected} (the digest of --spec), "
                f"got {self.folder}; let Snakemake build the command line"
            )

    def __enter__(self) -> "Draft":
        note = self.progress / "spec"
        self.resumed = note.is_file() and note.read_text(encoding="utf-8") == to_json(self.identity)
        if not self.resumed:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.progress.mkdir(parents=True)
            note.write_text(to_json(self.identity), encoding="utf-8")
        else:
            self.manifest.unlink(missing_ok=True)
            (self.folder / MANIFEST_COPY).unlink(missing_ok=True)
            for path in self.folder.rglob("*"):
                if path.suffix in UNFINISHED_SUFFIXES:
                    path.unlink()
        return self

    def __exit__(self, *_exc: object) -> None:
        return None

    @property
    def group(self) -> "zarr.Group":
        """The artifact's arrays, one zarr group."""
        import zarr

        return zarr.open_group(self.folder / "data.zarr", mode="a")

    def array(
        self, name: str, shape: tuple[int, ...], dtype: str, *, chunk: int, shard: int | None = None
    ) -> "zarr.Array":
        """Return an array to fill, kept as it is when a killed job resumes.

        `chunk` and `shard` count rows (a zarr shard is one file of many chunks). Floats fill
        with NaN; every chunk is written even if it equals the fill value, so that a missing
        file always means a missing write. Every chunk carries a CRC-32C.
        """
        from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

        group = self.group
        if name in group:
            return group[name]
        floating = np.issubdtype(np.dtype(dtype), np.floating)
        rest = tuple(shape[1:])
        chunk = max(1, min(chunk, shape[0]))
        whole = math.ceil(shape[0] / chunk) * chunk  # a zarr shard holds whole chunks
        return group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=(chunk, *rest),
            shards=None if shard is None else (min(shard, whole), *rest),
            fill_value=np.nan if floating else 0,
            serializer=BytesCodec(),
            compressors=[Crc32cCodec()] if floating else [ZstdCodec(level=3), Crc32cCodec()],
            config={"write_empty_chunks": True},
        )

    def save(self, name: str, values: np.ndarray) -> None:
        """Write a whole array of at least one row."""
        values = np.asarray(values)
        target = self.array(name, values.shape, str(values.dtype), chunk=ROWS_PER_CHUNK)
        target[...] = values

    def finish(
        self, *, rows: Mapping[str, int] | None = None, facts: Mapping | None = None
    ) -> None:
        """Check that every chunk is there, hash the payload and write the manifest."""
        if (self.folder / "data.zarr").exists():
            missing = _missing_chunks(self.group)
            if missing:
                raise RuntimeError(f"{len(missing)} chunks were never written, first: {missing[0]}")
        files = {}
        for path in payload_files(self.folder):
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
            files[path.relative_to(self.folder).as_posix()] = {
                "sha256": sha256(path),
                "size": path.stat().st_size,
            }
        write_json(self.folder / "run.json", self._run_facts(facts or {}))
        content = {
            "format": FORMAT, "spec": self.identity, "rows": dict(rows or {}), "files": files
        }  # fmt: skip
        write_json(self.folder / MANIFEST_COPY, content)
        write_json(self.manifest, content)
        shutil.rmtree(self.progress)
        _ENDED.append(time.time())

    def _run_facts(self, facts: Mapping) -> dict:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        began = _ENDED[-1] if _ENDED else psutil.Process().create_time()  # imports count as well
        record = {
            "host": platform.node(),
            "python": platform.python_version(),
            "seconds": round(time.time() - began, 3),
            "process_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_memory_mb": round(usage.ru_maxrss / 1024, 1),
            "resumed": self.resumed,
            "started": round(began, 3),
            "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
            **facts,
        }
        torch = sys.modules.get("torch")
        if torch is not None:
            record["torch"] = torch.__version__
            hidden = os.environ.get("BOOD_DEVICE") == "cpu"  # see jobs.environment.pick_device
            on_mps = torch.backends.mps.is_available() and not hidden
            record["device"] = "Apple MPS" if on_mps else "cpu"
            if torch.cuda.is_available() and not hidden:
                record["device"] = torch.cuda.get_device_name()
                record["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        return record


class Artifact:
    """A finished artifact, read-only. Opening it checks the manifest and every file's size."""

    def __init__(self, manifest: Path | str):
        self.manifest = Path(manifest)
        self.folder = self.manifest.parent
        content = read_manifest(self.manifest)
        self.spec, self.files, self.rows = content["spec"], content["files"], content["rows"]
        damaged = self.damaged(rehash=False)
        if damaged:
            raise DamagedArtifact(f"{self.folder}: {damaged[0]}; run `bood verify --repair`")
        if self.folder.name != self.digest:
            raise DamagedArtifact(f"{self.folder} holds artifact {self.digest}, moved or edited")

    def damaged(self, *, rehash: bool) -> list[str]:
        """Return one line per damaged file, see damaged_files."""
        return damaged_files(self.folder, self.files, rehash=rehash)

    @property
    def digest(self) -> str:
        return digest_of(self.spec)

    @property
    def settings(self) -> dict:
        return self.spec["settings"]

    def __getitem__(self, name: str) -> "zarr.Array | zarr.Group":
        """Return an array by name, e.g. `artifact["train/images"]`, or all below a name."""
        return self._root[name]

    def __contains__(self, name: str) -> bool:
        return (self.folder / "data.zarr").exists() and name in self._root

    @cached_property
    def _root(self) -> "zarr.Group":
        import zarr

        return zarr.open_group(self.folder / "data.zarr", mode="r")

    def json(self, name: str) -> dict:
        """Return a JSON payload file's content."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))
