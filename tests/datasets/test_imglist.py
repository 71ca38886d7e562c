"""List files as OpenOOD's: what they name is hashed, read, counted and listed, and nothing else."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bood_tasks.artifacts.outside import lists_digest
from bood_tasks.artifacts.spec import to_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.imglist import EMPTY, MARK, RETURNS, TWICE, read_list
from bood_tasks.catalogue.walk import LeftOut
from bood_tasks.cli.look import look
from bood_tasks.config.load import ConfigError, load
from bood_tasks.datasets import dataset
from bood_tasks.datasets.read_imglist import NO_CLASS, read_imglist
from bood_tasks.plan.datasets import dataset as spec_of
from bood_tasks.plan.reporting import shown

NAMES = (
    "a.png",
    "b c.png",
    "d/e f.JPG",
    "7 1.png",
    "caf\u00e9.png",
    "x\u2028y.png",
    "n\u00a0m.png",
)


def picture(path: Path, value: int = 0, size: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (size, size), (value % 256, 0, 0)).save(path, "PNG")


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(-1, 3)), min_size=1, max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.integers(0, 2),
    st.sampled_from([" ", "  ", "\t"]),
    st.booleans(),
)
@settings(max_examples=150)
def test_a_list_gives_each_picture_once_and_counts_the_rest(
    tmp_path_factory, pairs, end, mark, empty, gap, last
):
    file = tmp_path_factory.mktemp("list") / "x.txt"
    labels = dict(reversed(pairs))  # one label a path: the first
    pairs = [(path, labels[path]) for path, _ in pairs]
    lines = [f"{path}{gap}{label}" for path, label in pairs] + [""] * empty
    text = end.join(lines) + end * last
    file.write_bytes(("\ufeff" * mark + text).encode())
    told = LeftOut()
    found = read_list(file, "lists", told)
    assert [(line.path, line.label) for line in found] == list(dict.fromkeys(pairs))
    blank = empty - (empty > 0 and not last)  # the last line ends the file
    ends = text.count("\r\n")
    wanted = {
        MARK: int(mark), TWICE: len(pairs) - len(set(pairs)), RETURNS: ends, EMPTY: blank,
    }  # fmt: skip
    assert told.counts == {reason: count for reason, count in wanted.items() if count}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must name pictures, one a line, got none"),
        (b"/etc/x.png 1\n", "line 1 '/etc/x.png'"),
        (b"a.png 0\nb/../../x.png 1\n", "line 2"),
        (b"a.png 0\na.png 1\n", "one label, got line 2 'a.png'"),
        ("a.png 0\n".encode("utf-16"), "iconv -f UTF-16"),
    ],
)
def test_a_list_that_cannot_be_read_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        read_list(tmp_path / "x.txt", "datasets.d.lists.test")


def test_a_line_of_blanks_takes_no_longer_than_it_is(tmp_path):
    text = "a" + " " * 1_000_000 + "x"  # a pattern that backtracks would need hours
    (tmp_path / "x.txt").write_text(text)
    assert [line.path for line in read_list(tmp_path / "x.txt", "lists")] == [text]


def laid_out(root: Path, count: int = 6, classes=("cat", "dog")) -> dict:
    """Make a data set as OpenOOD's script lays it out; return its settings as a job has them."""
    lists = {}
    for split in ("train", "val", "test"):
        lines = []
        for label, name in enumerate(classes):
            for k in range(count):
                path = f"pets/{split}/{name}/p {k}.png"
                picture(root / "images" / path, 40 * label + k)
                lines.append(f"{path} {label}")
        file = f"lists/{split}_pets.txt"
        (root / "lists").mkdir(exist_ok=True)
        (root / file).write_text("\n".join(lines) + "\n")
        lists[{"val": "validation"}.get(split, split)] = file
    return {"name": "pets", "pictures": "images", "lists": lists}


def test_an_id_data_set_has_the_splits_labels_and_classes_of_its_lists(tmp_path):
    given_ = laid_out(tmp_path)
    splits, classes = read_imglist(tmp_path, given_)
    assert classes == ["cat", "dog"]
    assert {name: rows.labels.tolist() for name, rows in splits.items()} == dict.fromkeys(
        ("train", "validation", "test"), [0] * 6 + [1] * 6
    )
    with splits["test"].read(7) as read:
        assert np.asarray(read)[0, 0, 0] == 41
    assert splits["test"].name(7).endswith("images/pets/test/dog/p 1.png")


def test_classes_go_by_given_names_else_their_own_folders_else_their_labels(tmp_path):
    given_ = laid_out(tmp_path)
    assert read_imglist(tmp_path, given_ | {"classes": ["x", "y"]})[1] == ["x", "y"]
    for wrong, said in ((["x"], "label 1 has no name"), (["x", "y", "z"], "label 2 has no pict")):
        with pytest.raises(ValueError, match=said):
            read_imglist(tmp_path, given_ | {"classes": wrong})
    file = tmp_path / given_["lists"]["train"]
    file.write_text(file.read_text() + "pets/test/cat/p 0.png 1\n")  # two folders of one class
    assert read_imglist(tmp_path, given_)[1] == ["0", "1"]


def test_a_validation_split_without_a_list_is_cut_by_path_and_moves_no_other(tmp_path):
    given_ = laid_out(tmp_path, 40)
    del given_["lists"]["validation"]
    given_["validation"] = 0.3

    def held() -> set[str]:
        rows = read_imglist(tmp_path, given_)[0]["validation"]
        return {rows.name(i) for i in range(len(rows.labels))}

    before = held()
    assert 10 < len(before) < 40
    file = tmp_path / given_["lists"]["train"]
    lines = file.read_text().splitlines()
    file.write_text("\n".join(["pets/test/cat/new.png 0", *lines[5:]]))
    assert before - held() <= {str(tmp_path / "images" / x.rsplit(" ", 1)[0]) for x in lines[:5]}


def test_lines_of_no_class_are_counted_and_odd_labels_are_named(tmp_path):
    given_, told = laid_out(tmp_path), LeftOut()
    file = tmp_path / given_["lists"]["test"]
    file.write_text(file.read_text() + "pets/val/cat/p 0.png -1\n")
    splits, _ = read_imglist(tmp_path, given_, told)
    assert told.counts == {NO_CLASS: 1}
    assert len(splits["test"].labels) == 12
    good = file.read_text()
    for line, said in (("p.png cat", "line 14 'p.png cat'"), ("p.png 1.5", "without"),
                       ("p.png 7", "label 7 there alone")):  # fmt: skip
        file.write_text(good + line + "\n")
        with pytest.raises(ValueError, match=said):
            read_imglist(tmp_path, given_)
    # of an OOD set every picture is taken, whatever its label
    splits, classes = read_imglist(tmp_path, given_ | {"role": "ood"})
    assert list(splits) == ["test"]
    assert len(splits["test"].labels) == 14
    assert classes == [".", "cat", "dog"]


def settings_of(root: Path, **more) -> dict:
    item = laid_out(root)
    del item["name"]
    return {
        "id": "pets",
        "test": ["noise"],
        "image": {"size": 8},
        "datasets": {"pets": {"kind": "imglist", "path": str(root), **item, **more},
                     "noise": {"kind": "noise", "count": 4}},
        "rows": {"ce": {"method": "ce"}},
    }  # fmt: skip


def test_identity_is_that_of_the_lists_and_of_what_they_name(tmp_path):
    given_ = laid_out(tmp_path)
    lists = given_["lists"]

    def digest() -> str:
        return lists_digest(tmp_path, lists, "images", "lists")

    seen = [digest()]
    picture(tmp_path / "images/pets/test/cat/unnamed.png")  # in no list
    assert digest() == seen[0]
    picture(tmp_path / "images/pets/test/cat/p 0.png", 200)
    seen.append(digest())
    (tmp_path / "images/pets/val/dog/p 1.png").unlink()
    seen.append(digest())
    test = tmp_path / lists["test"]
    test.write_text(test.read_text().replace(" 1\n", " 0\n"))
    seen.append(digest())
    assert len(set(seen)) == len(seen)


def test_a_moved_folder_is_the_same_data_set_and_an_ood_set_is_its_test_list(tmp_path):
    raw = settings_of(tmp_path / "one")
    config = load(raw)
    settings_of(tmp_path / "two")
    raw["datasets"]["pets"]["path"] = str(tmp_path / "two")
    assert spec_of(config, "pets").digest == spec_of(load(raw), "pets").digest
    raw["datasets"]["other"] = raw["datasets"]["pets"] | {"classes": ["x", "y"]}
    raw["test"] = ["other"]
    spec = spec_of(load(raw), "other")
    assert spec.settings["lists"] == {"test": "lists/test_pets.txt"}
    assert not {"classes", "validation"} & set(spec.settings)


def test_reports_name_no_folder_of_lists(tmp_path):
    raw = settings_of(tmp_path)
    item = raw["datasets"]["pets"]
    item["lists"] = {split: str(tmp_path / file) for split, file in item["lists"].items()}
    item["pictures"] = str(tmp_path / "images")
    assert str(tmp_path) not in str(shown(load(raw)))
    assert spec_of(load(raw), "pets").settings["lists"]["test"] == str(
        tmp_path / "lists/test_pets.txt"
    )


def test_auto_looks_at_the_pictures_that_lists_name(tmp_path):
    raw = settings_of(tmp_path)
    raw["image"] = {"size": "auto"}
    raw["rows"]["ce"]["scores"] = ["knn"]
    raw["scoring"] = {"knn": {"neighbours": "auto"}}
    config = load(raw, look)
    assert config.image.size == 32  # the pictures have 4 pixels
    assert config.scoring.knn.neighbours == 1  # a quarter of six
    raw["scoring"]["knn"]["neighbours"] = 13
    with pytest.raises(ConfigError, match=r"neighbours must be at most 12 for row ce"):
        load(raw, look)


def test_a_list_that_is_missing_is_named_before_the_first_job(tmp_path):
    raw = settings_of(tmp_path)
    (tmp_path / "lists/val_pets.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"datasets\.pets\.lists\.validation must name"):
        spec_of(load(raw), "pets")
    raw["datasets"]["pets"]["lists"]["train"] = None
    with pytest.raises(ConfigError, match="must name a data set with training data"):
        load(raw)


def run_stage(main, spec) -> Artifact:
    main(["--out", spec.manifest, "--spec", to_json(spec.identity()), "--source", spec.source])
    return Artifact(spec.manifest)


def test_missing_pictures_count_as_unreadable_and_the_summary_says_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = settings_of(tmp_path / "data", max_unreadable=1)
    root = tmp_path / "data"
    (root / "images/pets/test/dog/p 5.png").unlink()
    file = root / "lists/test_pets.txt"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    spec = spec_of(load(raw), "pets")
    made = run_stage(dataset.main, spec)
    facts = made.json("dataset.json")
    assert facts["counts"] == {"test": 11, "train": 12, "validation": 12}
    assert facts["read"]["left_out"] == {MARK: 1, RETURNS: 12}
    assert facts["read"]["unreadable"] == 1
    raw["datasets"]["pets"]["max_unreadable"] = 0
    with pytest.raises(ValueError, match=r"p 5\.png: no picture that can be read: No such file"):
        run_stage(dataset.main, spec_of(load(raw), "pets"))
    assert json.dumps(facts)
