"""Costs before a run, by hand, and after one, from its run facts."""

from pathlib import Path

import pytest

from bood_tasks.cli import cost
from bood_tasks.cli.look import look
from bood_tasks.cli.main import main
from bood_tasks.config.fields import merged
from bood_tasks.config.load import laid_over, load
from bood_tasks.networks.flops import resnet_flops
from bood_tasks.plan import plan as planning
from tests.plan.test_plan import BELOW

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "workflow/presets").glob("*.yaml"))
PRESETS = [path for path in PRESETS if not path.stem.startswith(("goe", "openood"))]  # test_plan.py
PAPER = [path for path in PRESETS if path.stem.endswith(("cifar100", "imagenet100"))]


ONLY_BOOD = {"only": {"rows": ["ce", "bood"]}, "seeds": [0]}


def plan_of(name, **overlay):
    presets = [ROOT / f"workflow/presets/{x}.yaml" for x in (BELOW.get(name), name) if x]
    return planning.make(load(merged(laid_over(ROOT / "config.yaml", presets), overlay), look))


def test_the_four_presets_of_the_papers_are_here():
    assert {path.stem for path in PAPER} == {
        f"{method}-{data}"
        for method in ("bood", "dreamood")
        for data in ("cifar100", "imagenet100")
    }


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_plans_without_data_or_weights(path):
    plan = plan_of(path.stem)
    undecoded = (
        "cifar10-laptop", "cifar10-laptop-choice", "more-scores", "own-pictures", "own-texts",
    )  # fmt: skip
    needs = {"detector", "metrics"} | ({"images"} if path.stem not in undecoded else set())
    needs |= {"report"} if path.stem != "own-texts" else set()  # texts alone have none yet
    assert needs <= {spec.stage for spec in plan.specs.values()}


def test_cifar100_costs_by_hand():
    stages = cost.planned(plan_of("bood-cifar100", **ONLY_BOOD), "h200")
    # 100 classes of 1,000 images, and 8 decodes of each anchor for the contact sheets
    assert stages["images"].items == 100_800
    assert stages["images"].flops == pytest.approx(100_800 * 84.45e12, rel=1e-3)
    assert stages["images"].hours == pytest.approx(stages["images"].flops / 395e12 / 3600)
    assert stages["images"].disk == 100_800 * 256 * 256 * 3
    forward = resnet_flops(depth=34, width=64, stem="cifar", outputs=100, size=32)
    # 200 epochs of 50,000 pictures, once without and once with as many outliers
    assert stages["detector"].items == 30_000_000
    assert stages["detector"].flops == pytest.approx(3 * 30_000_000 * forward)
    assert stages["ood_features"].items == 2_500
    assert stages["dataset"].items is None  # Places365 has several subsets


@pytest.mark.parametrize(
    ("preset", "passes", "each"),
    [
        ("bood-cifar100", 2 * 51, 0.803e12),
        ("fast-dpmsolver", 2 * 20, 0.803e12),
        ("fast-unipc", 2 * 20, 0.803e12),
        ("sd-turbo", 4, 0.804e12),  # OpenCLIP's states are wider
        ("lcm", 4, 0.803e12),  # whose guidance is an input
        ("lcm-lora", 4, 0.803e12),
    ],
)
def test_a_sampler_costs_its_passes_of_the_network(preset, passes, each):
    cost_of = cost.planned(plan_of(preset, **ONLY_BOOD), "h200")["images"]
    assert cost_of.flops / cost_of.items == pytest.approx(2.51e12 + passes * each, rel=2e-3)


def test_imagenet_fine_tunes_from_the_cross_entropy_row():
    plan = plan_of("bood-imagenet100", **ONLY_BOOD)
    detectors = [spec for spec in plan.specs.values() if spec.stage == "detector"]
    (tuned,) = [spec for spec in detectors if "start" in spec.inputs]
    start = tuned.inputs["start"]
    assert (tuned.settings["epochs"], tuned.settings["lr"]) == (20, 0.001)
    assert (start.settings["epochs"], start.settings["lr"]) == (100, 0.1)
    assert "start" not in start.inputs
    assert start in detectors
    assert tuned.settings["crop"] == 224


def test_dreamood_shares_every_stage_but_the_sampler():
    bood, dreamood = (
        {spec.digest: spec for spec in plan_of(f"{name}-cifar100").specs.values()}
        for name in ("bood", "dreamood")
    )
    shared = {bood[digest].stage for digest in bood.keys() & dreamood.keys()}
    assert {"dataset", "generator", "anchors", "encoder", "features"} <= shared
    sampled = next(spec for spec in dreamood.values() if spec.stage == "ood_features")
    assert sampled.settings["sigma"] == 0.07
    assert set(sampled.inputs) == {"features", "anchors"}


@pytest.mark.long
def test_everything_of_the_embedded_default_is_known():
    stages = cost.planned(plan_of("smoke"), "cpu")
    assert all(None not in (c.items, c.flops, c.hours, c.disk) for c in stages.values())
    assert stages["dataset"].items == 8 * 100 + 8000 + 2000 + 1123 + 1797 + 2000 + 100 + 320 + 8000


def test_plan_and_cost_print_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = [str(ROOT / "config.yaml"), "--configfile", str(PAPER[0])]
    main(["plan", *files, "--device", "a100"])
    text = capsys.readouterr().out
    assert "a100 hours" in text
    assert "missing: datasets.svhn (SVHN) must lie in data/svhn" in text
    with pytest.raises(SystemExit, match=r"no artifact of .* is here"):
        main(["cost", *files])


def test_what_is_there_already_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_of("smoke", only={"rows": ["ce"]}, text=None)
    before = cost.planned(plan, "cpu")
    datasets = [spec for spec in plan.specs.values() if spec.stage == "dataset"]
    trained = next(spec for spec in plan.specs.values() if spec.stage == "detector")
    for spec in (datasets[0], trained):
        path = Path(spec.manifest)
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        path.with_name("dataset.json").write_text("{}")
    after = cost.planned(plan, "cpu")
    assert after["dataset"].jobs == before["dataset"].jobs - 1
    assert after["dataset"].notes == {f"1 of {len(datasets)} done"}
    assert (after["detector"].jobs, after["detector"].disk, after["detector"].hours) == (0, 0, 0)
    assert after["detector"].notes == {"done"}


def test_every_unknown_has_its_reason():
    stages = cost.planned(plan_of("goe-embedded"), "cpu")
    unknown = {name for name, c in stages.items() if None in (c.items, c.flops, c.hours, c.disk)}
    assert {"gan_images", "tokens", "detector"} <= unknown
    for name, found in stages.items():
        assert (name in unknown) == any(note.startswith("?: ") for note in found.notes), name
    assert cost.lines(stages)[-1][-1].startswith("without what is unknown of")


def test_weights_are_counted_by_hand(tmp_path):
    """ResNet-18 of 64 channels and 100 classes has 11.2 million weights (He et al. 2016)."""
    plan = plan_of("smoke", only={"rows": ["ce"]}, text=None, detector={"depth": 18, "width": 64})
    (spec,) = [spec for spec in plan.specs.values() if spec.stage == "detector"]
    assert cost.bytes_on_disk(spec) == pytest.approx(4 * 11.17e6, rel=5e-3)
