"""The pictures of what was told apart, against arrays where the right pictures are known."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bood_tasks.reporting.figures import examples, style
from tests import fake_artifacts
from tests.reporting.test_figures import holds, pictures, pixels

CLASSES = ["cat", "big dog"]
ROW = {"method": "bood", "variant": "", "seed": 0, "score": "energy"}
SETTINGS = {"id": "pets", "test": ["far"], "row": ROW, "outliers": ["images"], "columns": 3}
RIGHT = 16  # of 20 ID pictures; the last four, dogs, are taken for cats


def test_extremes_are_the_surest_first():
    scores = np.array([0.1, 0.9, 0.5, 0.7])
    assert examples.extremes(scores, 2, largest=True).tolist() == [1, 3]
    assert examples.extremes(scores, 2, largest=False).tolist() == [0, 2]


def test_a_spread_reaches_both_ends_and_repeats_nothing():
    assert examples.spread(10, 4).tolist() == [0, 3, 6, 9]
    assert examples.spread(2, 4).tolist() == [0, 1]


def test_confusion_counts_each_sample_once():
    counts = examples.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    assert counts.tolist() == [[1, 1], [0, 1]]
    assert (
        examples.worst_pair(counts, CLASSES) == "Most often cat is taken for big dog (50 % of it)"
    )
    assert examples.worst_pair(np.eye(2, dtype=int), CLASSES) == (
        "No class was ever taken for another"
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("examples")
    labels = np.arange(20) // 10
    logits = np.eye(2, dtype="float32")[np.where(np.arange(20) < RIGHT, labels, 0)]
    own = {"train/images": pictures(1, 9), "test/images": pictures(2, 20)}
    inside, outside = (np.linspace(*ends, dtype="float32") for ends in ((0, 1, 20), (-1, 2, 12)))
    inputs = {
        "datasets": [
            fake_artifacts.make(
                root, "dataset", arrays=own, files={"dataset.json": {"classes": CLASSES}}
            ),
            fake_artifacts.make(
                root, "dataset", arrays={"test/images": pictures(3, 12)}, settings={"of": "far"}
            ),
        ],
        "scores": fake_artifacts.make(
            root, "scores", arrays={"pets/test/score": inside, "far/test/score": outside}
        ),
        "outputs": fake_artifacts.make(
            root, "outputs", arrays={"pets/test/labels": labels, "pets/test/logits": logits}
        ),
        "outliers": [fake_artifacts.make(root, "images", arrays={"images": pictures(4, 5)})],
    }
    return own, fake_artifacts.run_stage(root, examples.main, "examples", SETTINGS, inputs)


def test_every_set_is_shown(drawn):
    own, made = drawn
    sheet = pixels(made.folder / "pictures.png")
    for images in (own["train/images"], pictures(4, 5), pictures(3, 12)):
        rows = examples.spread(len(images), 3)
        assert all(holds(sheet, images[row]) for row in rows)
    assert not holds(sheet, pictures(3, 12)[1])


def test_the_surest_mistakes_are_shown(drawn):
    own, made = drawn
    sheet = pixels(made.folder / "mistakes.png")
    assert all(holds(sheet, pictures(3, 12)[row]) for row in (11, 10, 9))
    assert all(holds(sheet, own["test/images"][row]) for row in (0, 1, 2))
    assert not holds(sheet, own["test/images"][19])


@pytest.mark.parametrize("count", [2, 20, 21, 100, 200])
def test_any_number_of_classes_is_drawn_with_names_that_stay_apart(count):
    names = [f"class {k}" for k in range(count)]
    rejected = np.arange(count) / count
    with style.house_style():
        figure = examples.draw_classes(np.eye(count, dtype=int) * 9, rejected, names)
        FigureCanvasAgg(figure).draw()
        _, bars = figure.axes
        boxes = [text.get_window_extent() for text in bars.get_yticklabels()]
    shown = [text.get_text() for text in bars.get_yticklabels()]
    most = examples.MOST_NUMBERED
    assert shown == (names if count <= most else names[: -most - 1 : -1])
    assert all(not one.overlaps(other) for one, other in itertools.pairwise(boxes))
    assert all(box.x0 >= 0 for box in boxes)
    (legend,) = figure.legends
    assert not legend.get_window_extent().overlaps(bars.get_window_extent())


def test_captions_say_which_class_errs(drawn):
    captions = {item["file"]: item["caption"] for item in drawn[1].json("captions.json")["figures"]}
    assert list(captions) == ["pictures.png", "mistakes.png", "classes.png"]
    assert "Most often big dog is taken for cat (40 % of it)" in captions["classes.png"]
    assert "BOOD by Energy, seed 0" in captions["mistakes.png"]
