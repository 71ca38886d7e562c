"""What the tables say of settings that are not the published ones."""

import pytest
import yaml

from bood_tasks.config.fields import merged
from bood_tasks.config.load import laid_over, load
from bood_tasks.config.study import study
from bood_tasks.plan import departures as unlike
from bood_tasks.plan import reporting
from bood_tasks.plan.departures import published_settings, settings_of, value_of
from tests.config.test_config import ROOT


def config_of(*presets, **overlay):
    files = [ROOT / f"workflow/presets/{name}.yaml" for name in presets]
    return load(merged(laid_over(ROOT / "config.yaml", files), overlay))


def departures(config, table):
    of_row = {name: config.for_row(name) for name in config.rows}
    return unlike.departures({"": config} | of_row, table)


def about(found, setting):
    """The reason and the words about a setting."""
    split = [line.split(": ", 1) for line in found]
    return [
        (reason, words)
        for reason, rest in split for words in rest.split("; ") if words.startswith(setting)
    ]  # fmt: skip


def test_a_purposeful_departure_has_both_values_source_and_reason():
    found = about(departures(config_of("bood-cifar100"), "table1"), "encoder.temperature")
    assert found == [
        (
            "the value of DreamOOD's code, whose benchmark and numbers the paper takes over, and "
            "at 1 the largest softmax of 100 classes is .026",
            "encoder.temperature = 0.1, published 1 (BOOD section 4.1)",
        )
    ]


def test_a_value_of_ones_own_has_no_reason_and_a_published_one_is_not_named():
    own = departures(config_of("bood-cifar100", encoder={"temperature": 0.5}), "table1")
    words = "encoder.temperature = 0.5, published 1 (BOOD section 4.1)"
    assert about(own, "encoder.temperature") == [("changed in this run", words)]
    own = departures(config_of("bood-cifar100", encoder={"temperature": 1}), "table1")
    assert not about(own, "encoder.temperature")
    assert not about(own, "encoder.lr")


def test_a_rows_own_setting_is_compared_and_a_row_that_is_not_there_is_not():
    changed = {"rows": {"gan": {"set": {"detector": {"epochs": 7}}}}}
    found = departures(config_of("bood-cifar100", **changed), "table1")
    assert about(found, "detector.epochs of gan = 7, published 100 ")
    found = departures(config_of("bood-cifar100", only={"rows": ["ce", "bood"]}), "table1")
    assert about(found, "encoder.temperature")
    assert not [line for line in found if " of gan " in line or "rows.gan" in line]


def test_a_data_set_that_the_run_does_without_is_not_compared():
    given = laid_over(ROOT / "config.yaml", [ROOT / "workflow/presets/bood-cifar100.yaml"])
    del given["datasets"]["lsun"]
    given["test"].remove("lsun")
    found = departures(load(given), "table1")
    words = "test = svhn, places365, isun, dtd, published svhn, places365, lsun, isun, dtd "
    assert about(found, words)
    assert not about(found, "datasets.lsun")


def of_ablations(**overlay):
    """What the spec of tables 3, 6 and 8 says."""
    given = config_of("bood-cifar100", "bood-cifar100-ablations", **overlay)
    return reporting.ablations(study(given)).settings["departures"]


def test_the_ablations_are_compared_in_their_own_setting():
    said = of_ablations()
    assert said.keys() == {"3", "6", "8"}
    assert about(said["3"], "encoder.temperature = 0.1, published 1 ")
    assert not about(said["3"], "images.per_class")
    assert not about(said["3"], "detector.epochs")  # of gan, of vos
    few = {"images": {"per_class": 25}, "ood_features": {"rate": 0.5}}
    said = of_ablations(ablations={"set": few})
    assert about(said["6"], "images.per_class = 25, published 1000 ")
    assert about(said["6"], "ood_features.rate of bood = 0.5, published 0.05 ")


def test_a_stack_has_the_values_of_what_lies_below_but_for_its_own():
    below = {(x.row, x.setting): x.expected for x in settings_of("bood-cifar100")}
    above = {(x.row, x.setting): x.expected for x in settings_of(
        "bood-cifar100+bood-cifar100-as-printed"
    )}  # fmt: skip
    assert above.keys() == below.keys()
    changed = {setting for row, setting in above if above[row, setting] != below[row, setting]}
    assert changed == {
        "encoder.temperature", "encoder.batch_size", "detector.batch_size", "detector.reduction",
    }  # fmt: skip


@pytest.mark.parametrize("table", ["table1", "table3", "goe_table1"])
def test_on_other_data_one_line_says_so(table):
    (found,) = departures(config_of(), table)
    assert found.startswith("data, networks and settings are others than the paper's, which ")
    assert "in workflow/presets has" in found


def test_each_table_is_of_its_own_experiment():
    given = config_of("bood-imagenet100", only={"rows": ["ce", "bood"]})
    said = reporting.products(given)["tables"].settings["departures"]
    assert set(said) == {"1", "2", "7"}
    assert len(said["1"]) == 1
    assert about(said["7"], "test = inaturalist, sun, places, dtd, published ninco, ssb_hard ")
    assert not about(said["2"], "test")
    assert about(said["2"], "detector.lr = 0.001, published 0.1 ")


def test_a_sweeps_name_has_dots_and_what_is_not_there_is_named():
    given = study(config_of("bood-cifar100", "bood-cifar100-ablations")).config
    assert value_of(given, "ablations.sweeps.ood_features.extra_steps") == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match=r"no setting encoder\.colour: it has no colour"):
        value_of(given, "encoder.colour")


def test_texts_of_the_file_are_yaml():
    for line in published_settings():
        for text in (line.published, line.ours):
            assert not isinstance(yaml.safe_load(text or "''"), dict) or text.startswith("{"), line
