"""`auto`: what it chooses by hand, where it may stand, and rows that ask for more than there is."""

from pathlib import Path

import pytest
import yaml

from bood_tasks.config.automatic import RULES, Facts, asked, filled
from bood_tasks.config.fields import merged
from bood_tasks.config.load import ConfigError, laid_over, load
from bood_tasks.plan import plan as planning

ROOT = Path(__file__).parents[2]
FEW = Facts("mine", {"cat": 36, "ship": 31, "horse": 76}, lambda: 152.0)
MANY = Facts("mine", dict.fromkeys("abcdefghij", 5000), lambda: 32.0)


def preset(**overlay):
    files = ROOT / "config.yaml", [ROOT / "workflow/presets/own-pictures.yaml"]
    return merged(laid_over(*files), overlay)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FEW, {"image.size": 64, "encoder.batch_size": 16, "encoder.epochs": 67,
               "detector.batch_size": 16, "detector.epochs": 67, "detector.vos.queue": 31,
               "detector.npos.queue": 31, "detector.npos.neighbours": 7,
               "detector.npos.boundary": 7, "detector.npos.points": 2, "ood_features.rate": 0.33,
               "detector.gcos.queue": 31, "detector.hamos.queue": 31,
               "detector.hamos.neighbours": 7, "ood_features.hamos.neighbours": 7,
               "ood_features.dreamood.neighbours": 7, "ood_features.dreamood.boundary": 7,
               "images.per_class": 47, "scoring.knn.neighbours": 7,
               "scoring.nnguide.neighbours": 7}),
        (MANY, {"image.size": 32, "encoder.batch_size": 64, "encoder.epochs": 10,
                "detector.batch_size": 64, "detector.epochs": 10, "detector.vos.queue": 1000,
                "detector.npos.queue": 1000, "detector.npos.neighbours": 300,
                "detector.npos.boundary": 200, "detector.npos.points": 2, "ood_features.rate": 0.05,
                "detector.gcos.queue": 1000, "detector.hamos.queue": 1000,
                "detector.hamos.neighbours": 200, "ood_features.hamos.neighbours": 200,
                "ood_features.dreamood.neighbours": 300, "ood_features.dreamood.boundary": 50,
                "images.per_class": 100, "scoring.knn.neighbours": 50,
                "scoring.nnguide.neighbours": 10}),
    ],
    ids=("few", "many"),
)  # fmt: skip
def test_what_is_chosen_by_hand(facts, expected):
    content, chosen = filled(preset(), facts)
    found = {}
    for way in set(RULES) - {("image", "kernel")}:  # the preset leaves it
        value = content
        for part in way:
            value = value[part]
        found[".".join(way)] = value
    assert found == expected
    assert set(chosen) == {f"{setting} = {value:g}" for setting, value in expected.items()}


def test_a_chosen_value_is_as_if_it_were_written():
    """The same artifacts, whether a number was chosen or written."""
    by_auto = load(preset(), lambda config: FEW)
    assert by_auto.detector.epochs == 67
    assert "9 steps an epoch: encoder.epochs = 67, detector.epochs = 67" in by_auto.reasons()
    written = load(filled(preset(), FEW)[0])
    first, second = (
        {digest for digest, spec in planning.make(config).specs.items() if spec.stage != "report"}
        for config in (by_auto, written)
    )
    assert first == second


def test_every_place_of_an_override_is_filled():
    raw = preset(
        rows={"vos": {"method": "vos", "set": {"detector": {"batch_size": 32, "epochs": "auto"}}}},
        ablations={"row": "noise", "variants": {"k": {"detector": {"epochs": "auto"}}}},
    )
    places = set(asked(raw)) - {".".join(way) for way in RULES}
    assert places == {"rows.vos.set.detector.epochs", "ablations.variants.k.detector.epochs"}
    content, _ = filled(raw, FEW)
    assert content["rows"]["vos"]["set"]["detector"]["epochs"] == 100  # ceil(143 / 32) = 5 a pass
    assert asked(content) == []


@pytest.mark.parametrize(
    ("overlay", "facts", "message"),
    [
        ({}, None, "image.size must be a number where no pictures are looked at, got auto"),
        ({}, Facts("c", {"a": 500}, lambda: None), "image.size must be a number for id = c"),
        (
            {"scoring": {"knn": {"neighbours": 144}}}, FEW,
            "scoring.knn.neighbours must be at most 143 for row ce, .* got 144; .* only.rows",
        ),
        (
            {"rows": {"ce": {"scores": ["nnguide"]}}, "scoring": {"nnguide": {"share": 0.01}}}, FEW,
            "scoring.nnguide.neighbours must be at most 1 for row ce, .* that it keeps, got 7",
        ),
        (
            {"detector": {"vos": {"queue": 1000}}}, FEW,
            "detector.vos.queue must be at most 831, which a class of 31 pictures fills",
        ),
        (
            {"only": {"rows": ["ce", "dreamood"]},
             "ood_features": {"dreamood": {"neighbours": 300}}}, FEW,
            "dreamood.neighbours must be at most 31 for row dreamood, the training .* of ship",
        ),
        ({"encoder": {"lr": "auto"}}, FEW, "encoder.lr must be a valid number, got 'auto'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_a_plan(overlay, facts, message):
    with pytest.raises(ConfigError, match=message):
        load(preset(**overlay), facts and (lambda config: facts))


def test_no_other_preset_asks_for_auto():
    for path in (ROOT / "config.yaml", *(ROOT / "workflow/presets").glob("*.yaml")):
        raw = yaml.safe_load(path.read_text())
        assert bool(asked(raw)) == (path.stem == "own-pictures"), path


def test_a_network_of_somebody_else_s_says_size_and_kernel():
    raw = {"image": {"size": "auto", "kernel": "auto"}}
    facts = Facts("mine", FEW.counts, FEW.side, lambda: (224, "bicubic"))
    content, chosen = filled(raw, facts)
    assert content["image"] == {"size": 224, "kernel": "bicubic"}
    assert set(chosen) == {"image.size = 224", "image.kernel = bicubic"}
    assert filled(raw, FEW)[0]["image"] == {"size": 64, "kernel": "bilinear"}
