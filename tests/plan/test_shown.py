"""What training shows beside the ID pictures, in plans: kernels of outliers, a mixing set."""

import pytest

from bood_tasks.config.load import ConfigError, laid_over, load
from bood_tasks.plan import detectors
from bood_tasks.plan.datasets import dataset
from tests.plan.test_plan import ROOT, config


def row(name="x", method="ce", **more):
    """A configuration with one more row."""
    rows = {name: {"method": method, "variant": name, **more}}
    return config(rows=rows, only={"rows": None})


def mixing(chosen, **more):
    return row(set={"detector": {"pixmix": {"set": chosen, **more}}})


def test_without_a_mixing_set_and_a_random_kernel_a_detector_is_what_it_was():
    for name in ("ce", "bood", "noise"):
        made = detectors.detector(config(), name, 0)
        assert not {"pixmix", "outlier_kernel", "batch_norm"} & set(made.settings)
        assert "mixing" not in made.inputs
    given = config(detector={"pixmix": {"rounds": 2}})
    assert detectors.detector(given, "ce", 0) == detectors.detector(config(), "ce", 0)


def test_statistics_are_kept_of_a_classifier_that_there_is():
    given = row(set={"detector": {"start": "ce", "batch_norm": "kept"}})
    assert detectors.detector(given, "x", 0).settings["batch_norm"] == "kept"
    with pytest.raises(ValueError, match="batch_norm must be moving without start or pretrained"):
        config(detector={"batch_norm": "kept"})


def test_a_mixing_set_is_an_input_and_how_it_is_mixed_a_setting():
    given = mixing("noise", rounds=2)
    made = detectors.detector(given, "x", 0)
    assert made.inputs["mixing"] == (dataset(given, "noise"),)
    assert made.settings["pixmix"] == {"rounds": 2, "beta": 3.0, "severity": 3.0, "count": None}
    assert made.digest != detectors.detector(given, "ce", 0).digest


def test_pictures_of_a_generator_may_be_mixed_in():
    given = mixing("gan")
    made = detectors.detector(given, "x", 0)
    assert {item.stage for item in made.inputs["mixing"]} == {"gan_images"}
    assert made.settings["pixmix"]["count"] == given.gan_images.count


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("clipart", "must name no set that is judged on, got 'clipart', which is one of `test`"),
        ("corrupted", "which is one of `validation`"),
        ("resampled", "which is one of `control`"),
        ("cliparts", "must name a data set or a source of pictures, got 'cliparts'.*clipart"),
        ("texts", "must name a data set or a source of pictures"),
    ],
)
def test_what_cannot_be_mixed_in_is_refused(chosen, message):
    with pytest.raises(ConfigError, match=message):
        mixing(chosen)


def test_a_random_kernel_is_of_generated_outliers_alone():
    given = config(detector={"outlier_kernel": "random"})
    assert detectors.detector(given, "bood", 0).settings["outlier_kernel"] == "random"
    assert "outlier_kernel" not in detectors.detector(given, "noise", 0).settings
    assert "outlier_kernel" not in detectors.detector(given, "ce", 0).settings


def test_a_random_kernel_of_pictures_that_are_cropped_is_refused():
    with pytest.raises(ConfigError, match=r"while detector\.outlier_fit is crop"):
        config(detector={"outlier_kernel": "random", "outlier_fit": "crop"})


def test_a_data_set_shrunk_by_random_kernels_is_another_one():
    svhn = {"kind": "svhn"}
    plain = config(datasets={"svhn": svhn})
    same = config(datasets={"svhn": svhn | {"shrink": "image"}})
    other = config(datasets={"svhn": svhn | {"shrink": "random"}})
    specs = [dataset(given, "svhn") for given in (plain, same, other)]
    assert specs[0] == specs[1] != specs[2]
    assert "shrink" not in specs[0].settings


def test_the_id_data_set_is_shrunk_by_one_kernel():
    with pytest.raises(ConfigError, match=r"datasets\.mine\.shrink must be image"):
        config(id="mine", datasets={"mine": {"kind": "cifar10", "shrink": "random"}})


def test_the_laptops_controls_differ_in_the_kernel_or_the_loss_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rows = ["ce", "oe_natural", "natural", "oe_natural_kernels"]
    preset = laid_over(ROOT / "config.yaml", [ROOT / "workflow/presets/cifar10-laptop.yaml"])
    given = load(preset | {"only": {"rows": rows, "variants": [], "sweeps": []}})
    plain, other = (detectors.detector(given, name, 0) for name in (rows[1], rows[3]))
    assert plain.settings == other.settings
    one, two = (each.inputs["outliers"][0].settings for each in (plain, other))
    assert one | {"shrink": "random", "name": "tinyimagenet_kernels"} == two
    assert detectors.detector(given, "natural", 0).inputs["outliers"] == plain.inputs["outliers"]


def test_every_method_and_sampler_published_since_has_a_row(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    preset = [ROOT / "workflow/presets/embedded-published-since.yaml"]
    given = load(laid_over(ROOT / "config.yaml", preset))
    assert {"ascood", "gcos", "hamos"} <= {row.method for row in given.rows.values()}
    samplers = {given.for_row(name).ood_features.sampler for name in given.rows}
    assert samplers == {"bood", "gcos", "ncis", "hamos"}
    things = detectors.detector(given, "pixmix", 0).inputs["mixing"]
    assert {item.settings["decode"] for item in things} == {"words"}
    one, two = (detectors.detector(given, name, 0) for name in ("large", "large-kernels"))
    assert one.inputs == two.inputs
    assert two.settings == one.settings | {"outlier_kernel": "random"}
