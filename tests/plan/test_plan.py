import json
from pathlib import Path

import pytest
import yaml

from bood_tasks.catalogue.stages import STAGES
from bood_tasks.catalogue.weights import WEIGHTS
from bood_tasks.cli.cost import planned
from bood_tasks.cli.look import look
from bood_tasks.config.fields import merged
from bood_tasks.config.load import effective_config, laid_over, load
from bood_tasks.jobs.job import Job
from bood_tasks.plan import detectors
from bood_tasks.plan import plan as planning
from bood_tasks.plan import synthesis as stages
from bood_tasks.plan.notes import notes as noted
from bood_tasks.plan.resources import resources_of
from bood_tasks.plan.sizes import Sizes
from tests.openood_files import lay_out

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


def test_whole_pictures_are_those_of_the_id_set_alone_and_counted_twice():
    files = [ROOT / "config.yaml", ROOT / "workflow/presets/bood-imagenet100.yaml"]
    given = effective_config(files)
    cut = given.model_copy(update={"image": given.image.model_copy(update={"whole": False})})
    found, plain = (
        {name: stages.dataset(config, name) for name in ("imagenet100", "inaturalist", "resampled")}
        for config in (given, cut)
    )
    assert found["inaturalist"].digest == plain["inaturalist"].digest
    assert "whole" not in found["resampled"].settings
    own, before = found["imagenet100"], plain["imagenet100"]
    assert own.settings == before.settings | {"whole": True}
    assert not any("whole" in key for key in (before.settings, before.settings["image"]))
    rows = Sizes().splits(own)["train"]
    assert Sizes().pixels(own) == Sizes().pixels(before) + rows * 3 * 256**2
    assert "whole" not in noted(cut, cut.rows)["image"]
    assert noted(given, given.rows)["image"]["whole"]


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


SAMPLERS = (
    "fast-dpmsolver", "fast-unipc", "sd-turbo", "lcm", "lcm-lora", "sdxl", "sdxl-turbo",
)  # fmt: skip
BELOW = {
    "embedded-controls": "demo",
    "cifar10-laptop-bood": "cifar10-laptop",
    "cifar10-laptop-choice": "cifar10-laptop",
    "cifar10-laptop-helpful": "cifar10-laptop",
    "goe-embedded-choice": "goe-embedded",
    "paper-smoke": "smoke",
    "goe-smoke": "smoke",
    "goe-embedded-weights": "goe-embedded",
    "bood-cifar100-ablations": "bood-cifar100",
    "bood-cifar100-as-code": "bood-cifar100",
    "bood-cifar100-as-printed": "bood-cifar100",
    "bood-imagenet100-near": "bood-imagenet100",
    "one-run": "bood-cifar100",
    **dict.fromkeys(SAMPLERS, "bood-cifar100"),
}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow/presets").glob("*.yaml")), ids=lambda path: path.stem
)
def test_presets_are_valid(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    below = [path.with_stem(BELOW[path.stem])] if path.stem in BELOW else []
    given = laid_over(ROOT / "config.yaml", [*below, path])
    if path.stem.startswith("openood"):  # list files are read while planning
        lay_out(tmp_path / "data", load(given), 2, 50)
        given["scoring"]["nnguide"]["neighbours"] = 1  # of the hundredth of so few pictures
    plan = planning.make(load(given, look))
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


def of_preset(name: str, **more):
    return load(
        merged(laid_over(ROOT / "config.yaml", [ROOT / f"workflow/presets/{name}.yaml"]), more)
    )


def test_weights_of_ones_own_that_are_not_there_are_named_with_their_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = {"detector": {"pretrained": "mine/wrn.pt"}}
    with pytest.raises(FileNotFoundError, match=r"detector\.pretrained must name .*mine/wrn\.pt"):
        planning.make(of_preset("goe-cifar10", **own))


def test_released_weights_are_known_by_their_checksum_and_missed_by_their_address(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    few = {"gan_images": {"count": 1000}}
    config = of_preset("goe-imagenet-vit", **few)
    found = [message for message in planning.absent(config) if "SHA-256" in message]
    assert [message.split(" ")[0] for message in found] == [
        "detector.pretrained", "gan_generator.path",
    ]  # fmt: skip
    for part in ("data/weights/vit_b16_224_timm", "jx_vit_base_p16_224-80ecf9dd.pth", "bood fetch"):
        assert part in found[0]
    before = planning.make(config)
    (made,) = [spec for spec in before.specs.values() if spec.stage == "pretrained"]
    assert "80ecf9dd" in json.dumps(made.settings)
    assert "content" not in made.settings
    for name, entry in WEIGHTS.items():
        folder = tmp_path / "data/weights" / name
        folder.mkdir(parents=True)
        for file in entry.files:
            (folder / file).touch()
    assert not [message for message in planning.absent(config) if "SHA-256" in message]
    assert set(planning.make(config).specs) == set(before.specs)
    other = of_preset("goe-imagenet-vit", **few, detector={"pretrained": "released:resnet101_v1"})
    assert set(planning.make(other).specs) != set(before.specs)


def test_a_name_of_no_release_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"detector\.pretrained.*released:wrn40_2_cifar10.*got"):
        of_preset("goe-cifar10", detector={"pretrained": "released:wrn"})
    with pytest.raises(ValueError, match=r"gan_generator\.path.*released:biggan_deep_256"):
        of_preset("goe-imagenet-vit", gan_generator={"path": "released:biggan"})


def test_goes_figures_have_their_names_grids_and_axes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = {"gan_images": {"count": 1000}}
    for name, figure in (("vit", "figure2"), ("resnet101", "figure3")):
        sweeps = planning.make(of_preset(f"goe-imagenet-{name}", **few)).targets["goe_sweeps"]
        assert sweeps.settings["figures"] == {"gan_images.scale": figure}
        values = [value for value, _ in sweeps.settings["sweeps"]["gan_images.scale"]]
        assert values == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10]
    targets = planning.make(of_preset("goe-cifar10")).targets
    values = [value for value, _ in targets["goe_sweeps"].settings["sweeps"]["gan_images.scale"]]
    assert values == [0, 0.5, 1, 2, 5, 10, 20, 30, 40, 50]
    labels = [row["outliers"] for row in targets["goe_counts"].settings["rows"]]
    assert labels == ["100", "1,000", "10,000", "20,000", "50,000", "100,000"]
    for kind in ("goe_counts", "goe_epochs"):
        for spec in targets[kind].inputs["epochs"]:
            assert spec.inputs["start"].stage == "pretrained"  # epoch 0


def test_goes_published_samples_stand_for_generated_outliers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outliers = planning.make(of_preset("goe-cifar100")).targets["goe_tables"].settings["outliers"]
    assert [kind for kind, seen in outliers.items() if seen == "generated"] == [
        "oe|published-samples", "oe|",
    ]  # fmt: skip


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


def test_class_words_that_the_generator_does_not_know_are_refused_before_the_first_job():
    data = {"fashion8": {"classes": {"bag": 8, "dahlia": 3}}}
    with pytest.raises(ValueError, match=r"1 is none: 'dahlia'.*`bood words`"):
        planning.make(config(datasets=data))
    planning.make(config(datasets=data, anchors={"words": {"dahlia": "plainstar"}}))
    with pytest.raises(ValueError, match=r"dahlia \('pagoda'\)"):
        planning.make(config(datasets=data, anchors={"words": {"dahlia": "pagoda"}}))


def test_jobs_hash_of_a_folder_what_the_plan_hashed(tmp_path):
    """A job refuses what has changed since: stray files must count for both, or for neither."""
    for name in ("bag", "boot"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "a.png").write_bytes(b"picture")
        (tmp_path / "mine" / name / "notes.md").write_text("mine")
    data = {"mine": {"kind": "folder", "path": str(tmp_path / "mine")}}
    made = planning.make(config(datasets=data, test=["near", "mine"]))
    checked = set()
    for spec in made.specs.values():
        if spec.source and "content" in spec.settings and spec.stage in ("dataset", "generator"):
            job = Job(spec.settings, {}, Path(spec.manifest), spec.identity(), spec.source)
            job.require_planned()
            checked.add(spec.name)
    assert {"mine", "local", "fashion8"} <= checked


def test_thousands_of_shards_are_planned_once_and_held_once():
    """Tables, figures and detectors share a detector's shards: 10,000 copies each took 66 MB."""
    made = planning.make(config(images={"per_class": 3000, "shard": 1}))
    seen, waiting = {}, list(made.specs.values())
    while waiting:
        spec = waiting.pop()
        if id(spec) not in seen:
            seen[id(spec)] = spec
            waiting += spec.upstream()
    shards = [spec for spec in seen.values() if spec.stage == "images"]
    assert len(shards) == len({spec.digest for spec in shards}) > 3000
