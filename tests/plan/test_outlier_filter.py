"""The outlier filter's place in a plan: between the shards and the detector, if it is on."""

import pytest

from bood_tasks.config.load import ConfigError
from bood_tasks.plan import detectors, scoring
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
    given = config(rows={"mixed": mixed}, only={"rows": None}, gan_images={"count": 50}, **ON)
    made = detectors.detector(given, "mixed", 0)
    assert [source.get("filtered") for source in made.settings["sources"]] == [True, None]
    (kept,) = made.inputs["outlier_filters"]
    assert kept.settings["count"] == 50


def test_a_row_may_be_filtered_alone():
    rows = {"strict": {"method": "bood", "variant": "strict", "set": ON}}
    found = digests(config(rows=rows, only={"rows": None}), "outlier_filter")
    assert len(found) == len(config().seeds)


def test_what_reads_a_pretrained_network_takes_its_weights_for_no_method(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"x")
    weights = {"epochs": 0, "pretrained": str(tmp_path / "w.safetensors")}
    row = {"method": "ce", "scores": ["msp", "odin"], "set": {"detector": weights}}
    given = config(rows={"ce": row}, **ON)
    assert detectors.detector(given, "ce", 0).source
    (kept,) = detectors.detector(given, "bood", 0).inputs["outlier_filters"]
    read = [scoring.scores(given, "ce", 0, score) for score in ("msp", "odin")]
    assert [spec.source for spec in (kept, *read, read[0].inputs["outputs"])] == [""] * 4


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
