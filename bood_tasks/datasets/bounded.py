"""How large a compressed file may become: no more than pictures and texts do.

Deflate makes a thousand bytes of one; pictures and texts at most some tens. Sizes are read from
headers, or counted piece by piece, before anything of that size is allocated.
"""

import gzip
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MOST_INFLATED = 100  # times as large as it is in the file
ALWAYS = 2**26  # bytes that anything may become
PIECE = 2**20
_ENDIAN = {b"IM": "little", b"MI": "big"}  # MATLAB's mark at the end of its header
_COMPRESSED = 15  # MATLAB's type of a compressed element
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def most_of(compressed: int) -> int:
    """Return how many bytes so many compressed ones may become."""
    return max(ALWAYS, MOST_INFLATED * compressed)


def _require(size: int, compressed: int, what: str) -> None:
    if size > most_of(compressed):
        raise ValueError(
            f"{what} would become more than {most_of(compressed):,} bytes, of {compressed:,} "
            f"compressed ones: no data do so; more than {MOST_INFLATED} times is refused"
        )


def read_gzip(path: Path) -> bytes:
    """Return what a gzipped file holds. Raises ValueError for a bomb, and what gzip does."""
    size = path.stat().st_size
    with gzip.open(path, "rb") as handle:
        content = handle.read(most_of(size) + 1)
    _require(len(content), size, "it")
    return content


def require_bounded_array(archive: zipfile.ZipFile, key: str) -> None:
    """Raise ValueError for an array of an .npz file that is a bomb, or whose header claims another
    size than the array has. Reads no more than the header."""
    info = archive.getinfo(f"{key}.npy" if f"{key}.npy" in archive.namelist() else key)
    _require(info.file_size, info.compress_size, key)
    with archive.open(info) as handle:
        header = _HEADERS.get(np.lib.format.read_magic(handle))
        if header is None:
            return  # of fields with foreign names: refused later by its type
        shape, _, kind = header(handle)
        claimed = handle.tell() + int(np.prod(shape, dtype=object)) * kind.itemsize
    if not kind.hasobject and claimed != info.file_size:
        raise ValueError(
            f"the header of {key} claims {kind} {list(shape)}, {claimed:,} bytes, and it has "
            f"{info.file_size:,}"
        )


def _compressed_elements(path: Path) -> Iterator[tuple[int, int]]:
    """Yield place and length of each compressed element of a MATLAB 5 file."""
    with path.open("rb") as handle:
        head = handle.read(128)
        order = _ENDIAN.get(head[126:128])
        while order and len(tag := handle.read(8)) == 8:
            kind, length = (int.from_bytes(tag[k : k + 4], order) for k in (0, 4))
            if kind == _COMPRESSED:
                yield handle.tell(), length
            handle.seek(length, 1)


def require_bounded_mat(path: Path) -> None:
    """Raise ValueError for a MATLAB 5 file an element of which is a bomb; zlib.error for damage.

    Inflates every element once, and keeps nothing of it.
    """
    for place, length in _compressed_elements(path):
        reader, total = zlib.decompressobj(), 0
        with path.open("rb") as handle:
            handle.seek(place)
            while length > 0 and (piece := handle.read(min(PIECE, length))):
                length -= len(piece)
                while piece:
                    total += len(reader.decompress(piece, PIECE))
                    piece = reader.unconsumed_tail
                    _require(total, handle.tell() - place, "an element of it")


def require_bounded_pickle(content: bytes) -> None:
    """Raise ValueError for a pickle that numbers what it holds beyond what it has: the
    unpickler would make room for all numbers below. Runs nothing."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > count:
            raise ValueError(f"it gives the number {argument} to its part {count}")
