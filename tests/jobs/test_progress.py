"""Progress in a log; under pytest standard error is no terminal."""

import re

import pytest

from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Draft, being_written
from bood_tasks.jobs import progress as module
from bood_tasks.jobs.progress import Now, how_far, progress


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time in seconds, set by the test."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_log_has_first_and_last_line_only_when_quick(clock, capsys):
    with progress("images", 3, "images") as advance:
        for _ in range(3):
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "images: 0/3 images"
    assert len(lines) == 2
    assert lines[1].startswith("images: 3/3 images")


def test_log_tells_rate_and_time_left(clock, capsys):
    with progress("images", 100, "images") as advance:
        clock[0] += 20
        advance(40, "loss 0.5")
    assert capsys.readouterr().err.splitlines()[1] == (
        "images: 40/100 images, 2.0/s, 30 s left, loss 0.5"
    )


def test_log_rate_leaves_out_what_an_earlier_try_did(clock, capsys):
    with progress("images", 100, done=60) as advance:
        clock[0] += 10
        advance(20)
    assert "80/100 items, 2.0/s, 10 s left" in capsys.readouterr().err


def test_log_lines_are_seldom(clock, capsys):
    with progress("steps", 1000) as advance:
        for _ in range(100):
            clock[0] += 1
            advance()
    assert len(capsys.readouterr().err.splitlines()) == 1 + 10


def test_bar_at_a_terminal_advances(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress("steps", 4, done=1) as advance:
        advance(3, "done")
    shown = capsys.readouterr()
    assert re.search(r"4/4", shown.out + shown.err)


def test_others_are_told_at_most_once_a_second_while_an_artifact_is_written(clock, tmp_path):
    identity = {"stage": "images", "version": 1, "settings": {}, "inputs": {}}
    folder = tmp_path / "artifacts" / "images" / "x" / digest_of(identity)
    with Draft(folder / "manifest.json", identity) as draft:
        with progress("images", 100, "images", done=10) as advance:
            assert how_far(folder) == Now(10, 100, "images", 0.0)
            clock[0] += 0.5
            advance(5)
            assert how_far(folder).done == 10
            clock[0] += 1.5
            advance(15)
            assert how_far(folder) == Now(30, 100, "images", 10.0)
            assert how_far(folder).seconds_left == 7.0
            clock[0] += 2
            (folder / ".progress" / "now.tmp").mkdir()  # what cannot be written stops no work
            advance(1)
            assert how_far(folder).done == 30
            (folder / ".progress" / "now.tmp").rmdir()
        (folder / "a").write_text("")
        draft.finish()
        with progress("more", 3) as advance:  # of nothing that is being written
            advance(3)
    assert how_far(folder) is None
    assert sorted(path.name for path in folder.iterdir()) == [
        ".finished.json", "a", "manifest.json", "run.json"
    ]  # fmt: skip
    assert being_written() is None


def test_an_artifact_given_up_is_no_longer_told_of(clock, tmp_path):
    identity = {"stage": "images", "version": 1, "settings": {}, "inputs": {}}
    folder = tmp_path / "artifacts" / "images" / "x" / digest_of(identity)
    with pytest.raises(KeyboardInterrupt), Draft(folder / "manifest.json", identity):
        raise KeyboardInterrupt
    assert being_written() is None
