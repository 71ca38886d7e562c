"""The outlier filter's place in a plan: between the shards and the detector, if it is on."""

import pytest

from bood_tasks.config.load import ConfigError
from bood_tasks.plan import detectors
from bood_tasks.plan import plan as planning
from tests.plan.test_plan import config, digests

ON = {"outlier_filter": {"max_confidence": 0.9}}


def test_a_detector_reads_its_shards_through_the_filter():
    given = config(**ON)
    made = detectors.detector(given, "bood", 0)
    (kept,) = made.inputs["outlier_filters"]
    assert kept.inputs["outliers"] == made.inputs["outliers"]
    assert kept.inputs["detector"] == detectors.detector(given, "ce", 0)
    assert made.settings["sources"][0]["filtered"]
    assert planning.make(given).targets["gallery"].inputs["outlier_filter"] == kept


def test_off_it_is_nowhere():
    assert not digests(config(), "outlier_filter")
    assert "outlier_filters" not in detectors.detector(config(), "bood", 0).inputs
    assert "outlier_filter" not in planning.make(config()).targets["report"].settings["config"]


def test_data_sets_are_not_filtered_and_generated_sources_are_one_by_one():
    mixed = {"method": "oe", "outliers": {"gan": 1, "noise": 1}}
    given = config(rows={"mixed": mixed}, gan_images={"count": 50}, **ON)
    made = detectors.detector(given, "mixed", 0)
    assert [source.get("filtered") for source in made.settings["sources"]] == [True, None]
    (kept,) = made.inputs["outlier_filters"]
    assert kept.settings["count"] == 50


def test_a_row_may_be_filtered_alone():
    rows = {"strict": {"method": "bood", "variant": "strict", "set": ON}}
    found = digests(config(rows=rows), "outlier_filter")
    assert len(found) == len(config().seeds)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("nobody", r"outlier_filter\.row must name a row, got 'nobody'"),
        ("bood", r"outlier_filter\.row must name a row without outliers"),
    ],
)
def test_who_cannot_judge_is_refused(row, message):
    with pytest.raises(ConfigError, match=message):
        config(outlier_filter={"max_confidence": 0.9, "row": row})
