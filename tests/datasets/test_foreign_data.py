"""Arrays, pickles and texts as others make them: read as they are meant, or named."""

import gzip
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from bood_tasks.catalogue.walk import LeftOut
from bood_tasks.datasets.derived import CORRUPTIONS, corrupt
from bood_tasks.datasets.pictures import hold_out, plain_labels, require_classes, rows_of
from bood_tasks.datasets.read_arrays import (
    OTHER_LABEL,
    read_idx,
    read_npy,
    read_npz,
    read_samples,
    read_svhn,
)
from bood_tasks.datasets.read_cifar import read_cifar, unpickle_plain
from bood_tasks.datasets.read_texts import read_corpus, read_utf8, split_lines
from bood_tasks.detectors.confidence import msp

PICTURES = np.zeros((60, 8, 8), np.uint8)
LABELS = np.arange(60) % 3
NPZ = {
    "name": "mine", "train": ["x", "y"], "test": ["x", "y"], "classes": {"b": 0, "a": 1},
    "train_per_class": None, "validation_per_class": 3,
}  # fmt: skip
OOD = NPZ | {"train": None, "classes": None, "validation_per_class": 0}


def npz(tmp_path, labels, change=NPZ, told=None, **more):
    np.savez(tmp_path / "a.npz", **{"x": PICTURES, "y": labels} | more)
    return read_npz(tmp_path / "a.npz", change, told)


@pytest.mark.parametrize(
    "labels", [LABELS, LABELS[:, None], np.eye(3)[LABELS], np.eye(3, dtype=bool)[LABELS],
               LABELS.astype(np.float32), LABELS.astype(np.uint8)],
)  # fmt: skip
def test_labels_of_every_shape_that_can_be_meant(tmp_path, labels):
    told = LeftOut()
    splits, classes = npz(tmp_path, labels, NPZ, told)
    assert classes == ["a", "b"]
    assert splits["test"].index.tolist() == np.flatnonzero(LABELS < 2).tolist()
    assert splits["test"].labels.tolist() == [1 - k for k in LABELS if k < 2]
    assert told.counts == {OTHER_LABEL: 40}  # 20 in each of train and test


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.zeros((60, 3)), "whose rows are not one-hot"),
        (np.ones((60, 2, 2), int), "must have one label a row"),
        (np.zeros(59, int), r"got \[59\] for 60 pictures"),
        (np.full(60, 0.9), "whole numbers, got fractions or NaN"),
        (np.full(60, np.nan), "whole numbers, got fractions or NaN"),
        (np.array(["a"] * 60), "must hold numbers, got <U1"),
    ],
)
def test_other_labels_are_refused_by_name(tmp_path, labels, why):
    with pytest.raises(ValueError, match=rf"a\.npz:y .*{why}"):
        npz(tmp_path, labels)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(0, 3))
def test_one_hot_rows_mean_the_labels_that_they_were_made_of(labels, kind):
    labels = np.array(labels)
    shapes = (labels, labels[:, None], np.eye(7)[labels], np.eye(7, dtype=np.int8)[labels])
    assert plain_labels(shapes[kind], len(labels), "y").tolist() == labels.tolist()


def test_a_set_for_testing_needs_no_names_and_no_classes(tmp_path):
    splits, classes = npz(tmp_path, LABELS, OOD)
    assert (len(splits["test"].labels), classes) == (60, ["a"])
    splits, classes = npz(tmp_path, LABELS % 2, OOD, names=np.array(["u", "v", "w"]))
    assert (len(splits["test"].labels), classes) == (60, ["u", "v"])
    splits, classes = npz(tmp_path, LABELS, NPZ | {"classes": None})
    assert (len(splits["test"].labels), classes) == (60, ["0", "1", "2"])
    with pytest.raises(ValueError, match="must list each class once"):
        npz(tmp_path, LABELS, OOD, names=np.array(["a", "a"]))


def test_colour_and_one_channel_are_read_and_floats_refused(tmp_path):
    for shape in ((60, 8, 8, 1), (60, 8, 8, 3)):
        assert len(npz(tmp_path, LABELS, x=np.zeros(shape, np.uint8))[0]["test"].labels) == 40
    for wrong in (np.zeros((60, 8, 8)), np.zeros((60, 8, 8, 4), np.uint8), PICTURES[:0]):
        with pytest.raises(ValueError, match=r"a\.npz:x must be uint8 \[n, h, w\]"):
            npz(tmp_path, LABELS[: len(wrong)], x=wrong)


def test_arrays_that_nobody_names_are_not_read(tmp_path):
    npz(tmp_path, LABELS, other=np.array([{}], object))  # would be refused, and a bomb would fit


def test_held_out_pictures_never_come_from_behind():
    """Five of a class and six to hold out left four for training and held one out."""
    rows = rows_of(np.zeros((10, 2, 2), np.uint8), np.arange(10) % 2, "x")
    given = {"name": "d", "validation_per_class": 6, "train_per_class": None}
    with pytest.raises(ValueError, match="got 5 of a, no images left in 'train'"):
        hold_out(rows, ["a", "b"], given)


def test_id_data_have_two_classes_and_none_is_lost():
    require_classes("d", ["a", "b"], {"train": [0, 1], "test": [0]})
    with pytest.raises(ValueError, match=r"datasets\.d must have at least two classes .* got 1: a"):
        require_classes("d", ["a"], {"train": [0]})
    with pytest.raises(ValueError, match="every class in its train split, got none of b"):
        require_classes("d", ["a", "b"], {"train": [0]})
    with pytest.raises(ValueError, match="every class in its test split, got none of b"):
        require_classes("d", ["a", "b"], {"train": [0, 1], "test": [0]}, {"test": [0, 1]})


@given(st.integers(1, 40), st.integers(2, 14))
@settings(max_examples=25)
def test_corrupted_pictures_keep_their_size(size, count):
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    found, kinds = corrupt(images, np.arange(count) % 2)
    assert found.shape == images.shape
    shuffled = kinds == list(CORRUPTIONS).index("jigsaw")
    for before, after in zip(images[shuffled], found[shuffled], strict=True):
        assert np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))


def test_one_class_is_refused_where_it_cannot_do():
    import torch

    with pytest.raises(ValueError, match="at least two classes, got the pictures of 1"):
        corrupt(np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="at least two classes, got 1"):
        msp(torch.zeros(3, 1))


# --- every decoder of arrays: damaged files are read or named, never a traceback ---

CIFAR = {"kind": "cifar10", "name": "d", "train_per_class": None, "validation_per_class": 0}
SVHN = CIFAR | {"kind": "svhn"}
BATCH = {"data": np.zeros((20, 3072), np.uint8), "labels": [k % 10 for k in range(20)]}


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros((6, 3, 8, 8), np.uint8), y=np.zeros(6, int))
    return buffer.getvalue()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((6, 8, 8, 3), np.uint8))
    return buffer.getvalue()


def _mat() -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((4, 1), np.uint8)},
            do_compression=True)  # fmt: skip
    return buffer.getvalue()


def _idx() -> bytes:
    return gzip.compress(np.array([2051, 6, 8, 8], ">u4").tobytes() + bytes(6 * 64), mtime=0)


def in_folder(reader, name, given):
    def read(file: Path):
        file.rename(file.with_name(name))
        return reader(file.parent, given)

    return read


def read_cifar_of(file: Path):
    for name in [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]:
        (file.parent / name).write_bytes(file.read_bytes())
    names = {"label_names": [f"n{k}" for k in range(10)]}
    (file.parent / "batches.meta").write_bytes(pickle.dumps(names))
    return read_cifar(file.parent, CIFAR)


DECODERS = {
    "npz": (_npz, read_samples),
    "npy": (_npy, read_npy),
    "mat": (_mat, in_folder(read_svhn, "test_32x32.mat", SVHN)),
    "idx": (_idx, read_idx),
    "pickle": (lambda: pickle.dumps(BATCH, 2), read_cifar_of),
    "text": (lambda: gzip.compress(b"one two\nthree\n", mtime=0), lambda file: (read_utf8(file),)),
}


@pytest.mark.parametrize("kind", DECODERS)
@given(data=st.data())
@settings(max_examples=60)
def test_damaged_files_of_arrays_are_read_or_named(tmp_path_factory, kind, data):
    make, read = DECODERS[kind]
    content = bytearray(make())
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, min(len(content) - 1, 3000)))
        content[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    folder = tmp_path_factory.mktemp("d")
    file = folder / ("x.gz" if kind == "text" else "x.bin")
    file.write_bytes(content)
    try:
        told = str(folder) if read(file) else ""
    except ValueError as error:
        told = str(error)
    assert str(folder) in told


FORGED = {
    "a pointer": b"cnumpy\nndarray\n((I1\ntcnumpy\ndtype\n(S'O'\ntRS'AAAAAAAA'\ntR.",
    "an offset": b"cnumpy\nndarray\n((I9\ntcnumpy\ndtype\n(S'u1'\ntRS'A'\nI-9\ntR.",
    "objects by state": b"cnumpy\nndarray\n((I1\ntcnumpy\ndtype\n(S'O8'\nI0\nI1\ntR"
    b"(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbS'AAAAAAAA'\ntR.",
    "more rows than bytes": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\n"
    b"tR(I1\n(L10000000000000L\ntcnumpy\ndtype\n(S'u1'\ntRI00\nS'AB'\ntb.",
}


@pytest.mark.parametrize("content", FORGED.values(), ids=FORGED)
def test_arrays_forged_in_a_pickle_reach_no_memory(content):
    with pytest.raises((ValueError, TypeError, pickle.UnpicklingError)):
        unpickle_plain(content)


@pytest.mark.parametrize("labels", [[-1] * 20, [0.5] * 20, ["x"] * 20, [10] * 20, [[1, 2]] * 20])
def test_labels_of_a_cifar_pickle_that_are_none_are_refused(tmp_path, labels):
    (tmp_path / "x").write_bytes(pickle.dumps(BATCH | {"labels": labels}))
    with pytest.raises(ValueError, match="labels"):
        read_cifar_of(tmp_path / "x")


# --- texts ---

TSV = {
    "kind": "tsv", "name": "mine", "text": "text", "label": "label", "classes": None,
    "other": None, "min_words": 1, "validation": 0, "test": 1,
}  # fmt: skip
INSIDE = [
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\r",
    '"',
    "\0",
    "\ufeff",
]


@given(
    st.lists(st.lists(st.sampled_from(["word", "caf\u00e9", *INSIDE]), min_size=1, max_size=6),
             min_size=1, max_size=12),
    st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans(),
)  # fmt: skip
@settings(max_examples=80)
def test_a_line_is_a_text_whatever_stands_in_it(tmp_path_factory, rows, end, marked, ended):
    texts = [f"{number} " + "".join(row).strip("\r") + " end" for number, row in enumerate(rows)]
    content = end.join(texts) + end * ended
    encoding = "utf-8-sig" if marked else "utf-8"
    file = tmp_path_factory.getbasetemp() / "lines.txt"
    file.write_bytes(content.encode(encoding))
    found = read_corpus(file, {"kind": "lines", "name": "x", "validation": 0})[0]["test"]
    assert found.texts == [" ".join(text.split()) for text in texts]
    assert found.index == list(range(len(texts)))
    table = "text\tlabel" + end + end.join(f"{t}\t{k}" for k, t in enumerate(texts)) + end * ended
    file.write_bytes(table.encode(encoding))
    found = read_corpus(file, TSV)[0]["test"]
    assert found.texts == [" ".join(text.split()) for text in texts]


def test_lines_end_at_line_ends_alone():
    assert split_lines("a\u2028b\r\nc\rd\n\ne") == ["a\u2028b", "c\rd", "", "e"]
    assert split_lines("") == []


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("latin1", "latin1"), ("cp1252", "cp1252"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16le"),
     ("utf-16-be", "utf-16be"), ("utf-32", "utf-32")],
)  # fmt: skip
def test_other_encodings_are_named_with_the_command_that_mends_them(tmp_path, encoding, named):
    text = "caf\u00e9 \u2019 au lait\n" if encoding != "latin1" else "caf\u00e9 au lait\n"
    (tmp_path / "x.txt").write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=rf"x\.txt must be UTF-8, .*`iconv -f {named} -t utf-8`"):
        read_utf8(tmp_path / "x.txt")
    (tmp_path / "x.txt").write_bytes((tmp_path / "x.txt").read_bytes().decode(named).encode())
    assert read_utf8(tmp_path / "x.txt") == text  # the command named is the right one


def test_long_cells_are_read_and_what_is_left_out_of_a_table_is_counted(tmp_path):
    rows = [("word " * 40_000, "a"), ("one two", "a"), ("one two", "a"), ("twice", "a"),
            ("twice", "b"), ("short", "a"), ("of c, not asked for", "c"), ("b b", "b")]  # fmt: skip
    table = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    (tmp_path / "x.tsv").write_text(table)
    told = LeftOut()
    given = TSV | {"other": ["a", "b"], "min_words": 2}
    found = read_corpus(tmp_path / "x.tsv", given, told)[0]["test"]
    assert sorted(map(len, found.texts)) == [3, 7, 199_999]
    assert told.counts == {
        "with another label": 1, "that stand there twice": 1,
        "with fewer words than min_words = 2": 3,
    }  # fmt: skip


def test_a_folder_of_texts_is_walked_as_one_of_pictures(tmp_path):
    for name in ("a", "b", ".git"):
        for k in range(40):
            file = tmp_path / name / ("deep/" if k % 2 else "") / f"{k}.{'TXT' if k % 3 else 'txt'}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"text {k} of {name}", encoding="utf-8-sig")
    (tmp_path / "loose.txt").write_text("x")
    (tmp_path / "a/notes.md").write_text("x")
    given, told = {"kind": "texts", "name": "docs", "validation": 0.2, "test": 0.2}, LeftOut()
    splits, classes = read_corpus(tmp_path, given, told)
    assert classes == ["a", "b"]
    assert sum(len(part.texts) for part in splits.values()) == 80
    assert sum(told.counts.values()) == 3  # .git, loose.txt, notes.md
    assert not any("\ufeff" in text for part in splits.values() for text in part.texts)
    every = read_corpus(tmp_path, {"kind": "texts", "name": "docs", "role": "ood"})[0]
    assert {split: len(part.texts) for split, part in every.items()} == {"test": 81}
    (tmp_path / "a/1.txt").write_bytes(b"caf\xe9")
    (tmp_path / "b/empty.txt").write_text(" ")
    with pytest.raises(ValueError, match=r"2 unreadable: .*1\.txt must be UTF-8.*empty\.txt must"):
        read_corpus(tmp_path, given)
