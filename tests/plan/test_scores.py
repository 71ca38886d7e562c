"""What scores are planned from, and which rows cannot have one: known before the first job."""

import re

import pytest

from bood_tasks.catalogue.scores import SCORES
from bood_tasks.config.fields import merged
from bood_tasks.config.load import ConfigError, effective_config, laid_over, load
from bood_tasks.plan import plan as planning
from bood_tasks.plan.scoring import scores
from bood_tasks.plan.sizes import Sizes
from tests.config.test_config import ROOT

READ = {name for name, entry in SCORES.items() if entry.module}


def of_preset(name, **more):
    preset = ROOT / f"workflow/presets/{name}.yaml"
    return load(merged(laid_over(ROOT / "config.yaml", [preset]), more))


def row(*names, method="ce"):
    return {"rows": {"x": {"method": method, "variant": "x", "scores": [*names]}},
            "only": {"rows": ["x"], "variants": [], "sweeps": []}}  # fmt: skip


def test_the_preset_of_more_scores_reads_all_that_there_are():
    config = effective_config([ROOT / "config.yaml", ROOT / "workflow/presets/more-scores.yaml"])
    assert set(config.rows["ce"].scores) == READ
    made = [spec for spec in planning.make(config).specs.values() if spec.stage == "scores"]
    assert len(made) == 3 * len(READ)


@pytest.mark.parametrize(
    ("score", "inputs"),
    [
        ("gen", {"outputs"}),
        ("klm", {"outputs"}),  # the ID validation split is among them
        ("she", {"outputs", "training"}),
        ("nnguide", {"outputs", "training"}),
        ("fdbd", {"outputs", "training", "detector"}),
        ("iodin", {"outputs", "detector", "datasets"}),
        ("adascale", {"outputs", "training", "detector", "datasets"}),
    ],
)
def test_a_score_is_made_from_what_it_reads(score, inputs):
    config = of_preset("demo", **row(score))
    assert set(scores(config, "x", 0, score).inputs) == inputs


def test_a_plan_counts_the_passes_of_the_scores_that_move_pictures():
    names = ["adascale", "iodin", "scale"]
    config = of_preset("cifar10-laptop", rows={"ce": {"scores": names}})
    adascale, iodin, scale = (Sizes().operations(scores(config, "ce", 0, x)) for x in names)
    assert scale == 0
    assert iodin == 7 * adascale > 0


@pytest.mark.parametrize("score", ["klm", "adascale"])
def test_a_score_that_is_fitted_to_a_split_that_is_not_there_is_refused(score):
    """No ID pictures of the paper's preset are held out."""
    said = rf"{score} is fitted to ID validation samples, and datasets\.cifar100 holds none out"
    with pytest.raises(ConfigError, match=said):
        of_preset("bood-cifar100", **row(score))
    with pytest.raises(ConfigError, match=r"datasets\.newsgroups20 holds none out"):
        of_preset("goe-newsgroups", **row("klm"))


def test_texts_have_every_score_that_moves_no_picture():
    moving = {name for name in READ if SCORES[name].gradients} - {"mahalanobis"}
    assert moving == {"odin", "iodin", "adascale"}
    chosen = {"mahalanobis_ensemble"}  # on validation sets, of which the preset has none
    of_preset("own-texts", **row(*sorted(READ - moving - chosen)))
    for score in moving:
        with pytest.raises(ConfigError, match=f"got '{score}': it moves pictures along a gradient"):
            of_preset("own-texts", **row(score))


@pytest.mark.parametrize("score", ["ash", "scale", "fdbd", "gradnorm", "adascale"])
def test_a_method_without_a_linear_layer_has_no_score_of_one(score):
    said = re.escape(f"got {score!r}: it needs logits from one linear layer")
    with pytest.raises(ConfigError, match=said):
        of_preset("demo", **row(score, method="godin"))


@pytest.mark.parametrize("score", ["rmds", "she", "nnguide", "gen", "klm", "max_logit", "iodin"])
def test_any_classifier_has_the_others(score):
    assert of_preset("demo", **row(score, method="godin")).rows["x"].scores == [score]


def test_adascale_s_percentiles_are_in_order():
    with pytest.raises(ConfigError, match="lowest must be at most highest = 70, got 75"):
        of_preset("demo", scoring={"adascale": {"highest": 70}})
