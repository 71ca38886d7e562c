import numpy as np
import pytest

from bood_tasks import metrics, pixel_statistics
from bood_tasks.pixel_statistics import NEAR_ZERO, PICTURES_AT_ONCE, best, statistics


def test_statistics_of_a_picture_by_hand():
    """Rows (0, 255) and (255, 255): three steps of 1 among 4 pixels; one pixel of four is black."""
    image = np.full((1, 2, 2, 3), 255, np.uint8)
    image[0, 0, 0] = 0
    found = {name: values.tolist() for name, values in statistics(image).items()}
    assert found == {
        "mean": [0.75],
        "std": [pytest.approx(np.sqrt(0.75 * 0.25))],
        "near-zero share": [0.25],
        "total variation": [0.5],  # one step to the right, one down, over 4 pixels
    }


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
    name, area, rate = best(inside, outside, threshold="first")
    assert (name, area) == ("std", 0.75)
    assert rate == 0.5  # accepting both of ID (std ≤ 3) takes one of two OOD


def test_best_agrees_with_the_metrics_of_its_oriented_statistic():
    rng = np.random.default_rng(1)
    dark, bright = (rng.integers(low, low + 150, (40, 4, 4, 3), dtype=np.uint8) for low in (0, 60))
    inside, outside = statistics(dark), statistics(bright)
    name, area, rate = best(inside, outside, threshold="first")
    areas = {key: metrics.auroc(inside[key], outside[key]) for key in inside}
    assert area == max(max(value, 1 - value) for value in areas.values())
    sign = 1 if areas[name] >= 0.5 else -1
    assert rate == metrics.fpr95(
        sign * inside[name], sign * outside[name], convention="id", threshold="first"
    )


def test_best_of_the_same_pictures_is_chance():
    same = statistics(np.random.default_rng(0).integers(0, 256, (9, 3, 3, 3), dtype=np.uint8))
    assert best(same, same, threshold="first")[:2] == ("mean", 0.5)


def test_best_refuses_an_empty_set():
    full, empty = {"mean": np.ones(2)}, {"mean": np.ones(0)}
    with pytest.raises(ValueError, match="OOD scores must hold at least one value"):
        pixel_statistics.best(full, empty, threshold="first")
