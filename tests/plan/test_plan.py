from pathlib import Path

import pytest
import yaml

from bood_tasks.catalogue.stages import STAGES
from bood_tasks.cli.cost import planned
from bood_tasks.config.fields import merged
from bood_tasks.config.load import laid_over, load
from bood_tasks.plan import detectors
from bood_tasks.plan import plan as planning
from bood_tasks.plan import synthesis as stages
from bood_tasks.plan.resources import resources_of

ROOT = Path(__file__).parents[2]


def preset(name):
    return yaml.safe_load((ROOT / f"workflow/presets/{name}.yaml").read_text())


def config(**overlay):
    """The embedded default as `make demo` runs it, with an overlay."""
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    return load(merged(merged(base, preset("demo")), overlay))


def digests(given, stage):
    return {spec.digest for spec in planning.make(given).specs.values() if spec.stage == stage}


def test_every_spec_follows_its_inputs():
    seen = set()
    for digest, spec in planning.make(config()).specs.items():
        assert {item.digest for item in spec.upstream()} <= seen
        seen.add(digest)


def test_names_do_not_depend_on_the_order_of_rows():
    given = config().model_dump()
    rows = dict(reversed(given["rows"].items()))
    first, second = planning.make(load(given)), planning.make(load(given | {"rows": rows}))
    paths = [
        {s.manifest for s in p.specs.values() if s.stage in ("detector", "scores", "images")}
        for p in (first, second)
    ]
    assert paths[0] == paths[1]


def test_more_images_add_shards_and_rename_none():
    few, many = (digests(config(images={"per_class": n}), "images") for n in (200, 300))
    assert few < many
    assert len(many - few) == 1


def test_seeds_share_data_sets_and_generator():
    one, two = config(), config(seeds=[0, 1])
    for stage in ("dataset", "generator", "anchors"):
        assert digests(one, stage) == digests(two, stage)
    assert digests(one, "detector") < digests(two, "detector")


def test_ce_baseline_knows_nothing_of_the_ood_term():
    one, two = (detectors.detector(config(detector={"ood_weight": w}), "ce", 0) for w in (1, 2))
    assert one.digest == two.digest


def test_settings_of_the_run_enter_no_identity():
    one, two = (planning.make(config(run={"inference_batch": n})) for n in (1, 99))
    assert list(one.specs) == list(two.specs)


def test_a_path_stays_out_of_the_identity_and_its_content_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    specs = []
    for place, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / place).write_text(text)
        given = config(datasets={"clipart": {"file": place}})
        specs.append(stages.dataset(given, "clipart").digest)
    assert specs[0] == specs[1] != specs[2]


def test_row_overrides_reach_their_row_alone():
    given = config(
        rows={"far": {"method": "bood", "variant": "far", "set": {"distances": {"step_size": 1}}}},
        only={"rows": ["ce", "bood", "noise", "far"]},
    )
    assert len(digests(given, "distances")) == 2
    assert len(digests(given, "encoder")) == 1


@pytest.mark.parametrize("perturb", ["adversarial", "gaussian", "centroid", "none"])
def test_only_the_chosen_perturbation_reads_its_settings(perturb):
    changes = {"adversarial": "extra_steps", "gaussian": "sigma", "centroid": "shift"}
    for kind, key in changes.items():
        base = {"perturb": perturb}
        default = stages.ood_features(config(ood_features=base), 0).digest
        changed = stages.ood_features(config(ood_features=base | {key: 7}), 0).digest
        assert (default != changed) == (kind == perturb)


BELOW = {
    "embedded-controls": "demo",
    "paper-smoke": "smoke",
    "goe-smoke": "smoke",
    "goe-embedded-weights": "goe-embedded",
    "bood-cifar100-ablations": "bood-cifar100",
    "bood-cifar100-as-printed": "bood-cifar100",
    "bood-imagenet100-near": "bood-imagenet100",
}


def stand_ins(given: dict) -> None:
    """Make files in place of the weights that a preset expects below the working folder."""
    for section, key in (("detector", "pretrained"), ("gan_generator", "path")):
        name = given.get(section, {}).get(key)
        if name and name.startswith("data/"):
            path = Path(name)
            path = path if path.suffix else path / "config.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow/presets").glob("*.yaml")), ids=lambda path: path.stem
)
def test_presets_are_valid(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    below = [path.with_stem(BELOW[path.stem])] if path.stem in BELOW else []
    given = laid_over(ROOT / "config.yaml", [*below, path])
    stand_ins(given)
    plan = planning.make(load(given))
    for spec in plan.specs.values():
        assert STAGES[spec.stage].outside or not spec.source, spec.stage
        assert STAGES[spec.stage].packs == ("stop" in spec.settings), spec.stage
    if path.stem.startswith("goe"):
        table = {"goe-newsgroups": "goe_text_tables"}.get(path.stem, "goe_tables")
        assert table in plan.targets
        assert all(
            resources_of(spec).mem_mb and resources_of(spec).runtime for spec in plan.specs.values()
        )
        assert planned(plan, "h200")["detector"].jobs >= 3


def test_weights_that_are_not_there_are_named_with_their_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = yaml.safe_load((ROOT / "config.yaml").read_text())
    with pytest.raises(FileNotFoundError, match=r"detector\.pretrained must name .*wrn-cifar10"):
        planning.make(load(merged(given, preset("goe-cifar10"))))


def test_a_pack_goes_on_with_the_next_shards_of_the_same_images():
    given = config(images={"per_class": 350}, rows={"far": {
        "method": "bood", "variant": "far", "set": {"distances": {"step_size": 1}},
    }})  # fmt: skip
    plan = planning.make(given)
    bood = stages.images(given.for_row("bood"), 0)
    assert planning.following(plan, bood[1], 2) == ["200-300", "300-350"]
    assert planning.following(plan, bood[1], 1) == ["200-300"]
    assert planning.following(plan, bood[3], 5) == []


def test_strips_show_the_settings_among_their_values():
    for changes in ({}, {"distances": {"step_size": 0.2}, "ood_features": {"extra_steps": 9}}):
        settings = stages.strips(config(**changes), 0).settings
        assert settings["extra_steps"] in settings["extra_steps_shown"]
        assert settings["step_size"] in settings["step_sizes_shown"]
        assert {0, 5} <= set(settings["extra_steps_shown"])


def test_gallery_compares_with_the_first_dreamood_row_that_makes_other_images():
    def compared(**overlay):
        only = {"rows": ["ce", "bood", "noise", *overlay.get("rows", ())]}
        plan = planning.make(config(only=only, **overlay))
        return plan.targets["gallery"].inputs.get("dreamood_images")

    rows = {"sampled": {"method": "dreamood", "set": {"ood_features": {"dreamood": {"sigma": 2}}}}}
    assert compared() is None
    (found, *_) = compared(rows=rows | {"other": {"method": "dreamood", "variant": "other"}})
    sampler = found.inputs["ood_features"].settings
    assert (sampler["sampler"], sampler["sigma"]) == ("dreamood", 2)
    same = {"ood_features": {"sampler": "dreamood"}, "rows": {"all": {"method": "dreamood"}}}
    assert compared(**same) is None
