"""Artifacts: folders whose manifest is written last.

A folder is an artifact if and only if it holds `manifest.json`: format, identity, row counts,
and size and SHA-256 of every payload file. What varies from run to run (host, versions, time)
stands beside it in `run.json`. Until the manifest exists, `.progress/` holds what a killed job
needs to go on; `.progress/kept` lists, with their SHA-256, the files that the next try may believe.
`.finished.json` is a copy of the manifest: Snakemake removes a manifest before it
starts a job, also one that another process finished in the meantime, and the job, or Snakemake
itself, may be killed before it has put that back.
"""

import json
import math
import os
import platform
import re
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from bood_tasks.artifacts import disk
from bood_tasks.artifacts.contents import require_finite, wrong
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
KEPT = "kept"  # in .progress: SHA-256 and name of each file that is kept, as sha256sum writes them
SPEC = "spec"  # in .progress: whose the unfinished work is
SHOWN = 3  # damaged files in a message


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


def block_file(array: "zarr.Array", number: int) -> Path:
    """Return the file of an array's block: a zarr shard, or a chunk of an array without shards."""
    rest = ["0"] * (array.ndim - 1)  # blocks are whole rows
    return Path(str(array.store_path.store.root), array.path, "c", str(number), *rest)


def _text(path: Path) -> str:
    """Return what a small file says, "" if it is not there or cannot be read as text."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


_ENDED: list[float] = []  # when this process finished its last artifact, seconds since 1970
_WRITTEN: list[Path] = []  # the folders of unfinished artifacts that this process writes


def being_written() -> Path | None:
    """Return the folder of the artifact that this process writes, None if there is none."""
    return _WRITTEN[-1] if _WRITTEN else None


class Draft:
    """An artifact being written. Use as a context manager; call `finish` as the last act.

    Leaving without `finish` keeps for the next try what `keep` and `note` vouched for, and what a
    stage puts into `progress` with a checksum of its own (checkpoints). Entering removes all else,
    what has other content than was vouched for, which is said, and everything if `.progress/spec`
    names another identity. `kept` has the SHA-256 of each file that stayed, by its name.
    """

    def __init__(
        self,
        manifest: Path | str,
        identity: Mapping,
        check: Callable[[], object] = lambda: None,
    ):
        self.check = check
        self.manifest = Path(manifest)
        self.folder = self.manifest.parent
        self.progress = self.folder / ".progress"
        self.identity = json.loads(to_json(identity))
        self.resumed = False
        self.kept: dict[str, str] = {}
        self._synced: set[Path] = set()
        expected = digest_of(self.identity)
        if self.folder.name != expected:
            raise ValueError(
                f"--out must lie in a folder named {expected} (the digest of --spec), "
                f"got {self.folder}; let Snakemake build the command line"
            )

    def __enter__(self) -> "Draft":
        note, spec = self.progress / SPEC, to_json(self.identity)
        known = _text(note) == spec
        # A copy of the manifest beside it: finished once, and to be made again from nothing.
        self.resumed = known and not (self.folder / MANIFEST_COPY).exists()
        if not self.resumed:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.progress.mkdir(parents=True)
            disk.write_text(note, spec)
        self.manifest.unlink(missing_ok=True)
        self._remove_unbelievable()
        _WRITTEN.append(self.folder)
        return self

    def _remove_unbelievable(self) -> None:
        """Leave of an earlier try's files those alone that it vouched for, and say what is damaged.

        The list is written anew: the power may have gone in the middle of its last line.
        """
        noted: dict[str, set[str]] = {}
        for line in re.findall(r"^([0-9a-f]{64}  .+)$", _text(self.progress / KEPT), re.MULTILINE):
            noted.setdefault(line[66:], set()).add(line[:64])
        damaged = set(noted)
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_dir() and not path.is_symlink():
                continue
            if name in noted and (found := sha256(path)) in noted[name]:
                self.kept[name] = found
                damaged.discard(name)
            elif (
                name in noted
                or path.suffix in UNFINISHED_SUFFIXES
                or self.progress not in path.parents
            ):
                path.unlink()
        if damaged:
            first = ", ".join(sorted(damaged)[:SHOWN])
            print(
                f"{len(damaged)} files of an earlier try are damaged and made again, {first}",
                file=sys.stderr,
            )
        lines = [f"{digest}  {name}\n" for name, digest in self.kept.items()]
        disk.write_text(self.progress / KEPT, "".join(lines))

    def _vouch(self, path: Path, digest: str) -> None:
        """Add a line to the list of what is kept; it is on the disk on return."""
        name = path.relative_to(self.folder).as_posix()
        with (self.progress / KEPT).open("ab") as handle:
            handle.write(f"{digest}  {name}\n".encode())
            handle.flush()
            os.fsync(handle.fileno())
        self.kept[name] = digest

    def keep(self, path: Path) -> None:
        """Vouch for a file of this artifact that is whole: the next try finds it, or is told.

        File and name are on the disk before the list says so.
        """
        disk.sync(path)
        for folder in path.parents:
            if folder == self.folder.parent or folder in self._synced:
                break
            disk.sync(folder)
            if folder != path.parent:  # which will get more files
                self._synced.add(folder)
        self._vouch(path, sha256(path))

    def keeps(self, path: Path) -> bool:
        """Whether a file is kept, by an earlier try or by this one."""
        return path.relative_to(self.folder).as_posix() in self.kept

    def note(self, name: str, value: object) -> None:
        """Keep a JSON value in `progress` for the next try; it replaces the one of that name."""
        path = self.progress / name
        scratch = path.with_name(path.name + ".tmp")
        scratch.write_text(json.dumps(value), encoding="utf-8")
        disk.sync(scratch)
        self._vouch(path, sha256(scratch))  # first: either the old or the new one is believed
        disk.replace(scratch, path)

    def noted(self, name: str) -> object:
        """Return the value that an earlier try has kept, None if there is none."""
        path = self.progress / name
        return json.loads(path.read_text(encoding="utf-8")) if self.keeps(path) else None

    def forget(self, name: str) -> None:
        """Remove a value that `note` kept."""
        path = self.progress / name
        self.kept.pop(path.relative_to(self.folder).as_posix(), None)
        path.unlink(missing_ok=True)

    def __exit__(self, *_exc: object) -> None:
        if self.folder in _WRITTEN:  # it is not, once finished
            _WRITTEN.remove(self.folder)

    @property
    def group(self) -> "zarr.Group":
        """The artifact's arrays, one zarr group."""
        import zarr

        return zarr.open_group(self.folder / "data.zarr", mode="a")

    def array(
        self, name: str, shape: tuple[int, ...], dtype: str, *, chunk: int, shard: int | None = None
    ) -> "zarr.Array":
        """Return a new array to fill; the files of its chunks that were kept are in it.

        `chunk` and `shard` count rows (a zarr shard is one file of many chunks). Floats fill
        with NaN, signed integers with their least; every chunk is written even if it equals the
        fill value, so that a missing file always means a missing write. Every chunk carries a
        CRC-32C.
        """
        from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

        kind = np.dtype(dtype)
        floating = np.issubdtype(kind, np.floating)
        least = np.iinfo(kind).min if np.issubdtype(kind, np.integer) else 0
        rest = tuple(shape[1:])
        chunk = max(1, min(chunk, shape[0]))
        whole = math.ceil(shape[0] / chunk) * chunk  # a zarr shard holds whole chunks
        return self.group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=(chunk, *rest),
            shards=None if shard is None else (min(shard, whole), *rest),
            fill_value=np.nan if floating else least,
            serializer=BytesCodec(),
            compressors=[Crc32cCodec()] if floating else [ZstdCodec(level=3), Crc32cCodec()],
            config={"write_empty_chunks": True},
        )

    def save(self, name: str, values: np.ndarray) -> None:
        """Write a whole array of at least one row."""
        values = np.asarray(values)
        require_finite(name, values)
        target = self.array(name, values.shape, str(values.dtype), chunk=ROWS_PER_CHUNK)
        target[...] = values

    def finish(
        self, *, rows: Mapping[str, int] | None = None, facts: Mapping | None = None
    ) -> None:
        """Check that every chunk is there, hash the payload and write the manifest.

        Everything that the manifest vouches for is on the disk before it.
        """
        if (self.folder / "data.zarr").exists():
            missing = _missing_chunks(self.group)
            if missing:
                raise RuntimeError(f"{len(missing)} chunks were never written, first: {missing[0]}")
        files = {}
        for path in payload_files(self.folder):
            disk.sync(path)
            name, digest = path.relative_to(self.folder).as_posix(), sha256(path)
            if digest != self.kept.get(name, digest):
                raise RuntimeError(f"{path} changed while the artifact was made; run again")
            files[name] = {"sha256": digest, "size": path.stat().st_size}
        for folder in {parent for name in files for parent in (self.folder / name).parents}:
            if self.folder in (folder, *folder.parents):
                disk.sync(folder)
        self.check()
        write_json(self.folder / "run.json", self._run_facts(facts or {}))
        content = {
            "format": FORMAT, "spec": self.identity, "rows": dict(rows or {}), "files": files
        }  # fmt: skip
        write_json(self.folder / MANIFEST_COPY, content)
        write_json(self.manifest, content)
        _WRITTEN[:] = [folder for folder in _WRITTEN if folder != self.folder]
        shutil.rmtree(self.progress)
        _ENDED.append(time.time())

    def _run_facts(self, facts: Mapping) -> dict:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        began = _ENDED[-1] if _ENDED else psutil.Process().create_time()  # imports count as well
        record = {
            "host": platform.node(),
            "python": platform.python_version(),
            "seconds": round(max(0.0, time.time() - began), 3),  # a clock may be set back
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
        """Return an array by name, e.g. `artifact["train/images"]`, or all below a name.

        Raises DamagedArtifact for an array that is not there, or is not what its name says.
        """
        try:
            found = self._root[name]
        except KeyError:
            raise DamagedArtifact(
                f"{self.folder} must hold {name}, and does not; make it again: remove that folder"
            ) from None
        below = {f"{name}/{last}": x for last, x in getattr(found, "arrays", dict)()}
        for path, array in (below or {name: found}).items():
            shape = getattr(array, "shape", None)
            if shape is not None and (reason := wrong(path, array.dtype, shape, self.rows)):
                raise DamagedArtifact(f"{self.folder}: {reason}; make it again: remove that folder")
        return found

    def __contains__(self, name: str) -> bool:
        return (self.folder / "data.zarr").exists() and name in self._root

    @cached_property
    def _root(self) -> "zarr.Group":
        import zarr

        return zarr.open_group(self.folder / "data.zarr", mode="r")

    def json(self, name: str) -> dict:
        """Return a JSON payload file's content."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))
