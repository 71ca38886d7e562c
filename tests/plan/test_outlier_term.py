"""Settings of the outliers' term that are ours: off, no detector knows of them."""

import pytest

from bood_tasks.config.load import ConfigError
from bood_tasks.plan import detectors, synthesis
from tests.plan.test_plan import config

SOFT = {"soft_labels": 0.5}
ROWS = {
    "mixed": {"method": "bood", "variant": "mixed", "outliers": {"images": 1, "noise": 1}},
    "far": {"method": "bood", "variant": "far", "outliers": {"images": 1, "far": 1}},
}
FAR = {"far": {"of": "images", "set": {"ood_features": {"overshoot": 0.9}}}}


def made(row="bood", **settings):
    given = config(rows=ROWS, sources=FAR, only={"rows": None}, detector=settings)
    return detectors.detector(given, row, 0), given


def test_off_a_detector_is_the_one_it_was():
    plain, _ = made()
    assert set(plain.settings["method_settings"]) == {"ood_weight", "reduction", "phi"}
    assert {"vectors", "anchors"}.isdisjoint(plain.inputs)
    assert made(soft_weight=3.0)[0].digest == plain.digest  # without soft labels nothing reads it


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        (SOFT, {"soft_labels": 0.5, "soft_weight": 0.5}),
        ({"distance_margin": 2.0}, {"distance_margin": 2.0}),
    ],
)
def test_on_it_reads_the_vectors_of_its_pictures(settings, kept):
    spec, given = made(**settings)
    assert spec.settings["method_settings"].items() >= kept.items()
    assert spec.inputs["vectors"] == (synthesis.ood_features(given.for_row("bood"), 0),)
    assert spec.inputs["anchors"] == synthesis.anchors(given)
    assert spec.settings["sources"][0]["temperature"] == given.encoder.temperature


def test_sources_without_vectors_have_none_and_each_other_its_own():
    mixed, _ = made("mixed", **SOFT)
    assert len(mixed.inputs["vectors"]) == 1
    assert ["temperature" in x for x in mixed.settings["sources"]] == [True, False]
    far, given = made("far", **SOFT)
    near, beyond = far.inputs["vectors"]
    assert near == synthesis.ood_features(given, 0)
    assert beyond.settings["overshoot"] == 0.9


def test_pictures_of_anchors_were_no_outlier_vectors():
    given = config(detector=SOFT, images={"decode": "anchors"})
    spec = detectors.detector(given, "bood", 0)
    assert "vectors" not in spec.inputs
    assert "temperature" not in spec.settings["sources"][0]


def test_a_share_above_one_is_refused():
    with pytest.raises(ConfigError, match=r"detector\.soft_labels must be less than or equal to 1"):
        made(soft_labels=1.5)
