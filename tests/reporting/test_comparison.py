"""Cost beside quality, and the diagrams of the stage `comparison`, on hours that are known."""

import json

import pandas as pd
import pytest

from bood_tasks.reporting import line_costs
from bood_tasks.reporting.figures import comparison, cost_drawn, distance_drawn, style
from bood_tasks.reporting.findings import contenders
from bood_tasks.reporting.line_costs import Job
from bood_tasks.reporting.tables.frames import csv_text, read_csv
from tests import fake_artifacts
from tests.reporting.test_findings import BOOD, CE, NOISE, differing, differing_rows, measured
from tests.reporting.test_stages import metrics_artifact

AUROCS = {CE: [0.7, 0.7], BOOD: [0.8, 0.8], NOISE: [0.71, 0.71]}
JOBS = [Job(1.0, "cpu"), Job(2.0, "H200"), Job(4.0, "H200", resumed=True), Job(None)]
KEYS = ("method", "variant", "score")


def rows(behind):
    """Of each label and seed the places of its jobs."""
    return [
        dict(zip(KEYS, label, strict=True)) | {"seed": seed, "behind": places}
        for label, seeds in behind.items()
        for seed, places in enumerate(seeds)
    ]


def costs_of(behind, half=0.02):
    lines = contenders(measured(AUROCS))
    found = line_costs.line_costs(lines, rows(behind), JOBS, differing(AUROCS, half))
    return {tuple(cost.line.label): cost for cost in found}


BEHIND = {CE: [[0], [0]], BOOD: [[0, 1], [0, 2]], NOISE: [[0, 1], [0, 1]]}


def test_a_lines_hours_are_those_of_all_jobs_behind_one_seed():
    found = costs_of(BEHIND)
    assert [found[label].hours for label in (CE, BOOD, NOISE)] == [1, 4, 3]
    assert found[BOOD].more == 3
    assert found[BOOD].devices == {"cpu", "H200"}
    assert (found[BOOD].resumed, found[NOISE].resumed) == (True, False)


def test_only_a_gain_that_is_told_apart_has_a_price():
    found = costs_of(BEHIND)
    assert found[BOOD].per_point == pytest.approx(3 / 10)
    assert found[NOISE].per_point is None  # one point of AUROC, give or take two
    assert found[CE].per_point is None
    assert costs_of(BEHIND, half=0.005)[NOISE].per_point == pytest.approx(2)


def test_a_line_with_a_job_of_unknown_time_has_none():
    found = costs_of(BEHIND | {BOOD: [[0, 1], [0, 3]]})
    assert found[BOOD].hours is None
    assert found[BOOD].per_point is None
    text = line_costs.said([*found.values()])
    assert "Of 1 lines the time is not known" in text
    assert line_costs.said([]) == ""


def test_what_a_point_costs_is_said_with_the_devices():
    found = costs_of(BEHIND)
    text = line_costs.said([found[BOOD], found[NOISE], found[CE]])
    assert text == (
        "One seed of BOOD by Energy, with all that it rests on, took 4 h 0 min on H200 and cpu; "
        "Cross-entropy by Energy 1 h 0 min. The cheapest gain over plain is that of BOOD by "
        "Energy: 18 min 0 s for each point of AUROC. Behind 1 lines is a resumed job, which counts "
        "its last try alone."
    )


def test_the_front_holds_what_none_beats_at_its_cost():
    hours, values = [3.0, 1.0, 2.0, 4.0], [0.9, 0.5, 0.4, 0.8]
    assert cost_drawn.front(hours, values, higher=True) == [1, 0]
    assert cost_drawn.front(hours, values, higher=False) == [1, 2]


@pytest.mark.parametrize("ends", [(0.9, 11), (0.3, 0.35), (1 / 3600, 0.02), (0.5, 3000)])
def test_ticks_are_round_and_few_and_within_the_axis(ends):
    found = cost_drawn.ticks(*ends)
    units = {"s": 1 / 3600, "min": 1 / 60, "h": 1}
    assert 1 <= len(found) <= cost_drawn.TICKS + 1
    for place, name in found:
        count, unit = name.split()
        assert place == pytest.approx(float(count) * units[unit], rel=0.01)
        assert ends[0] * 0.9 <= place <= ends[1] * 1.1
    assert [name for _, name in cost_drawn.ticks(0.34, 0.36)] == ["20.4 min", "21.6 min"]


def test_the_stage_draws_what_it_can_and_writes_what_each_line_took(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = {("ce", "", 0): (0.6, 0.2), ("bood", "", 0): (0.4, 0.1)}
    given = metrics_artifact(tmp_path, labels)
    place = tmp_path / "artifacts" / "detector" / "ce" / "0123"
    place.mkdir(parents=True)
    (place / "manifest.json").write_text("{}")
    (place / "run.json").write_text(json.dumps({"seconds": 7200, "device": "cpu"}))
    settings = {
        "made": [{"stage": "detector", "name": "ce", "digest": "0123"}],
        "rows": [
            {"method": m, "variant": v, "score": "energy", "seed": s, "behind": [0]}
            for m, v, s in labels
        ],
    }
    made = fake_artifacts.run_stage(
        tmp_path, comparison.main, "comparison", settings, {"metrics": given}
    )
    captions = made.json("captions.json")["figures"]
    assert [item["file"] for item in captions] == ["cost.png"]  # two sets have no ranks
    assert "took 2 h 0 min on cpu" in captions[0]["caption"]
    lines = (made.folder / "cost.csv").read_text().splitlines()
    assert lines[0] == ",".join(line_costs.HEADS)
    assert len(lines) == 3


MEASURED = pd.DataFrame(
    {"kind": kind, "method": method, "variant": variant, "dataset": dataset, "count": 9,
     "knn": place, "mahalanobis": 2 * place, "confidence": 0.5, "pixels": 0.7}
    for kind, method, variant, dataset, place in (
        ("id", "", "", "cats", 1.0), ("ood", "", "", "near", 1.1),
        ("outliers", "bood", "", "", 1.2), ("outliers", "bood", "noise", "", 3.0),
        ("outliers", "gone", "", "", 3.0),
    )
)  # fmt: skip


def test_rows_with_outliers_are_held_against_plain_by_the_score_of_both():
    msp = ("bood", "", "msp")
    lines = contenders(measured(AUROCS | {msp: [0.9, 0.9]}))
    bood, noise = distance_drawn.sources(MEASURED, lines)
    assert (bood.line, bood.than) == (BOOD, CE)
    assert bood.places["mahalanobis"] == 2.4
    assert noise.row == ("bood", "noise")
    alone = contenders(measured({CE: [0.7], msp: [0.9]}))  # plain has no MSP
    assert [(x.line, x.than) for x in distance_drawn.sources(MEASURED, alone)] == [(msp, CE)]
    assert distance_drawn.sources(MEASURED, contenders(measured({BOOD: [0.9]}))) == []


def test_sets_stand_from_near_to_far_alone_or_in_groups():
    places = {"far": {"knn": 2.0}, "near": {"knn": 1.1}, "dull": {"knn": 1.5}}
    assert list(comparison.columns_of(["far", "dull", "near"], places, {})) == [
        "near", "dull", "far",
    ]  # fmt: skip
    groups = {"easy": ["far", "dull"], "hard": ["near"]}
    found = comparison.columns_of([*places], places, groups)
    assert list(found.items()) == [("hard", "average of hard"), ("easy", "average of easy")]
    assert list(comparison.columns_of(["b", "a"], {}, {})) == ["b", "a"]


def test_the_stage_draws_distances_with_what_pixels_tell_of_the_sets(tmp_path):
    labels = {("ce", "", 0): (0.6, 0.2), ("bood", "", 0): (0.4, 0.1)}
    plain = metrics_artifact(tmp_path, labels)
    different = differing_rows({CE: [0.7], BOOD: [0.8]}, 0.02, tests=("near",))
    files = {
        "metrics.csv": (plain.folder / "metrics.csv").read_text(),
        "differences.csv": csv_text(pd.DataFrame(different)),
    }
    inputs = {
        "metrics": fake_artifacts.make(
            tmp_path / "of", "metrics", files=files, settings={"test": ["near"]}
        ),
        "pixels": fake_artifacts.make(
            tmp_path, "pixel_statistics",
            files={"pixel_statistics.json": {"cats": {}, "near": {"auroc": 0.9}}},
        ),
        "outlier_distance": fake_artifacts.make(
            tmp_path, "outlier_distance", files={"outlier_distance.csv": csv_text(MEASURED)}
        ),
    }  # fmt: skip
    made = fake_artifacts.run_stage(
        tmp_path, comparison.main, "comparison", {"made": [], "rows": []}, inputs
    )
    names = [item["file"] for item in made.json("captions.json")["figures"]]
    assert names == ["outlier_distance.png", "outlier_distance_fpr95.png"]
    lines = read_csv(made.folder / "outlier_distance.csv")
    assert lines["pixels"].tolist()[1:3] == [0.9, 0.7]


def test_each_panel_has_its_rows_where_they_lie_and_what_they_change():
    lines = contenders(measured(AUROCS))
    found = distance_drawn.sources(MEASURED, lines)
    places = {"near": {"knn": 1.1}}
    with style.house_style():
        figure = distance_drawn.draw(
            found, {"near": "near"}, places, differing(AUROCS, 0.02), "auroc"
        )
    axes = figure.axes
    assert len(axes) == 4
    points = [line.get_xydata()[0] for line in axes[0].lines if line.get_marker() not in ("None",)]
    assert [tuple(point) for point in points] == [
        pytest.approx((1.2, 10.0)), pytest.approx((3.0, 1.0))
    ]  # fmt: skip
    assert any(line.get_linestyle() == ":" for line in axes[0].lines)
    assert not any(line.get_linestyle() == ":" for line in axes[1].lines)
