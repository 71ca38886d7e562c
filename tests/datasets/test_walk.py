"""One walk gives what is hashed, read and counted, whatever lies in a folder."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bood_tasks.artifacts.outside import content_digest, require_whole_weights
from bood_tasks.catalogue.datasets import IMAGE_SUFFIXES
from bood_tasks.catalogue.walk import (
    BROKEN,
    HIDDEN,
    ODD,
    TWICE,
    LeftOut,
    folders_in,
    holds_any,
    walk,
)
from bood_tasks.datasets.read_folders import ASIDE, LOOSE, read_folder

SHARES = {"name": "mine", "test": 0.3, "validation": 0.3}
JUNK = (".DS_Store", "Thumbs.db", "._p0.png", ".hidden.png")
OTHER = ("notes.txt", "p.heic", "movie.mp4", "plain")
FOLDERS = ("a", "B", "caf\u00e9", "-rf", "c" * 60, "d d", "caf\udce9", "e.png")
SKIPPED = (".git", "__MACOSX", "@eaDir", ".ipynb_checkpoints")


def picture(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as handle:
        PIL.Image.new("L", (3, 3), value % 256).save(handle, "PNG")


def classes_of(root: Path, names=("a", "b"), count: int = 40) -> None:
    for name in names:
        for k in range(count):
            picture(root / name / f"{k:03}.png", k)


@st.composite
def trees(draw):
    """What a folder holds: (folder, name, kind), and links (from, to)."""
    places = draw(st.lists(st.sampled_from(FOLDERS + SKIPPED), min_size=1, max_size=5, unique=True))
    nested = [f"{p}/{q}" for p in places for q in draw(st.lists(st.sampled_from(FOLDERS),
              max_size=2, unique=True))]  # fmt: skip
    names = st.sampled_from([*JUNK, *OTHER, "p0.png", "p1.JPG", "p2.tif", "p3.webp", "n\u0303.png"])
    folders = ["", *places, *nested]
    files = draw(st.lists(st.tuples(st.sampled_from(folders), names), max_size=20, unique=True))
    links = draw(st.lists(st.tuples(st.sampled_from(folders), st.sampled_from(["up", "twin", "one"
                 , "broken", "away", "fifo", "self"])), max_size=5, unique=True))  # fmt: skip
    return folders, files, links


def build(root: Path, tree) -> dict:
    """Make a tree; return the pictures that a walk must find, and counts of what it leaves."""
    folders, files, links = tree
    elsewhere = root.parent / "elsewhere"
    picture(elsewhere / "far.png")
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)

    def skipped(place: str) -> bool:
        return any(part.startswith(".") or part in SKIPPED for part in place.split("/") if part)

    found, hidden, other, odd, broken, far = set(), 0, 0, 0, 0, 0
    hidden += sum(name.split("/")[-1] in SKIPPED and not skipped("/".join(name.split("/")[:-1]))
                  for name in folders if name)  # fmt: skip
    for number, (place, name) in enumerate(files):
        picture(root / place / name, number)
        if skipped(place):
            continue
        if name in JUNK:
            hidden += 1
        elif Path(name).suffix.lower() in IMAGE_SUFFIXES:
            found.add(f"{place}/{name}".lstrip("/"))
        else:
            other += 1
    for place, kind in links:
        link = root / place / f"link-{kind}"
        if kind == "fifo":
            os.mkfifo(link.with_suffix(".png"))
            odd += not skipped(place)
        elif kind == "self":
            link.symlink_to(link.name)
            broken += not skipped(place)
        elif kind == "broken":
            link.symlink_to("nowhere.png")
            broken += not skipped(place)
        elif kind == "up":
            link.symlink_to(root.parent)
        elif kind == "twin":
            link.symlink_to(root)
        elif kind == "one" and found:
            link.with_suffix(".png").symlink_to(root / sorted(found)[0])
        elif kind == "away":
            link.symlink_to(elsewhere)
            far += not skipped(place)
    return {"found": found, "hidden": hidden, "other": other, "odd": odd, "broken": broken,
            "far": far}  # fmt: skip


@given(trees())
@settings(max_examples=60)
def test_a_walk_gives_each_picture_once_and_counts_the_rest(tmp_path_factory, tree):
    root = tmp_path_factory.mktemp("tree") / "root"
    root.mkdir()
    expected = build(root, tree)
    walked = walk(root, IMAGE_SUFFIXES)
    names = [file.relative_to(root).as_posix() for file in walked.files]
    inside = {name for name in names if "link-away" not in name}
    assert inside == expected["found"]
    assert len(names) == len(set(names)) == len({os.stat(file).st_ino for file in walked.files})
    assert len(names) - len(inside) == min(1, expected["far"])  # what is elsewhere counts once
    counts = walked.left_out.counts
    assert counts.get(HIDDEN, 0) == expected["hidden"]
    assert counts.get(ODD, 0) == expected["odd"]
    assert counts.get(BROKEN, 0) == expected["broken"]
    assert sum(n for reason, n in counts.items() if "another kind" in reason) == expected["other"]
    # what is hashed is what is read: nothing else changes the digest, and each of these does
    before = content_digest(root)
    for place in {"", *(str(Path(name).parent) for name in names)}:
        (root / place / "README.md").write_text("notes")
        (root / place / ".DS_Store").write_text("more")
    assert content_digest(root) == before
    if expected["found"]:
        picture(root / sorted(expected["found"])[0], 255)
        assert content_digest(root) != before
    shutil.rmtree(root.parent)


def test_a_search_for_pictures_ends_where_links_lead_back(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("one", "two"):
        (tmp_path / "a" / name).symlink_to(tmp_path)
    assert not holds_any(tmp_path, IMAGE_SUFFIXES)
    picture(tmp_path / "a/x.png")
    assert holds_any(tmp_path, IMAGE_SUFFIXES)


def test_what_is_no_folder_holds_nothing(tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    assert walk(tmp_path / "x.png").files == walk(tmp_path / "absent").files == []


def test_folders_reached_twice_are_told_and_their_own_place_counts(tmp_path):
    classes_of(tmp_path / "s", ("b",), 3)
    (tmp_path / "s/all").symlink_to(tmp_path / "s/b")  # sorts before b
    walked = walk(tmp_path / "s", IMAGE_SUFFIXES)
    assert [file.parent.name for file in walked.files] == ["b"] * 3
    assert walked.left_out.counts == {TWICE: 1}
    assert walked.left_out.told() == [f"1 {TWICE}: '{tmp_path}/s/all'"]


def test_class_folders_may_be_links_and_what_lies_behind_them_counts(tmp_path):
    classes_of(tmp_path / "store")
    (tmp_path / "subset").mkdir()
    for name in "ab":
        (tmp_path / "subset" / name).symlink_to(tmp_path / "store" / name)
    before = content_digest(tmp_path / "subset")
    splits, classes = read_folder(tmp_path / "subset", SHARES)
    assert classes == ["a", "b"]
    assert sum(len(rows.labels) for rows in splits.values()) == 80
    picture(tmp_path / "store/a/new.png")
    assert content_digest(tmp_path / "subset") != before


def test_weights_behind_a_link_are_checked(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/model.safetensors").write_bytes(b"\1\0\0\0\0\0\0\0")
    (tmp_path / "pipe").mkdir()
    (tmp_path / "pipe/unet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"unet/model.safetensors .* is damaged"):
        require_whole_weights(tmp_path / "pipe", "generator.path")


@pytest.mark.parametrize("junk", SKIPPED)
def test_folders_of_tools_are_no_classes(tmp_path, junk):
    classes_of(tmp_path, ("a", "b", junk))
    assert folders_in(tmp_path) == ["a", "b"]
    assert read_folder(tmp_path, SHARES)[1] == ["a", "b"]
    assert not holds_any(tmp_path / "a", (".gif",))


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (("train", "valid", "test"), {"train": 80, "validation": 80, "test": 80}),
        (("Train", "Val", "TEST"), {"train": 80, "validation": 80, "test": 80}),
        (("training", "dev", "testing"), {"train": 80, "validation": 80, "test": 80}),
    ],
)
def test_split_folders_have_many_names(tmp_path, names, counts):
    for name in names:
        classes_of(tmp_path / name)
    splits, classes = read_folder(tmp_path, SHARES)
    assert classes == ["a", "b"]
    assert {name: len(rows.labels) for name, rows in splits.items()} == counts


def test_two_folders_of_one_split_are_refused(tmp_path):
    for name in ("train", "val", "valid"):
        classes_of(tmp_path / name)
    with pytest.raises(ValueError, match=r"one folder for the validation split, got val, valid"):
        read_folder(tmp_path, SHARES)


def test_splits_without_classes_are_refused_and_a_class_may_be_called_train(tmp_path):
    classes_of(tmp_path / "flat", ("train", "test"))
    with pytest.raises(ValueError, match=r"must have train/<class>/ beside other splits, got "):
        read_folder(tmp_path / "flat", SHARES)
    classes_of(tmp_path / "traffic", ("bus", "train"))
    assert read_folder(tmp_path / "traffic", SHARES)[1] == ["bus", "train"]


def test_what_lies_beside_splits_and_classes_is_counted(tmp_path):
    for name in ("train", "test"):
        classes_of(tmp_path / name)
    classes_of(tmp_path / "extra", ("x",), 7)
    picture(tmp_path / "loose.png")
    picture(tmp_path / "train/loose.png")
    told = LeftOut()
    read_folder(tmp_path, SHARES, told)
    assert told.counts == {LOOSE: 2, f"{ASIDE} (extra)": 7}


def test_a_set_of_the_role_ood_takes_every_picture_below(tmp_path):
    for number, place in enumerate((".", "summer", "summer/beach", "train", "train/x")):
        for k in range(5):
            picture(tmp_path / place / f"{k}.png", number)
    splits, classes = read_folder(tmp_path, {"name": "photos", "role": "ood"})
    assert list(splits) == ["test"]
    assert len(splits["test"].labels) == 25
    assert classes == [".", "summer", "summer/beach", "train", "train/x"]


def test_twins_of_one_name_are_refused_and_one_is_read_composed(tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    classes_of(tmp_path / "one" / "train", ("a", nfc))
    classes_of(tmp_path / "one" / "test", ("a", nfd))  # as a Mac copies it
    splits, classes = read_folder(tmp_path / "one", SHARES)
    assert classes == ["a", nfc]
    assert np.bincount(splits["test"].labels).tolist() == [40, 40]
    classes_of(tmp_path / "two", (nfc, nfd))
    with pytest.raises(ValueError, match="both called 'caf\u00e9'"):
        read_folder(tmp_path / "two", SHARES)


def test_names_that_are_not_utf8_are_read_and_shown_escaped(tmp_path):
    names = ["caf\udce9", "d\u00e9j\u00e0", "x" * 255, "--out"]
    classes_of(tmp_path, names)
    os.rename(tmp_path / "--out/000.png", tmp_path / "--out/caf\udce9.png")
    digest = content_digest(tmp_path)
    splits, classes = read_folder(tmp_path, SHARES)
    assert classes == sorted(["caf\\xe9", "d\u00e9j\u00e0", "x" * 255, "--out"])
    assert sum(len(rows.labels) for rows in splits.values()) == 160
    told = [rows.name(i) for rows in splits.values() for i in range(len(rows.labels))]
    assert all(text.isprintable() and text.encode() for text in told)
    assert content_digest(tmp_path) == digest
