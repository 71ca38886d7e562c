"""What jobs ask for is enough at paper scale and small for the embedded default."""

from pathlib import Path

import pytest

from bood_tasks.cli import cost
from bood_tasks.config.load import effective_config
from bood_tasks.plan import plan as planning
from bood_tasks.plan import synthesis as stages
from bood_tasks.plan.resources import LARGEST_MB, resources_of
from bood_tasks.plan.sizes import Sizes
from bood_tasks.synthesis.samplers.dreamood import KEPT_A_ROW, ROWS_A_ROUND

ROOT = Path(__file__).parents[2]
PRESETS = [
    path
    for path in sorted((ROOT / "workflow/presets").glob("*ood-*100.yaml"))
    if not path.stem.startswith("openood")  # which generate no pictures
]


@pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
def paper(request):
    return planning.make(effective_config([ROOT / "config.yaml", request.param]))


def test_the_presets_are_there():
    assert {"bood-cifar100", "bood-imagenet100"} <= {path.stem for path in PRESETS}


def test_limits_exceed_what_an_a100_should_need(paper):
    minutes: dict[str, float] = {}
    for spec in paper.specs.values():
        minutes[spec.stage] = minutes.get(spec.stage, 0) + resources_of(spec).runtime
    found = cost.planned(paper, "a100")
    planned = {stage: item.hours * 60 for stage, item in found.items() if item.hours}
    assert {"encoder", "detector", "images"} <= set(planned)
    for stage, expected in planned.items():
        assert minutes[stage] >= 2 * expected, stage


def test_an_image_shard_is_planned_for_five_to_thirty_minutes(paper):
    for device in ("a100", "h200"):
        images = cost.planned(paper, device)["images"]
        assert 5 <= images.hours * 60 / images.jobs <= 30


def test_memory_holds_what_a_job_keeps_and_fits_a_node(paper):
    for spec in paper.specs.values():
        assert 2000 <= resources_of(spec).mem_mb <= LARGEST_MB
    large = [resources_of(s).mem_mb for s in paper.specs.values() if s.stage == "detector"]
    small = planning.make(effective_config([ROOT / "config.yaml"]))
    for spec in small.specs.values():
        asked = resources_of(spec)
        assert asked.threads == 1
        assert asked.mem_mb <= 8200
        if spec.stage == "detector":
            assert asked.mem_mb < min(large)


def test_a_larger_picture_asks_for_more_time():
    base = effective_config([ROOT / "config.yaml", ROOT / "workflow/presets/bood-cifar100.yaml"])
    asked = []
    for resolution in (1024, 2048, 4096):
        images = base.images.model_copy(update={"resolution": resolution})
        config = base.model_copy(update={"images": images})
        asked.append(resources_of(stages.images(config, 0)[0]).runtime)
    assert asked[0] < asked[1] < asked[2]


def test_dreamoods_operations_are_those_of_its_rounds(paper):
    for spec in paper.specs.values():
        if spec.stage == "ood_features" and "vectors" in spec.settings:
            sizes, features = Sizes(), spec.inputs["features"]
            rounds = -(-spec.settings["vectors"] // (ROWS_A_ROUND * KEPT_A_ROW))
            drawn = spec.settings["candidates"] * rounds
            rows = sizes.splits(features.inputs["dataset"])["train"]
            assert sizes.operations(spec) == 2 * drawn * rows * 768
            assert sizes.items(spec) == 100 * spec.settings["vectors"]


def test_ncis_is_counted_by_the_steps_of_its_network():
    base = effective_config([ROOT / "config.yaml", ROOT / "workflow/presets/bood-cifar100.yaml"])
    found = []
    for epochs in (10, 20):
        ncis = base.ood_features.ncis.model_copy(update={"epochs": epochs, "batch_size": 100})
        update = {"sampler": "ncis", "ncis": ncis}
        item = base.ood_features.model_copy(update=update)
        spec = stages.ood_features(base.model_copy(update={"ood_features": item}), 0)
        found.append(Sizes().operations(spec))
    # 500 steps an epoch, two passes each, five rotations of 768 dimensions
    assert found[0] == 10 * 500 * 2 * 3 * 5 * 10 * 2 * 768**3
    assert found[1] == 2 * found[0]
