"""Files of some kilobytes that would take gigabytes: refused by name, in bounded memory and time.

All are read in one child process, whose peak is measured as it goes. What each would take without
its check is from a tenth of a gigabyte (those that are inflated) to more than a machine has.
"""

import gzip
import io
import json
import pickle
import re
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from scipy.io import savemat

MEGABYTES = 200  # what an inflated bomb holds, of zeros
MOST_MB, MOST_SECONDS = 100, 2.0  # beyond what the child has after its imports; ALWAYS is 64 MB
ZEROS = bytes(2**20)
CHILD = """
import json, sys, time, warnings
from pathlib import Path
from bood_tasks.config.load import require_plain
from bood_tasks.datasets import read_arrays, read_cifar, read_texts
from bood_tasks.datasets.pictures import read_told, rows_given
import scipy.io
warnings.simplefilter("ignore")

def told(file):
    return read_told(rows_given([file]), 0, size=32, fit="resize")[0]

NPZ = dict(name="m", train=None, test=["x", "y"], classes=None, validation_per_class=0)
CIFAR = dict(name="m", kind="cifar10", validation_per_class=0, train_per_class=None)
READ = {
    ".npz": lambda path: read_arrays.read_npz(path, NPZ), ".npy": read_arrays.read_npy,
    ".mat": lambda path: read_arrays.read_svhn(path.parent, NPZ), ".gz": read_arrays.read_idx,
    ".png": told, ".yaml": lambda path: require_plain([path]),
    ".txt": lambda path: read_texts.read_utf8(path.with_suffix(".txt.gz")),
    ".pickle": lambda path: read_cifar.unpickle_plain(path.read_bytes()),
    ".cifar": lambda path: read_cifar.read_cifar(path.parent, CIFAR),
}

def memory(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024

found = {}
for path in map(Path, sys.argv[1:]):
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, began = memory("VmRSS"), time.perf_counter()
    try:
        said = READ[path.suffix](path)
    except ValueError as error:
        said = str(error)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    said = said if isinstance(said, str) else "read"
    found[path.parent.name] = (said, memory("VmHWM") - before, seconds)
print(json.dumps(found))
"""


def header(shape, kind="|u1"):
    handle = io.BytesIO()
    fields = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(handle, fields)
    return handle.getvalue()


def npz(x, y=None):
    def write(path):
        labels = io.BytesIO()
        np.save(labels, np.zeros(3, np.int64) if y is None else y)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("y.npy", labels.getvalue())
            with archive.open("x.npy", "w") as handle:
                for piece in x:
                    handle.write(piece)

    return write


def deflated(head, zeros=MEGABYTES):
    """Of the zeros one block is made, which holds no history; its checksum is never reached."""
    writer = zlib.compressobj(9)
    first = writer.compress(head) + writer.flush(zlib.Z_FULL_FLUSH)
    return first + (writer.compress(ZEROS) + writer.flush(zlib.Z_FULL_FLUSH)) * zeros


def gzipped(head):
    def write(path):
        path.write_bytes(gzip.compress(head) + gzip.compress(ZEROS) * MEGABYTES)

    return write


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content


def mat(shape, zeros):
    """A MATLAB 5 file with a compressed X of some shape, and zeros for whatever it claims."""

    def write(path):
        flags = element(6, struct.pack("<II", 9, 0))  # mxUINT8_CLASS
        dims = struct.pack(f"<{len(shape)}i", *shape)
        dims = element(5, dims + bytes(-len(dims) % 8))
        dims = dims[:4] + struct.pack("<I", 4 * len(shape)) + dims[8:]
        name, size = struct.pack("<HH4s", 1, 1, b"X"), int(np.prod(shape, dtype=object))
        body = flags + dims + name + struct.pack("<II", 2, min(size, 2**32 - 1))
        body = struct.pack("<II", 14, min(len(body) + size, 2**32 - 1)) + body
        text = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
        savemat(path, {"y": np.ones((4, 1), np.uint8)})
        rest = path.read_bytes()[128:]
        path.write_bytes(text + element(15, deflated(body, zeros)) + rest)

    return write


def png(width, height, extra=b""):
    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    def write(path):
        size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        more = chunk(b"zTXt", extra) if extra else b""
        data = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + size + more + data)

    return write


def laughing_labels():
    labels = [0] * 10
    for _ in range(9):
        labels = [labels] * 10
    return pickle.dumps({"data": np.zeros((10, 3072), np.uint8), "labels": labels})


def text(content):
    return lambda path: path.write_bytes(content.encode())


LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)
)
BOMBS = {  # name: its file, how it is written, what is said of it
    "npz that inflates": ("a.npz", npz([header((MEGABYTES, 2**20)), *[ZEROS] * MEGABYTES]),
                          "x would become more than"),
    "npz that claims 10^12 pictures": ("a.npz", npz([header((10**12, 8, 8))]),
                                       r"the header of x claims uint8 \[1000000000000, 8, 8\]"),
    "npz that claims 2^70 bytes": ("a.npz", npz([header((2**35, 2**35))]), "the header of x"),
    "npz of objects": ("a.npz", npz([header((10**9,), "|O"), b"x"]), "Object arrays cannot"),
    "npy that claims 10^12 pictures": ("a.npy", lambda path: path.write_bytes(
        header((10**12, 8, 8, 3))), "must be a whole .npy file"),
    "npy of objects": ("a.npy", lambda path: np.save(path, np.array([{}], object)),
                       "must be a whole .npy file"),
    "npy of brackets": ("a.npy", lambda path: path.write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 60000) + b"(" * 60000), "a whole .npy file"),
    "mat that inflates": ("test_32x32.mat", mat((32, 32, 3, 4), MEGABYTES),
                          "an element of it would become more than"),
    "mat that claims 10^6 pictures": ("test_32x32.mat", mat((32, 32, 3, 10**6), 1),
                                      "its header claims 1,000,000 pictures and 4 labels"),
    "idx that inflates": ("a.gz", gzipped(struct.pack(">IIII", 2051, MEGABYTES, 1024, 1024)),
                          "it would become more than 67,108,864 bytes"),
    "text that inflates": ("a.txt", lambda path: gzipped(b"a")(path.with_suffix(".txt.gz")),
                           "it would become more than 67,108,864 bytes"),
    "pickle with the number 2^31": ("a.pickle", lambda path: path.write_bytes(
        b"\x80\x02]r\xff\xff\xff\x7f."), "it gives the number 2147483647 to its part 2"),
    "pickle with the number 10^12 as text": ("a.pickle", text("(lp1000000000000\n."),
                                             "it gives the number 1000000000000"),
    "pickle of 10^10 labels": ("test_batch.cifar", lambda path: [
        path.with_name(name).write_bytes(laughing_labels())
        for name in (path.name, "test_batch", *(f"data_batch_{k}" for k in range(1, 6)))],
        "its labels are lists"),
    "png of 900 million pixels": ("a.png", png(30000, 30000), "DecompressionBomb"),
    "png of 169 million pixels": ("a.png", png(13000, 13000), "169,000,000 pixels, more than"),
    "png one pixel wide": ("a.png", png(1, 16_000_000), "a side has 16,000,000 pixels"),
    "png whose text inflates": ("a.png", png(4, 4, b"k\0\0" + deflated(b"")),
                                "Decompressed data too large"),
    "yaml that laughs": ("a.yaml", text(LAUGHS), "must hold at most 200,000 values"),
    "yaml of 3 MB": ("a.yaml", text(f"seeds: {list(range(400_000))}"), "at most 1,000,000 bytes"),
}  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What is said of each bomb, how many MB it raised the child's peak by, and its seconds."""
    top, paths = tmp_path_factory.mktemp("bombs"), []
    for name, (file, write, _) in BOMBS.items():
        (top / name).mkdir()
        paths.append(top / name / file)
        write(paths[-1])
    for meta in top.glob("*/test_batch.cifar"):
        names = pickle.dumps({"label_names": [f"n{k}" for k in range(10)]})
        meta.with_name("batches.meta").write_bytes(names)
    command = [sys.executable, "-c", CHILD, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_name_within_bounds(told, name):
    said, megabytes, seconds = told[name]
    print(f"{name}: {megabytes:.0f} MB, {seconds:.2f} s, {said}")
    assert re.search(BOMBS[name][2], said), said
    assert megabytes < MOST_MB
    assert seconds < MOST_SECONDS
