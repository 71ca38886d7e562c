"""What a numbered table or figure needs: what the presets' headers promise, and what is refused."""

import json
import re

import pytest

from bood_tasks.catalogue.products import targets
from bood_tasks.config.load import effective_config
from bood_tasks.plan import plan as planning
from bood_tasks.plan.asked import needs, unfilled
from tests.plan.test_plan import BELOW, ROOT

FOLDER = ROOT / "workflow/presets"
PROMISES = {
    path.stem: found[1].split(", ")
    for path in sorted(FOLDER.glob("*.yaml"))
    if (found := re.search(r"^# Makes: (.+)$", path.read_text(), re.MULTILINE))
}


def of_presets(tmp_path, *names, **overlay):
    path = tmp_path / "overlay.json"
    path.write_text(json.dumps(overlay or {"seeds": [0]}))
    files = [ROOT / "config.yaml", *(FOLDER / f"{name}.yaml" for name in names), path]
    return effective_config(files)


def refused(config, target):
    made = planning.make(config).targets
    return unfilled(config, made, target, targets()[target])


def test_each_numbered_table_of_boods_paper_is_promised_by_a_preset():
    promised = {target for found in PROMISES.values() for target in found}
    assert promised == {*(f"table{n}" for n in range(1, 9)), *(f"figure{n}" for n in range(1, 9))}


@pytest.mark.parametrize("name", PROMISES)
def test_a_preset_makes_whole_what_its_header_promises(tmp_path, name):
    """Every row, score, data set, variant and sweep that the paper's has."""
    config = of_presets(tmp_path, *([BELOW[name]] if name in BELOW else []), name)
    made = planning.make(config).targets
    for target in PROMISES[name]:
        assert set(targets()[target]) & set(made), target
        assert {need.setting: need.lacking for need in needs(config, target) if need.lacking} == {}


@pytest.mark.parametrize(
    ("presets", "overlay", "target", "message"),
    [
        (["bood-imagenet100"], {}, "table7", "table7 must have ninco, ssb_hard under test, got"),
        (["bood-imagenet100"], {}, "table1", "table1 must have cifar100 under id, got imagenet100"),
        (["demo"], {"only": {"variants": ["gaussian"]}}, "table8",
         "table8 must have resnet18, resnet34, resnet50 under ablations.variants, got gaussian"),
        (["demo"], {"only": {"sweeps": ["detector.ood_weight"]}}, "figure5",
         "figure5 must have distances.step_size, ood_features.extra_steps under ablations.sweeps"),
        (["goe-embedded"], {}, "goe_table3", "goe_table3 must be of this configuration's network"),
        (["goe-embedded"], {}, "goe_figure3", "which make goe_figure2; ask for that"),
    ],
)  # fmt: skip
def test_a_target_that_would_show_nothing_of_its_own_is_refused(
    tmp_path, presets, overlay, target, message
):
    assert message in refused(of_presets(tmp_path, *presets, **overlay), target)


def test_the_default_on_data_of_its_own_fills_all(tmp_path):
    config = of_presets(tmp_path)
    made = planning.make(config).targets
    for target, kinds in targets().items():
        assert not unfilled(config, made, target, kinds), target


def test_a_table_with_some_of_its_sets_is_made(tmp_path):
    """Dashes with a note stand for the others: no user has every set at hand."""
    config = of_presets(tmp_path, "bood-cifar100", test=["svhn", "dtd"])
    assert not refused(config, "table1")
