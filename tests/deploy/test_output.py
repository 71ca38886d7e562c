"""`bood score --out` writes a file of its own; names are text to a spreadsheet."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bood_tasks.cli.main import parser
from bood_tasks.deploy.items import Item
from bood_tasks.deploy.tables import cell, open_output, quoted, require_output


def test_a_picture_a_link_and_what_is_no_file_are_refused(tmp_path):
    picture, csv = tmp_path / "a.png", tmp_path / "s.csv"
    picture.write_text("pixels")
    items = [Item("a.png", picture)]
    (tmp_path / "link.csv").symlink_to(picture)
    os.mkfifo(tmp_path / "fifo.csv")
    os.link(picture, tmp_path / "hard.csv")
    for name, message in {
        "a.png": "is scored", "new.PNG": "is scored", "hard.csv": "is scored",
        "link.csv": "a link", "fifo.csv": "no plain file",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=message):
            require_output(tmp_path / name, items)
    with pytest.raises(FileNotFoundError, match="make it"):
        require_output(tmp_path / "no/s.csv", items)
    csv.write_text("a longer file of an earlier time")
    require_output(csv, items)
    with open_output(csv) as handle:
        handle.write(os.fsdecode(b"bytes\xff.png"))
    assert csv.read_bytes() == b"bytes\xff.png"
    with pytest.raises(OSError, match="link"):
        open_output(tmp_path / "link.csv")
    assert picture.read_text() == "pixels"


@given(st.text())
def test_no_cell_is_a_formula(text):
    for shown, mark in ((quoted(text), "'"), (cell(text), "./")):
        assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert shown in (text, mark + text)


def test_a_picture_whose_name_begins_with_an_at_is_a_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "@args.png").write_text("")
    (tmp_path / "args.png").write_text("--out=victim.txt\n")
    given = parser().parse_args(["score", "--detector", "d", "@args.png"])
    assert [str(path) for path in given.items] == ["@args.png"]
    assert str(given.out) == "scores.csv"
