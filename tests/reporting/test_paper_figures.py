import itertools

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from sklearn.decomposition import PCA

from bood_tasks.reporting.figures.album import save_figure
from bood_tasks.reporting.figures.curves import Sweep, over_settings
from bood_tasks.reporting.figures.distributions import pixel_control
from bood_tasks.reporting.figures.mosaics import LARGEST_TILE, SMALLEST_TILE, class_grids, strips
from bood_tasks.reporting.figures.planes import (
    comparison_plane,
    perturbation_paths,
    principal_plane,
    project,
)
from bood_tasks.reporting.figures.style import BLACK, house_style
from bood_tasks.synthesis import cosine

DOLLARS = "cost $1 to $2"


@pytest.fixture(autouse=True)
def in_house_style():
    with house_style():
        yield


def pictures(*shape, size=8):
    return np.random.default_rng(0).integers(0, 256, (*shape, size, size, 3), dtype=np.uint8)


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def written(figure):
    return [text.get_text() for text in figure.texts]


def placed(figure):
    (canvas,) = figure.images
    return canvas.get_array()


def inside(figure):
    """Whether every text of a figure of pictures lies within it."""
    frame = figure.bbox
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
    return all(
        box.x0 >= 0 and box.y0 >= 0 and box.x1 <= frame.width and box.y1 <= frame.height
        for box in boxes
    )


def legend_names(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


# --- pictures ---


def test_strips_label_values_features_and_the_default():
    names = ["sweet_pepper", "a class of a very long name", DOLLARS]
    figure = strips(
        pictures(3, 3), [0, 2, 0.015], names, symbol="c", default=2, title="Effect of c"
    )
    assert written(figure) == ["c = 0", "c = 2\n(default)", "c = 0.015", *names, "Effect of c"]
    assert not any(text.get_parse_math() for text in figure.texts)
    assert inside(figure)
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text() in names]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_strips_hold_each_picture_enlarged_in_its_place():
    images = pictures(2, 3)
    figure = strips(images, [1, 2], ["a", "b", "c"], symbol="α", default=3, title="")
    factor = SMALLEST_TILE // images.shape[2]
    sheet = placed(figure)
    corners = [np.argwhere((sheet == image[0, 0]).all(-1))[0] for row in images for image in row]
    for (top, left), image in zip(corners, images.reshape(6, 8, 8, 3), strict=True):
        shown = sheet[top : top + SMALLEST_TILE : factor, left : left + SMALLEST_TILE : factor]
        assert (shown == image).all()
    assert len({top for top, _ in corners}) == 2
    assert len({left for _, left in corners}) == 3


def test_class_grids_write_a_heading_over_each_grid():
    figure = class_grids(
        {DOLLARS: [pictures(4), pictures(3)], "bear": [pictures(1), pictures(4)]},
        ["DreamOOD", "BOOD"], title="t", columns=2,
    )  # fmt: skip
    assert written(figure) == [DOLLARS, "bear", "DreamOOD", "BOOD", "t"]
    assert inside(figure)


def test_class_grids_shrink_large_pictures_by_means():
    stripes = np.zeros((1, 2 * LARGEST_TILE, 2 * LARGEST_TILE, 3), np.uint8)
    stripes[:, :, ::2] = 200  # every other column: skipping columns would leave only one colour
    sheet = placed(class_grids({"a": [stripes]}, [""], title="", columns=1))
    grey = (sheet == 100).all(-1)
    assert grey.sum() == LARGEST_TILE**2
    assert ((sheet == 255).all(-1) | grey).all()


# --- the plane ---


def test_projection_onto_principal_components_is_that_of_sklearn_on_every_call():
    features = gaussian(30, 5) * [1, 5, 1, 3, 1]
    plane = principal_plane(features)
    expected = PCA(2, svd_solver="full").fit_transform(features)
    np.testing.assert_allclose(project(features, plane), expected, atol=1e-12)
    np.testing.assert_array_equal(plane.axes, principal_plane(features).axes)
    assert plane.sides is None


@pytest.mark.parametrize("classes", [2, 3])
def test_comparison_plane_tells_the_class_of_every_point(classes):
    """Off the plane too: the side of the projection is the cosine classifier's prediction."""
    anchors, features = gaussian(classes, 7), gaussian(200, 7, seed=1)
    plane = comparison_plane(anchors, features)
    told = (project(features, plane) @ plane.sides.T).argmax(1)
    expected = cosine.predict(torch.from_numpy(features), torch.from_numpy(anchors))
    np.testing.assert_array_equal(told, expected)
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)


def test_comparison_plane_of_two_classes_by_hand():
    """Anchors on y and x: the boundary is x = y, signed distances are (x - y) / √2."""
    anchors = np.array([[0, 5.0, 0], [2.0, 0, 0]])
    features = np.array([[1.0, 1, -4], [1, 1, 4], [3, 1, 0], [1, 3, 0]])
    places = project(features, comparison_plane(anchors, features))
    np.testing.assert_allclose(places[:, 0], np.array([0, 0, 2, -2]) / np.sqrt(2), atol=1e-12)
    np.testing.assert_allclose(np.abs(places[:, 1]), [4, 4, 0, 0], atol=1e-12)


def test_comparison_plane_refuses_more_classes():
    with pytest.raises(ValueError, match=r"anchors must be of 2 or 3 classes, got 4; the princip"):
        comparison_plane(gaussian(4, 7), gaussian(9, 7))


def drawn_paths(sides, classes=("cat", DOLLARS), titles=("",)):
    paths = [np.array([[-1.0, 0], [0.2, 0.1], [0.6, 0.1]]), np.array([[1.0, 1], [-0.5, 1]])]
    panels = {title: paths[:count] for title, count in zip(titles, (2, 1), strict=False)}
    return perturbation_paths(
        np.array([[-1.0, 0], [-2, 1], [1, 1], [2, -1]]), np.array([0, 0, 1, 1]), classes, panels,
        sides=sides, axis_names=("distance", DOLLARS),
    )  # fmt: skip


def test_perturbation_paths_show_classes_paths_boundary_features_and_outliers():
    figure = drawn_paths(None)
    (ax,) = figure.axes
    groups = {dots.get_label(): np.asarray(dots.get_offsets()) for dots in ax.collections}
    assert legend_names(figure) == [*groups, "perturbation path"]
    assert list(groups) == ["cat", DOLLARS, "selected features", "outlier features"]
    np.testing.assert_array_equal(groups[DOLLARS], [[1, 1], [2, -1]])
    np.testing.assert_array_equal(groups["outlier features"], [[0.6, 0.1], [-0.5, 1]])
    assert [len(line.get_xdata()) for line in ax.lines] == [3, 2]
    without_colour = {
        (dots.get_paths()[0].vertices.tobytes(), len(dots.get_facecolor()))
        for dots in ax.collections
    }
    assert len(without_colour) == 4
    low, high = zip(ax.get_xlim(), ax.get_ylim(), strict=True)
    assert np.ptp([low[0], high[0]]) == pytest.approx(np.ptp([low[1], high[1]]))
    assert not any(label.get_parse_math() for label in (ax.xaxis.label, ax.yaxis.label))


def test_two_panels_have_their_own_ways_in_the_same_limits():
    figure = drawn_paths(None, titles=("published", DOLLARS))
    left, right = figure.axes
    assert [ax.get_title() for ax in (left, right)] == ["published", DOLLARS]
    assert [len(ax.lines) for ax in (left, right)] == [2, 1]
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert not left.title.get_parse_math()
    assert len(figure.legends) == 1


def test_perturbation_paths_draw_the_boundary_where_the_sides_are_equal():
    """Sides along x and against it: the boundary is x = 0, each half has its class's name."""
    figure = drawn_paths(np.array([[-1.0, 0], [1, 0]]))
    (ax,) = figure.axes
    lines = [c for c in ax.collections if np.array_equal(c.get_edgecolor(), [to_rgba(BLACK)])
             and not c.get_label().startswith(("selected", "out"))]  # fmt: skip
    borders = np.concatenate([path.vertices for line in lines for path in line.get_paths()])
    np.testing.assert_allclose(borders[:, 0], 0, atol=1e-9)
    assert np.ptp(borders[:, 1]) == pytest.approx(np.ptp(ax.get_ylim()))
    names = {text.get_text(): text.xy[0] for text in ax.texts if text.get_text()}
    assert names["cat"] == ax.get_xlim()[0]
    assert names[DOLLARS] == ax.get_xlim()[1]


def test_perturbation_paths_leave_out_a_region_out_of_sight():
    sides = np.array([[-1.0, 0], [1, 0], [0, 0]])  # class 2 never leads
    figure = drawn_paths(sides, classes=("cat", "dog", "elk"))
    names = [text.get_text() for text in figure.axes[0].texts]
    assert [name for name in names if name] == ["cat", "dog"]


# --- sweeps ---


def sweep(values, *, default, std=0.02):
    steps = np.linspace(0.2, 0.4, len(values))
    means = {"FPR95": steps, "AUROC": 1 - steps / 4}
    return Sweep(
        np.array(values, float), means, {name: np.full(len(values), std) for name in means}, default
    )


BASELINE = {"FPR95": 0.7, "AUROC": 0.8}


def test_sweeps_have_a_column_per_setting_and_a_row_per_metric():
    panels = {"step size α": sweep([0.001, 0.015, 0.1], default=0.015),
              DOLLARS: sweep([0, 1, 2, 100], default=2)}  # fmt: skip
    figure = over_settings(panels, baseline=BASELINE, against="cross-entropy")
    top, bottom = np.reshape(figure.axes, (2, 2))
    assert [ax.get_xlabel() for ax in bottom] == list(panels)
    assert [row[0].get_ylabel() for row in (top, bottom)] == ["FPR95, %", "AUROC, %"]
    assert [ax.get_xscale() for ax in bottom] == ["log", "linear"]  # 0 has no logarithm
    ticks = [label.get_text() for label in bottom[0].get_xticklabels()]
    assert ticks == ["0.001", "0.015", "0.1"]
    assert bottom[0].get_xticks().tolist() == [0.001, 0.015, 0.1]
    assert not any(label.get_parse_math() for ax in bottom
                   for label in (ax.xaxis.label, *ax.get_xticklabels()))  # fmt: skip
    assert not any(ax.get_xticks(minor=True).size for ax in figure.axes)
    assert legend_names(figure) == ["default", "cross-entropy"]
    for ax, floor in zip((top[1], bottom[1]), (70, 80), strict=True):
        default, baseline = ax.lines[:2]
        assert list(default.get_xdata()) == [2, 2]
        assert list(baseline.get_ydata()) == [floor, floor]
        assert baseline.get_linestyle() == ":"
    (bars,) = top[0].containers
    np.testing.assert_allclose(bars.lines[0].get_ydata(), [20, 30, 40])


def drawn_bars(figure):
    """The error bars of the first panel that can be seen."""
    (bars,) = figure.axes[0].containers
    return [
        part for part in bars.lines[2][0].get_segments() if len(part) and np.isfinite(part).all()
    ]


def test_sweeps_draw_one_deviation_up_and_down_and_none_for_a_single_seed():
    several, single = (
        over_settings({"c": sweep([0, 1], default=1, std=std)}, baseline=BASELINE, against="ce")
        for std in (0.02, np.nan)
    )
    np.testing.assert_allclose([part[:, 1] for part in drawn_bars(several)], [[18, 22], [38, 42]])
    assert drawn_bars(single) == []


@pytest.mark.parametrize(
    ("values", "angle"), [([0, 1, 2, 3], 0), ([5, 100, 200, 300, 400], 90), ([3], 0)]
)
def test_sweeps_turn_crowded_tick_labels(values, angle):
    figure = over_settings({"K": sweep(values, default=3)}, baseline=BASELINE, against="ce")
    assert {label.get_rotation() for label in figure.axes[-1].get_xticklabels()} == {angle}


def test_sweeps_are_the_same_bytes_again(tmp_path):
    for name in ("a", "b"):
        figure = over_settings({"c": sweep([0, 1], default=1)}, baseline=BASELINE, against="ce")
        save_figure(figure, tmp_path, name, formats=["svg", "png"])
    for kind in ("svg", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


# --- pixel control ---


def test_pixel_control_puts_detectors_beside_the_bar_of_the_statistic():
    pixels = {"near": ("std", 0.75), DOLLARS: ("mean", 0.5)}
    detectors = {"CE": {"near": 0.6, DOLLARS: 0.9}, "BOOD": {DOLLARS: 0.8, "near": 0.99}}
    figure = pixel_control(pixels, detectors)
    (ax,) = figure.axes
    labels = ax.get_yticklabels()
    assert [label.get_text() for label in labels] == ["near\n(std)", f"{DOLLARS}\n(mean)"]
    assert not any(label.get_parse_math() for label in labels)
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(50, 25), (50, 0)]
    assert all(bar.get_hatch() for bar in ax.patches)
    spots = {dots.get_label(): np.asarray(dots.get_offsets()) for dots in ax.collections}
    np.testing.assert_allclose(spots["BOOD"][:, 0], [99, 80])
    assert (np.abs(spots["BOOD"][:, 1] - [0, 1]) < 0.31).all()  # within its bar
    assert sorted(legend_names(figure)) == ["BOOD", "CE", "best pixel statistic"]
