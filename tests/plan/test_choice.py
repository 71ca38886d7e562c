"""The plan of an automatic choice: no test set, shared stages, rung after rung, within a budget."""

import json
from pathlib import Path

import pytest
import yaml

from bood_tasks.config.candidates import OWN
from bood_tasks.config.fields import merged
from bood_tasks.config.load import load
from bood_tasks.plan import plan as planning
from bood_tasks.plan.choice import lineage, planned_rungs
from bood_tasks.plan.datasets import dataset

ROOT = Path(__file__).parents[2]
BASE = yaml.safe_load((ROOT / "config.yaml").read_text())
DEMO = yaml.safe_load((ROOT / "workflow/presets/demo.yaml").read_text())
GOE = yaml.safe_load((ROOT / "workflow/presets/goe-embedded.yaml").read_text())
CHOICE = {
    "settings": {"distances.step_size": [0.015, 0.06], "detector.ood_weight": [0.5, 2.5]},
    "rungs": 2,
    "eta": 2,
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Plans read artifacts/ of the working folder: what finished rungs say."""
    monkeypatch.chdir(tmp_path)


def config(choice=CHOICE, **overlay):
    return load(merged(merged(merged(BASE, DEMO), overlay), {"choice": choice}))


def finish(spec, going_on):
    """Leave what a finished rung leaves that a plan reads."""
    folder = Path(spec.manifest).parent
    folder.mkdir(parents=True)
    (folder / "choice.json").write_text(json.dumps({"going_on": going_on}))
    (folder / "manifest.json").write_text("{}")


def labels(spec):
    return [item["label"] for item in spec.settings["candidates"]]


def count(specs, stage):
    return sum(spec.stage == stage for spec in specs.values())


@pytest.mark.parametrize("made", [config, lambda: config(CHOICE | {"validation": ["corrupted"]})])
def test_no_job_of_a_choice_reads_a_test_set(made):
    given = made()
    plan = planning.make(given)
    finish(plan.choice[0], [OWN, labels(plan.choice[0])[1]])
    planning.plan_on(plan, given)
    of_choice = lineage(plan.choice)
    tests = {dataset(given, name).digest for name in (*given.test, *given.control)}
    assert tests <= set(plan.specs)  # which the tables read
    assert not tests & set(of_choice)
    sources = {spec.source for spec in of_choice.values() if spec.stage == "dataset"}
    assert {Path(source).name for source in sources if source} == {"fashion_mnist.npz"}
    kinds = {spec.settings["kind"] for spec in of_choice.values() if spec.stage == "dataset"}
    assert kinds <= {"npz", "corrupted", "fold"}
    for spec in of_choice.values():
        if spec.stage == "metrics":
            assert (spec.settings["test"], spec.settings["control"]) == ([], [])


def test_no_job_of_a_fold_reads_the_classes_that_it_leaves_out_but_its_own_set():
    """The ID data set itself is read by what parts it, and by nothing else of a fold."""
    given = config(CHOICE | {"validation": ["held-out"]})
    whole = dataset(given, "fashion8").digest
    readers = [
        spec for spec in lineage(planning.make(given).choice).values()
        if whole in {item.digest for item in spec.upstream()}
    ]  # fmt: skip
    assert {spec.settings.get("kind") for spec in readers} == {"fold"}


def test_candidates_share_what_their_settings_do_not_change():
    specs = lineage(planning.make(config()).choice)
    # five combinations are three step sizes; corrupted and two folds
    assert [count(specs, stage) for stage in ("encoder", "features", "distances", "detector")] == [
        3, 3, 3 * 3, 5 * 3
    ]  # fmt: skip


def test_a_last_rung_trains_the_detectors_of_the_tables():
    given = config(CHOICE | {"rungs": 1, "validation": ["corrupted"]})
    plan = planning.make(given)
    tables = lineage([plan.targets["metrics"]])
    ours = {d for d, spec in lineage(plan.choice).items() if spec.stage == "detector"}
    assert len(ours & set(tables)) == 1  # the row as it is


def test_a_rung_is_planned_when_the_one_before_has_ended():
    given = config()
    plan = planning.make(given)
    first = plan.choice[0]
    assert (len(plan.choice), plan.rungs, plan.chosen) == (1, 2, None)
    assert first.settings["going_on"] == 2  # of four, by eta = 2
    assert "choice" not in plan.shown()
    finish(first, [OWN, labels(first)[2]])
    planning.plan_on(plan, given)
    assert [spec.name for spec in plan.choice] == ["bood-rung0", "bood-rung1"]
    assert labels(plan.chosen) == [OWN, labels(first)[2]]
    assert plan.shown()["choice"] == plan.chosen
    assert {spec.digest for spec in plan.chosen.upstream()} <= set(plan.specs)
    again = planning.make(given)  # as each job of a cluster plans
    assert list(again.specs) == list(plan.specs)


def test_more_pictures_of_a_later_rung_are_further_shards():
    given = config(images={"per_class": 100, "shard": 25})
    plan = planning.make(given)
    first = {d for d, spec in lineage(plan.choice).items() if spec.stage == "images"}
    finish(plan.choice[0], [OWN])
    planning.plan_on(plan, given)
    last = {d: x for d, x in lineage([plan.chosen]).items() if x.stage == "images"}
    of_own = {d for d, spec in last.items() if d in first}
    assert len(of_own) >= 3 * 2  # of three views, two shards each
    assert {spec.settings["start"] for spec in last.values()} == {0, 25, 50, 75}


def test_the_choice_does_not_change_what_else_is_planned():
    with_it, without = planning.make(config()), planning.make(config(None))
    assert set(with_it.specs) > set(without.specs) - {without.targets["report"].digest}
    assert with_it.targets["metrics"].digest == without.targets["metrics"].digest


def test_what_a_choice_costs_at_most_is_no_less_than_what_it_costs():
    given = config(seeds=[0, 1])
    most = planned_rungs(given)
    plan = planning.make(given)
    first = lineage(plan.choice)
    assert set(most[0]) == {d for d, x in first.items() if x.stage not in ("metrics", "choice")}
    finish(plan.choice[0], [OWN, *labels(plan.choice[0])[3:5]])
    planning.plan_on(plan, given)
    made = {d: x for d, x in lineage([plan.chosen]).items() if d not in first}
    detectors = count(made, "detector")
    assert detectors <= count(most[1], "detector")
    assert detectors == 3 * 3 * 2  # candidates, views, seeds


def test_a_budget_of_jobs_draws_fewer_candidates_and_is_kept():
    every = planning.make(config()).choice[0]
    few = planning.make(config(CHOICE | {"budget": {"jobs": 120}})).choice[0]
    drawn = [label for label in labels(few) if label]
    assert 0 < len(drawn) < len(labels(every)) - 1
    assert drawn == labels(every)[1 : 1 + len(drawn)]
    given = config(CHOICE | {"budget": {"jobs": 120}})
    parts = planned_rungs(given)
    assert sum(map(len, parts)) + 2 * (3 + 1) <= 120  # and metrics and the rungs' own


def test_minutes_are_the_same_before_and_after_a_data_set_is_read():
    given = config(CHOICE | {"budget": {"minutes": 60, "device": "h100"}})
    before = planning.make(given).choice[0]
    folder = Path(dataset(given, "fashion8").manifest).parent
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    facts = {"counts": {"train": 10**9, "validation": 8, "test": 8}, "classes": ["a", "b"]}
    (folder / "dataset.json").write_text(json.dumps(facts))
    assert planning.make(given).choice[0].digest == before.digest


@pytest.mark.parametrize("budget", [{"jobs": 3}, {"minutes": 0.001}])
def test_a_budget_too_small_for_one_candidate_is_refused_with_the_least_that_does(budget):
    (name,) = budget
    with pytest.raises(ValueError, match=rf"choice\.budget\.{name} must be at least [\d,]+, which"):
        planning.make(config(CHOICE | {"budget": budget}))


def test_rules_without_training_look_at_each_scale_once_and_at_no_test_set():
    choice = {
        "row": "generated", "settings": {"gan_images.scale": [1, 5, 50]}, "rungs": 1,
        "validation": ["corrupted"], "rules": {"count": 100}, "seeds": [0],
    }  # fmt: skip
    plan = planning.make(config(choice, **{k: v for k, v in GOE.items() if k != "text"}))
    looked = plan.chosen.inputs["statistics"]
    assert plan.chosen.settings["rules"]["values"] == [1, 5, 50]
    scales = [spec.inputs["outliers"][0].settings["scale"] for spec in looked]
    assert scales == [1, 5, 50]
    assert len({spec.inputs["detector"].digest for spec in looked}) == 1
    shards = {d for d, x in lineage(plan.choice).items() if x.stage == "gan_images"}
    assert len(shards) == 3  # those that the candidates train on


def test_texts_leave_classes_out_and_keep_the_words_of_all():
    choice = {
        "row": "generated", "settings": {"texts.temperature": [1, 3]}, "validation": ["held-out"],
        "rungs": 1,
    }  # fmt: skip
    raw = merged(merged(merged(BASE, DEMO), GOE), {"text": {"choice": choice, "seeds": [0]}})
    plan = planning.make(load(raw))
    specs = lineage(plan.choice)
    assert count(specs, "vocabulary") == count(specs, "corpus") == 1
    assert sorted(x.name for x in specs.values() if x.stage == "tokens") == [
        "glosses+fold0", "glosses+fold0+left-out", "glosses+fold1", "glosses+fold1+left-out",
        "glosses-8words",
    ]  # fmt: skip
    assert plan.chosen.settings["texts"] is True
    # The shipped language model has read the classes left out; one trained here has not.
    assert plan.chosen.settings["at_hand"] == ["language_model"]
    trained = load(merged(raw, {"text": {"language_model": {"source": "train", "path": None}}}))
    assert planning.make(trained).chosen.settings["at_hand"] == []


@pytest.mark.parametrize(("kinds", "known"), [
    (["held-out", "corrupted"], ["gan_generator"]), (["corrupted"], []),
])  # fmt: skip
def test_a_gan_at_hand_biases_held_out_classes_alone(kinds, known):
    choice = {"row": "oe_gan", "settings": {"gan_images.scale": [1, 5]}, "rungs": 1,
              "validation": kinds}  # fmt: skip
    row = {"method": "oe", "variant": "gan", "outliers": "gan"}
    found = config(choice, rows={"oe_gan": row}, only={"rows": ["ce", "oe_gan"]})
    assert planning.make(found).chosen.settings["at_hand"] == known
