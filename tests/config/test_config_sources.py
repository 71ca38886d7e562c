"""Outlier sources, and texts beside pictures: what a configuration makes of them."""

from pathlib import Path

import pytest

from bood_tasks.config.fields import merged
from bood_tasks.config.load import ConfigError, effective_config, load
from bood_tasks.plan import plan as planning
from bood_tasks.plan.detectors import detector, outliers
from tests.config.test_config import ROOT

PRESET = ROOT / "workflow" / "presets" / "goe-embedded.yaml"
PICTURES = {
    "id": "clothes",
    "test": ["digits"],
    "datasets": {
        "clothes": {
            "kind": "npz", "file": "embedded:fashion_mnist.npz",
            "train": ["x_train", "y_train"], "test": ["x_test", "y_test"],
        },
        "digits": {"kind": "digits"},
        "noise": {"kind": "noise", "count": 100},
    },
    "rows": {"oe": {"method": "oe", "outliers": "gan"}},
}  # fmt: skip
TEXTS = {
    "datasets": {
        "glosses": {
            "kind": "tsv", "file": "embedded:wordnet_glosses.tsv.gz", "text": "definition",
            "label": "lexicographer_file", "classes": {"food": "noun.food", "body": "noun.body"},
        },
        "verses": {"kind": "lines", "file": "embedded:kjv_verses.txt.gz"},
        "random": {"kind": "random_tokens", "count": 50},
    },
    "text": {
        "id": "glosses", "test": ["verses"], "detector": {"network": "gru"},
        "rows": {"oe": {"method": "oe", "outliers": "texts"}},
    },
}  # fmt: skip


def given(*overlays: dict):
    found = PICTURES
    for overlay in overlays:
        found = merged(found, overlay)
    return load(found)


def rows(outliers, **more) -> dict:
    return {"rows": {"oe": {"method": "oe", "outliers": outliers, **more}}}


def test_weights_become_shares_and_artifacts_are_counted():
    config = given(
        rows({"gan": 2, "noise": 1, "images": 1}),
        {"gan_images": {"count": 2500, "shard": 1000}, "images": {"per_class": 10, "shard": 5}},
    )
    named, found, _ = outliers(config, "oe", 0)
    assert [each["weight"] for each in named] == [0.5, 0.25, 0.25]
    assert [each["artifacts"] for each in named] == [3, 1, 2]
    assert [each["count"] for each in named] == [2500, None, None]
    assert [spec.stage for spec in found] == ["gan_images"] * 3 + ["dataset"] + ["images"] * 2
    twice = given(rows({"gan": 4, "noise": 2, "images": 2}), {"gan_images": {"count": 2500}})
    assert outliers(twice, "oe", 0)[0] == named


def test_a_named_source_is_a_kind_with_settings_of_its_own():
    config = given(
        rows({"gan": 1, "cold": 1}),
        {"sources": {"cold": {"of": "gan", "set": {"gan_images": {"scale": 0.5}}}}},
        {"gan_images": {"scale": 7, "count": 10}},
    )
    _, (hot, cold), _ = outliers(config, "oe", 0)
    assert (hot.settings["scale"], cold.settings["scale"]) == (7, 0.5)
    assert hot.inputs == cold.inputs
    kept = ("meaning", "seed", "start", "stop", "dtype")
    assert {key: hot.settings[key] for key in kept} == {key: cold.settings[key] for key in kept}


def test_number_of_outliers_changes_the_detector_and_adds_shards():
    few, many = (given(rows("gan"), {"gan_images": {"count": n}}) for n in (100, 1500))
    _, of_few, _ = outliers(few, "oe", 0)
    _, of_many, _ = outliers(many, "oe", 0)
    assert of_many[: len(of_few)] == of_few
    assert len(of_many) == 2
    assert detector(few, "oe", 0).digest != detector(many, "oe", 0).digest


def test_standing_statistics_of_a_generator_without_are_refused_early():
    released = {"source": "local", "path": "x", "layout": "pytorch-pretrained-biggan"}
    with pytest.raises(ConfigError, match=r"gan_images\.statistics must be stored"):
        given({"gan_generator": released, "gan_images": {"statistics": "standing"}})
    given({"gan_generator": released, "gan_images": {"statistics": "stored"}})
    given({"gan_images": {"statistics": "standing"}})


def test_published_weighting_mixes_and_equal_ones_do_not():
    own = {"detector": {"outlier_exposure": {"weighting": "balanced"}}}
    assert detector(given(), "oe", 0).settings["mixing"] == "shuffled"
    assert "mixing" not in detector(given(own), "oe", 0).settings


def test_texts_are_a_configuration_of_their_own_in_the_same_run():
    config = given(TEXTS)
    texts = config.of_texts()
    assert (texts.id, texts.test, list(texts.rows)) == ("glosses", ["verses"], ["oe"])
    assert texts.seeds == config.seeds
    plan = planning.make(config)
    assert {"goe_tables", "goe_text_tables", "text_metrics"} <= set(plan.targets)
    trained = [spec for spec in plan.specs.values() if spec.stage == "detector"]
    assert [spec.settings["network"] for spec in trained] == ["resnet", "gru"]
    assert {spec.stage for spec in trained[1].upstream()} == {"tokens", "texts"}


def test_configuration_as_printed_can_be_read_again():
    config = given(TEXTS)
    again = load(config.model_dump())
    assert again.model_dump() == config.model_dump()
    assert again.of_texts().model_dump() == config.of_texts().model_dump()


@pytest.mark.parametrize(
    ("overlays", "message"),
    [
        ([rows("gann")], r"rows\.oe\.outliers must name .* 'gann'; did you mean 'gan'"),
        ([rows("none")], r"rows\.oe\.outliers must name outliers for Outlier Exposure"),
        ([rows({"gan": 0})], r"rows\.oe\.outliers"),
        ([rows({"gan": -1.0})], r"rows\.oe\.outliers"),
        ([{"gan_images": {"scale": -1}}], r"gan_images\.scale must be greater than or equal to 0"),
        ([{"gan_images": {"scale": float("nan")}}], r"gan_images\.scale"),
        ([{"gan_images": {"scale": float("inf")}}], r"gan_images\.scale must be a finite number"),
        ([{"texts": {"temperature": 0}}], r"texts\.temperature must be greater than 0"),
        ([{"datasets": {"gan": {"kind": "digits"}}}], r"datasets\.gan must have another name"),
        (
            [{"sources": {"noise": {"of": "gan"}}}],
            r"sources\.noise must have another name: a data set has it",
        ),
        (
            [rows({"x": 1}), {"sources": {"x": {"of": "gan", "set": {"gan_images": {"scal": 1}}}}}],
            r"sources\.x\.set\.gan_images\.scal is no setting; did you mean 'scale'",
        ),
        ([TEXTS, rows("texts")], r"rows\.oe\.outliers must name pictures, .* got 'texts'"),
        ([TEXTS, {"test": ["verses"]}], r"test must name pictures, as id = clothes holds"),
        ([TEXTS, {"text": {"test": ["digits"]}}], r"text\.test must name texts, as id = glosses"),
        ([TEXTS, {"text": {"id": "clothes", "test": ["digits"]}}], r"text\.id must name texts"),
        ([TEXTS, {"text": {"detector": {"network": "resnet"}}}], r"must be gru for texts"),
        ([TEXTS, {"text": {"rows": {"oe": {"scores": ["odin"]}}}}], r"moves pictures along a grad"),
        (
            [TEXTS, {"text": {"rows": {"oe": {"method": "npos", "outliers": "none"}}}}],
            r"must work on texts",
        ),
        ([TEXTS, {"text": {"sed": 1}}], r"text\.sed is no setting"),
        ([{"detector": {"epochs": 0}}], r"epochs must be at least 1 without pretrained weights"),
        ([{"detector": {"network": "wideresnet"}}], r"depth must be 6 n \+ 4"),
        ([{"detector": {"depth": 40}}], r"depth must be 18, 34 or 50 for a ResNet"),
        ([{"images": {"steps": 5, "stop_after": 6}}], r"stop_after must be at most steps = 5"),
    ],
)  # fmt: skip
def test_mistakes_are_named(overlays, message):
    with pytest.raises(ConfigError, match=message):
        given(*overlays)


def stages_behind(plan, *kinds: str) -> dict[str, list]:
    """Return the specs that products rest on, by stage."""
    found, waiting = {}, [plan.targets[kind] for kind in kinds]
    while waiting:
        spec = waiting.pop()
        if spec.digest not in found:
            found[spec.digest] = spec
            waiting += spec.upstream()
    by_stage: dict[str, list] = {}
    for spec in found.values():
        by_stage.setdefault(spec.stage, []).append(spec)
    return by_stage


def test_a_sweep_of_scales_shares_generator_and_first_classifier():
    config = effective_config([ROOT / "config.yaml", PRESET])
    plan = planning.make(config)
    behind = stages_behind(plan, "goe_sweeps")
    scales = {spec.settings["scale"] for spec in behind["gan_images"]}
    assert len(scales) == 7
    assert len(behind["gan_generator"]) == 1
    plain = [spec for spec in behind["detector"] if "start" not in spec.inputs]
    assert len(plain) == len(config.seeds)
    assert not {"images", "encoder", "anchors"} & set(behind)


def test_tables_of_texts_need_no_pictures():
    plan = planning.make(effective_config([Path(ROOT / "config.yaml"), PRESET]))
    behind = stages_behind(plan, "goe_text_tables", "goe_text_sweeps")
    assert not {"dataset", "gan_images", "images", "generator"} & set(behind)
    assert len(behind["language_model"]) == len(behind["vocabulary"]) == 1
