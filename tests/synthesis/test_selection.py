"""Selection counts, order and refusals, worked by hand."""

import numpy as np
import pytest

from bood_tasks.synthesis.samplers.selection import describe_selection, select_rows

CLASSES = ["cat", "dog"]


def selected(labels, steps, margin=None, crossed=None, **changes):
    how = {
        "select": "boundary", "rate": 0.5, "scope": "per_class", "misclassified": "drop",
        "seed": 0,
    }  # fmt: skip
    size = len(labels)
    return select_rows(
        np.array(labels),
        np.array(steps, dtype=np.int32),
        np.full(size, True) if crossed is None else np.array(crossed),
        np.linspace(0.1, 0.2, size) if margin is None else np.array(margin),
        CLASSES,
        **(how | changes),
    )


def test_order_is_distance_then_absolute_margin_then_index():
    found = selected(
        labels=[1, 0, 0, 0, 0, 0, 0, 0, 0],
        steps=[9, 3, 2, 2, 2, 2, 0, 0, 1],
        margin=[0.0, 0.0, 0.3, 0.2, 0.2, 0.1, -0.5, -0.1, 0.9],
        rate=0.75,
        misclassified="keep",
    )
    assert found.rows.tolist() == [7, 6, 8, 5, 3, 4, 0]
    assert found.selected == {"cat": 6, "dog": 1}
    assert found.cut == {"cat": 2, "dog": 9}
    assert found.tie_mass == {"cat": 4, "dog": 1}


@pytest.mark.parametrize(("rows", "expected"), [(500, 25), (30, 2), (50, 2), (70, 4), (10, 0)])
def test_count_is_pythons_round_of_rate_times_all_rows(rows, expected):
    labels = [0] * rows + [1] * 20
    if expected == 0:
        with pytest.raises(ValueError, match=f"got 0 of {rows} for cat at rate 0.05"):
            selected(labels, [1] * len(labels), rate=0.05)
    else:
        found = selected(labels, [1] * len(labels), rate=0.05)
        assert found.rows.tolist() == [*range(expected), rows]


def test_misclassified_rows_are_dropped_or_kept_and_counted_in_n():
    labels, steps = [0, 0, 0, 0, 1, 1], [0, 0, 5, 6, 1, 2]
    dropped = selected(labels, steps)
    assert dropped.rows.tolist() == [2, 3, 4]  # still round(.5 * 4) of cat
    assert dropped.dropped_misclassified == {"cat": 2, "dog": 0}
    kept = selected(labels, steps, misclassified="keep")
    assert kept.rows.tolist() == [0, 1, 4]
    assert kept.dropped_misclassified == {"cat": 0, "dog": 0}


def test_never_crossed_rows_are_skipped_for_the_next_in_rank(capsys):
    found = selected(
        labels=[0, 0, 0, 0, 1, 1],
        steps=[9, 9, 9, 3, 1, 2],
        margin=[0.1, 0.2, 0.3, 0.9, 0.1, 0.1],
        crossed=[False, True, True, True, True, True],
    )
    assert found.rows.tolist() == [3, 1, 4]
    assert found.skipped_never_crossed == {"cat": 1, "dog": 0}
    assert found.tie_mass == {"cat": 2, "dog": 1}
    assert "warning: cat: 1 rows that never crossed" in capsys.readouterr().err


def test_never_crossed_rows_are_selected_by_their_distance_where_they_are_kept(capsys):
    """Of K = 9 steps, none of the first class's rows crosses."""
    found = selected(
        labels=[0, 0, 0, 0, 1, 1],
        steps=[9, 9, 9, 9, 1, 9],
        margin=[0.4, 0.2, 0.3, 0.9, 0.1, 0.1],
        crossed=[False, False, False, False, True, False],
        uncrossed="keep",
    )
    assert found.rows.tolist() == [1, 2, 4]
    assert found.skipped_never_crossed == {"cat": 0, "dog": 0}
    assert found.tie_mass == {"cat": 4, "dog": 1}
    assert capsys.readouterr().err == ""


def test_never_crossed_rows_behind_the_cut_are_no_matter(capsys):
    found = selected([0, 0, 1, 1], [1, 9, 1, 9], crossed=[True, False, True, False])
    assert found.rows.tolist() == [0, 2]
    assert found.skipped_never_crossed == {"cat": 0, "dog": 0}
    assert capsys.readouterr().err == ""


def test_too_few_rows_are_all_taken_with_a_warning(capsys):
    found = selected(
        labels=[0, 0, 0, 0, 1, 1], steps=[0, 4, 9, 9, 1, 2],
        crossed=[True, True, False, False, True, True],
    )  # fmt: skip
    assert found.rows.tolist() == [1, 4]
    warning = "2 rows that never crossed the boundary were skipped, 1 of 2 wanted rows selected"
    assert warning in capsys.readouterr().err


def test_global_scope_ranks_all_classes_together():
    labels, steps = [0, 0, 0, 1, 1, 1], [1, 3, 7, 2, 3, 9]
    found = selected(labels, steps, scope="global")
    assert found.rows.tolist() == [0, 1, 3]
    assert found.selected == {"cat": 2, "dog": 1}
    assert found.cut == {"cat": 3, "dog": 3}  # one cut for all
    assert found.tie_mass == {"cat": 1, "dog": 1}


def test_global_scope_rejects_a_class_without_rows():
    with pytest.raises(
        ValueError, match=r"got 0 of 2 for dog at rate 0\.5: .* ood_features\.scope: per_class"
    ):
        selected([0, 0, 1, 1], [1, 2, 8, 9], scope="global")


def test_rejects_a_class_whose_rows_are_all_unusable():
    message = r"got 0 of 3 for cat at rate 0\.5: 2 misclassified \(drop\), 1 never crossed; raise"
    with pytest.raises(ValueError, match=message):
        selected([0, 0, 0, 1], [0, 0, 9, 1], crossed=[True, True, False, True], rate=0.5)


def test_random_rows_depend_on_seed_and_class_alone():
    labels = [0] * 40 + [1] * 40
    steps = list(range(1, 81))
    first = selected(labels, steps, select="random", rate=0.25)
    assert first.selected == {"cat": 10, "dog": 10}
    assert (
        first.rows.tolist()
        == selected(labels, steps[::-1], select="random", rate=0.25).rows.tolist()
    )
    assert (
        first.rows.tolist()
        != selected(labels, steps, select="random", rate=0.25, seed=1).rows.tolist()
    )
    more = selected(labels + [1] * 40, steps + [1] * 40, select="random", rate=0.25)
    assert first.rows[:10].tolist() == more.rows[:10].tolist()
    assert [row + 40 for row in first.rows[:10]] != first.rows[10:].tolist()
    assert set(first.rows) != set(range(10)) | set(range(40, 50))
    assert first.cut == {}
    assert first.tie_mass == {}


def test_random_rows_skip_what_boundary_skips():
    labels, steps = [0] * 10 + [1] * 10, [0, 9] + [3] * 18
    crossed = [True, False] + [True] * 18
    found = selected(labels, steps, crossed=crossed, select="random", rate=0.8)
    assert sorted(found.rows[:8]) == list(range(2, 10))
    assert found.dropped_misclassified == {"cat": 1, "dog": 0}


@pytest.mark.parametrize("rate", [0.0, 5.0, -0.1])
def test_rejects_rates_outside_the_unit_interval(rate):
    with pytest.raises(ValueError, match=rf"rate must be in \(0, 1\], got {rate}; write 5 % as"):
        selected([0, 1], [1, 1], rate=rate)


def test_log_shows_histogram_cut_and_tie_mass():
    labels, steps = [0, 0, 0, 1, 1, 1], [0, 2, 2, 2, 3, 9]
    found = selected(labels, steps, rate=0.4)
    crossed = np.array([True] * 5 + [False])
    lines = describe_selection(np.array(steps, dtype=np.int32), crossed, found)
    assert lines == [
        "distances d to the boundary, in steps:",
        "  d 0: 1 rows (16.7%)",
        "  d 2: 3 rows (50.0%)",
        "  d 3: 1 rows (16.7%)",
        "  d 9: 1 rows (16.7%)",
        "  1 of these rows never crossed",
        "cat: 1 selected, 1 misclassified dropped, cut at d = 2, where 2 rows tie",
        "dog: 1 selected, 0 misclassified dropped, cut at d = 2, where 1 rows tie",
    ]


def test_log_joins_distances_into_at_most_twenty_ranges():
    steps = np.arange(101, dtype=np.int32)
    found = selected([0] * 50 + [1] * 51, steps)
    lines = describe_selection(steps, np.full(101, True), found)
    assert lines[1] == "  d 0-5: 6 rows (5.9%)"
    assert lines[17] == "  d 96-101: 5 rows (5.0%)"
