"""The page of `bood score --html`; tests/browser looks at it."""

import re

import numpy as np
import PIL.Image
import pytest

from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.inputs import PictureInput, TextInput
from bood_tasks.deploy.items import Item
from bood_tasks.deploy.page import SHOWN, Extremes, histogram, page
from bood_tasks.deploy.score import score

EVIL = '<img src=x onerror="alert(1)">'


def detector(reading) -> Detector:
    def run(batch):
        return batch.reshape(len(batch), -1).mean(1), np.zeros((len(batch), 2))

    held_out = np.arange(100, dtype=np.float32)
    return Detector("energy", [EVIL, "b"], reading, run, "mine/validation", held_out)


def test_the_utmost_of_either_end_are_kept_in_their_order():
    rng, kept = np.random.default_rng(0), Extremes()
    values = rng.permutation(200)
    for value in values:
        kept.add(Item(f"{value}", ""), float(value), "", "")
    text = page(detector(TextInput(lambda text: [3])), kept, np.float32(values), None, [])
    shown = [int(name) for name in re.findall(r"<br>(\d+)</figcaption>", text)]
    assert shown == [*range(SHOWN), *range(199, 199 - SHOWN, -1)]


def test_no_name_class_or_text_is_markup(tmp_path):
    PIL.Image.new("RGB", (300, 20)).save(tmp_path / "a.png")
    items = [Item(EVIL, tmp_path / "a.png"), Item(f"bad{EVIL}", tmp_path / "absent.png")]
    reading = PictureInput(4, "pad")
    said = score(
        detector(reading), items, tmp_path / "s.csv", kind="csv", tpr=0.95, page=tmp_path / "p.html"
    )
    assert len(said.unreadable) == 1
    text = (tmp_path / "p.html").read_text()
    assert "<img src=x" not in text
    assert text.count("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;") >= 4  # names and classes
    assert "1 unreadable" in text
    assert text.count("data:image/jpeg;base64,") == 2  # the one picture, at either end
    assert not re.search(r"https?:", text)
    texts = [Item("one", f"{EVIL} words")]
    words = detector(TextInput(lambda text: [3] * len(text.split())))
    score(words, texts, tmp_path / "s.csv", kind="csv", tpr=0.95, page=tmp_path / "p.html")
    assert "<img" not in (tmp_path / "p.html").read_text()


@pytest.mark.parametrize("count", [1, 2, 500])
def test_a_histogram_holds_all_and_marks_the_threshold(count):
    scores = np.linspace(0, 1, count)
    svg = histogram(scores, np.array([0.5]), 0.25 if count > 1 else 0.0)
    heights = [float(value) for value in re.findall(r'height="([\d.]+)" fill', svg)]
    assert max(heights) == 140
    assert "nan" not in svg
    x = float(re.search(r'<line x1="([\d.]+)"', svg)[1])
    assert x == pytest.approx(0.25 * 720 if count > 1 else 0)
