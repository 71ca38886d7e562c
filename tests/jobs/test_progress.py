"""Progress in a log; under pytest standard error is no terminal."""

import re

import pytest

from bood_tasks.jobs import progress as module
from bood_tasks.jobs.progress import progress


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
