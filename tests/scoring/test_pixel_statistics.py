import numpy as np
import pytest

from bood_tasks.scoring import pixel_statistics, roc
from bood_tasks.scoring.controls import PICTURES_AT_ONCE, best, figures, fingerprints
from bood_tasks.scoring.pixel_statistics import NEAR_ZERO, statistics
from tests import fake_artifacts


def test_statistics_of_a_picture_by_hand():
    """Rows (0, 255) and (255, 255): three steps of 1 among 4 pixels; one pixel of four is black."""
    image = np.full((1, 2, 2, 3), 255, np.uint8)
    image[0, 0, 0] = 0
    found = {name: values.tolist() for name, values in statistics(image).items()}
    assert found == {
        "mean": [0.75],
        "std": [pytest.approx(np.sqrt(0.75 * 0.25))],
        "near-zero share": [0.25],
        "colourfulness": [0.0],
        "total variation": [0.5],  # one step to the right, one down, over 4 pixels
    }


def test_colourfulness_by_hand():
    """Half red, half blue: R - G is 1 and 0, (R + G) / 2 - B is 0.5 and -1."""
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, :, 0] = image[0, 1, :, 2] = 255
    spread, mean = np.hypot(0.5, 0.75), np.hypot(0.5, 0.25)
    assert statistics(image)["colourfulness"] == pytest.approx(spread + 0.3 * mean)
    grey = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 1), dtype=np.uint8).repeat(3, -1)
    assert statistics(grey)["colourfulness"].tolist() == [0, 0]


def test_statistics_near_zero_needs_all_three_channels():
    image = np.full((1, 1, 3, 3), NEAR_ZERO, np.uint8)
    image[0, 0, 1, 2] += 1
    image[0, 0, 2] = 255
    assert statistics(image)["near-zero share"] == pytest.approx(1 / 3)


def test_statistics_total_variation_does_not_wrap_around():
    rising, falling = (np.tile(np.uint8(pair), (1, 1, 1))[..., None].repeat(3, -1)
                       for pair in ([10, 200], [200, 10]))  # fmt: skip
    for image in (rising, falling):
        assert statistics(image)["total variation"] == pytest.approx(190 / 255 / 2)


def test_statistics_do_not_depend_on_the_other_pictures():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (PICTURES_AT_ONCE + 2, 3, 2, 3), dtype=np.uint8)
    together, last = statistics(images), statistics(images[-1:])
    assert all(len(values) == len(images) for values in together.values())
    assert {name: values[-1] for name, values in together.items()} == {
        name: values[0] for name, values in last.items()
    }


def test_best_turns_a_statistic_round_by_hand():
    """`std` is lower for ID: negated it ranks 3 of 4 pairs right; `mean` ranks 2 of 4 right."""
    inside = {"mean": np.array([1.0, 4.0]), "std": np.array([1.0, 3.0])}
    outside = {"mean": np.array([2.0, 3.0]), "std": np.array([2.0, 4.0])}
    name, in_scores, out_scores = best(inside, outside)
    assert (name, in_scores.tolist(), out_scores.tolist()) == ("std", [-1, -3], [-2, -4])


def test_figures_are_the_metrics_of_the_oriented_statistic():
    rng = np.random.default_rng(1)
    dark, bright = (rng.integers(low, low + 150, (40, 4, 4, 3), dtype=np.uint8) for low in (0, 60))
    inside, outside = statistics(dark), statistics(bright)
    found = figures(inside, outside, threshold="first")
    areas = {key: roc.auroc(inside[key], outside[key]) for key in inside}
    assert found["auroc"] == max(max(value, 1 - value) for value in areas.values())
    name = found["statistic"]
    sign = 1 if areas[name] >= 0.5 else -1
    assert (found["n_id"], found["n"]) == (40, 40)
    assert ("auroc", "", found["auroc"]) in found["figures"]
    rate = roc.fpr95(sign * inside[name], sign * outside[name], convention="id", threshold="first")
    assert ("fpr95", "id", rate) in found["figures"]


def test_best_of_the_same_pictures_is_chance():
    same = statistics(np.random.default_rng(0).integers(0, 256, (9, 3, 3, 3), dtype=np.uint8))
    found = figures(same, same, threshold="first")
    assert (found["statistic"], found["auroc"]) == ("mean", 0.5)


def test_best_refuses_an_empty_set():
    full, empty = {"mean": np.ones(2)}, {"mean": np.ones(0)}
    with pytest.raises(ValueError, match="OOD scores must hold at least one value"):
        best(full, empty)


def test_fingerprints_tell_pictures_apart_and_copies_not():
    images = np.zeros((PICTURES_AT_ONCE + 1, 2, 2, 3), np.uint8)
    images[1, 0, 0, 0] = 1
    found = fingerprints(images)
    assert len(set(found)) == 2
    assert found[0] == found[-1] != found[1]


def test_stage_counts_copies_and_compares_each_set_with_its_split(tmp_path):
    """One of `far`'s pictures is an ID training picture, two are ID test ones; one ID test picture
    is a training picture. Validation sets are compared with the ID validation split."""
    rng = np.random.default_rng(0)
    train, test, held = (rng.integers(0, 200, (n, 4, 4, 3), dtype=np.uint8) for n in (9, 8, 3))
    test[0] = train[5]
    far = np.concatenate([train[:1], test[1:3], np.full((3, 4, 4, 3), 255, np.uint8)])
    splits = {"train/images": train, "test/images": test, "validation/images": held}
    data = {
        "cats": fake_artifacts.make(tmp_path, "dataset", arrays=splits),
        "far": fake_artifacts.make(
            tmp_path, "dataset", arrays={"test/images": far}, settings={"name": "far"}
        ),
        "mixed": fake_artifacts.make(
            tmp_path, "dataset", arrays={"test/images": held[:2]}, settings={"name": "mixed"}
        ),
    }
    settings = {
        "id": "cats", "datasets": list(data), "threshold": "first",
        "test": ["far"], "validation": ["mixed"], "control": [],
    }  # fmt: skip
    made = fake_artifacts.run_stage(
        tmp_path, pixel_statistics.main, "pixel_statistics", settings,
        {"datasets": list(data.values())},
    )  # fmt: skip
    facts = made.json("pixel_statistics.json")
    assert facts["cats"]["in_training"] == 1
    assert {"colourfulness"} <= facts["cats"].keys() & facts["far"].keys()
    assert (facts["far"]["in_training"], facts["far"]["in_test"], facts["far"]["n"]) == (1, 2, 6)
    assert (facts["far"]["n_id"], facts["mixed"]["n_id"], facts["mixed"]["n"]) == (8, 3, 2)
    expected = figures(statistics(test), statistics(far), threshold="first")
    assert facts["far"]["auroc"] == expected["auroc"]
