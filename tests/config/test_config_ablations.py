"""Ablations become rows: what each shares, what it changes, and what is refused by name."""

from pathlib import Path

import pytest
import yaml

from bood_tasks.config.fields import merged
from bood_tasks.config.load import ConfigError, load
from bood_tasks.config.study import REFERENCE, SWEPT, study
from bood_tasks.plan import detectors
from bood_tasks.plan import plan as planning
from bood_tasks.plan.synthesis import SCALE_FREE

ROOT = Path(__file__).parents[2]
UNPERTURBED = {"ood_features": {"perturb": "none"}}


def config(**ablations):
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    return load(base | {"ablations": ablations})


def digests(plan, stage):
    return {spec.digest for spec in plan.specs.values() if spec.stage == stage}


def without(config):
    return planning.make(config.model_copy(update={"ablations": None}))


def test_a_sweep_is_in_rising_order_and_holds_the_rows_own_value():
    found = study(config(sweeps={"detector.ood_weight": [5, 0.5, 2.5, 0.5]}))
    points = found.sweeps["detector.ood_weight"]
    assert list(points.items()) == [(0.5, "ood_weight=0.5"), (2.5, ""), (5, "ood_weight=5")]
    assert found.defaults == {"detector.ood_weight": 2.5}
    assert found.swept() == [SWEPT, "ablations/ood_weight=0.5", "ablations/ood_weight=5"]


def test_a_point_changes_its_setting_and_keeps_those_of_all():
    found = study(
        config(
            set={"detector": {"epochs": 2}, "images": {"per_class": 25}},
            sweeps={"detector.ood_weight": [5]},
        )
    )
    point = found.config.for_row("ablations/ood_weight=5")
    assert (point.detector.ood_weight, point.detector.epochs, point.images.per_class) == (5, 2, 25)
    assert found.config.for_row("bood").detector.epochs != 2


def test_curves_have_settings_of_their_own_beside_the_tables():
    """The ablation of K on features of their own length, tables 3, 6 and 8 on unit ones."""
    found = study(
        config(
            set={"images": {"per_class": 25}},
            sweep_set={"distances": {"feature_space": "raw"}},
            variants={"still": UNPERTURBED},
            sweeps={"distances.max_steps": [5, 100]},
        )
    )
    spaces = {
        row: found.config.for_row(row).distances.feature_space
        for row in (*found.varied(), *found.swept())
    }
    assert spaces == {
        REFERENCE: "unit", "ablations/still": "unit", SWEPT: "raw", "ablations/max_steps=5": "raw"
    }  # fmt: skip
    assert {found.config.for_row(row).images.per_class for row in found.swept()} == {25}
    assert found.defaults == {"distances.max_steps": 100}


def test_curves_without_settings_of_their_own_start_from_the_tables_row():
    found = study(config(seeds=[0], sweeps={"distances.max_steps": [5]}))
    one, two = (detectors.detector(found.config, row, 0) for row in (REFERENCE, SWEPT))
    assert one.digest == two.digest


def test_the_beta_sweep_trains_detectors_and_makes_no_image():
    """The paper's Figure 6, middle: all that comes before a detector is shared."""
    plain = config(seeds=[0])
    swept = config(seeds=[0], sweeps={"detector.ood_weight": [0.5, 1, 2.5, 5]})
    one, two = without(plain), planning.make(swept)
    new = [spec.stage for digest, spec in two.specs.items() if digest not in one.specs]
    assert sorted(set(new) - {"report"}) == ["detector", "metrics", "outputs", "scores", "sweeps"]
    assert new.count("detector") == new.count("outputs") == new.count("scores") == 3


def test_a_variant_that_changes_nothing_is_the_reference_itself():
    found = study(config(variants={"resnet18": {"detector": {"depth": 18}}}))
    one, two = (detectors.detector(found.config, row, 0) for row in found.varied())
    assert one.digest == two.digest


def test_each_product_rests_on_its_own_rows_alone():
    both = planning.make(
        config(variants={"still": UNPERTURBED}, sweeps={"ood_features.extra_steps": [0]})
    )

    def rows(kind):
        return {
            row["variant"] for row in both.targets[kind].inputs["metrics"].settings["rows"]
        }  # fmt: skip

    assert rows("ablations") == {"", "still"}
    assert rows("sweeps") == {"", "extra_steps=0"}
    assert rows("tables") == {"", "uniform-noise"}


def test_without_ablations_there_is_no_such_product():
    plan = without(config())
    assert {"ablations", "sweeps"}.isdisjoint(plan.targets)
    assert "ablations" not in planning.make(config(sweeps={"detector.lr": [1]})).targets


def test_ablations_have_seeds_of_their_own():
    found = study(config(seeds=[7], variants={"still": UNPERTURBED}))
    assert found.config.seeds == [7]
    assert study(config(variants={"still": UNPERTURBED})).config.seeds == [0, 1, 2]


def test_the_cross_entropy_row_stands_beside_the_curves():
    plan = planning.make(config(seeds=[1], sweeps={"detector.ood_weight": [5]}))
    rows = plan.targets["sweeps"].inputs["metrics"].settings["rows"]
    assert {(row["method"], row["seed"]) for row in rows} == {("ce", 1), ("bood", 1)}


@pytest.mark.parametrize(
    ("ablations", "message"),
    [
        ({"row": "baod"}, "ablations.row must name a row, got 'baod'; did you mean 'bood'?"),
        (
            {"sweeps": {"detector.ood_wait": [1]}},
            "ablations.sweeps.detector.ood_wait must name a setting, section.setting",
        ),
        ({"sweeps": {"nothing.lr": [1]}}, "ablations.sweeps.nothing.lr must name a setting"),
        ({"sweeps": {"distances": [1]}}, "ablations.sweeps"),
        ({"sweeps": {"distances.step_size": []}}, "ablations.sweeps.distances.step_size"),
        ({"sweeps": {"distances.step_size": [-1]}}, "ablations.sweeps.distances.step_size"),
        ({"sweeps": {"generator.path": [1]}}, "ablations.sweeps.generator.path"),
        ({"variants": {"a": {"ood_features": {"perturb": "sideways"}}}}, "ablations.variants.a"),
        ({"variants": {"a": {"seeds": {}}}}, "ablations.variants.a"),
        ({"set": {"detector": {"epochs": 0}}}, "ablations.set.detector.epochs"),
        ({"sweep_set": {"distances": {"feature_spice": "raw"}}}, "ablations.sweep_set.distances"),
        ({"seeds": []}, "ablations.seeds"),
    ],
)
def test_what_cannot_be_is_refused_by_its_own_name(ablations, message):
    with pytest.raises(ConfigError) as error:
        config(**ablations)
    assert message in str(error.value)


def test_an_overlay_takes_ablations_away():
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert load(merged(base, {"ablations": None})).ablations is None


def test_a_sweep_of_a_setting_that_is_found_or_off_needs_a_number_of_the_row():
    """`auto` and null have no place on the axis of a curve; sweep_set gives them one."""
    sweeps = {"ood_features.overshoot": [0.1, 0.5]}
    with pytest.raises(ConfigError, match=r"overshoot must be of a row with a number .* got null;"):
        config(sweeps=sweeps)
    found = study(config(sweeps=sweeps, sweep_set={"ood_features": {"overshoot": 0.25}}))
    assert list(found.sweeps["ood_features.overshoot"]) == [0.1, 0.25, 0.5]
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    with pytest.raises(ConfigError, match=r'distances.step_size must be of .* got "auto"; write'):
        load(base | {"distances": {"step_size": "auto"}})


def test_the_preset_scale_free_can_be_swept_and_figure_4_compares_with_it():
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    overlay = yaml.safe_load((ROOT / "workflow/presets/scale-free.yaml").read_text())
    found = load(merged(base, overlay))
    assert not study(found).sweeps
    sweeps = {"distances.median_steps": [10, 30], "ood_features.overshoot": [0.05, 0.5]}
    on_top = {"ablations": {"sweeps": sweeps}, "only": {"sweeps": list(sweeps)}}
    points = study(load(merged(merged(base, overlay), on_top))).sweeps
    assert [len(values) for values in points.values()] == [2, 3]
    assert load(merged(merged(base, {"ablations": None}), overlay)).ablations is None
    for key, value in SCALE_FREE.items():
        section = "distances" if key == "step_size" else "ood_features"
        assert getattr(getattr(found, section), key) == value
    plan = planning.make(found)
    beside = plan.targets["gallery"].settings["beside"]
    assert (beside["step_size"], beside["extra_steps"]) == (0.015, 2)
    report = plan.targets["report"]
    seeds = [spec.settings["seed"] for spec in report.inputs["distances"]]
    assert sorted(seeds) == [0, 1, 2]
    usual = planning.make(load(base))
    assert "distances" not in usual.targets["report"].inputs
    published = usual.targets["gallery"].settings["beside"]
    assert published["overshoot"] == SCALE_FREE["overshoot"]
    assert published["step_size"] == "auto"


def test_what_is_not_read_enters_no_stage():
    """median_steps beside a number, c beside an overshoot, an overshoot beside Gaussian noise."""
    base = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"ablations": None}

    def made(**sections):
        whole = load(merged(base, sections))
        return digests(planning.make(whole), "ood_features")

    assert made(distances={"median_steps": 7}) == made()
    far = {"overshoot": 0.5}
    assert made(ood_features=far | {"extra_steps": 5}) == made(ood_features=far) != made()
    noisy = {"perturb": "gaussian"}
    assert made(ood_features=far | noisy) == made(ood_features=noisy)
    auto = {"step_size": "auto"}
    assert made(distances=auto | {"median_steps": 7}) != made(distances=auto)
