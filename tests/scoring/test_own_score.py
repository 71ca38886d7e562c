"""A score of one's own: one file, from the plan to the detector in use."""

import numpy as np
import pytest
import yaml

import bood_tasks
from bood_tasks.artifacts.code import code_digest, defines, says
from bood_tasks.config.fields import merged
from bood_tasks.config.load import ConfigError, load
from bood_tasks.plan import plan as planning
from bood_tasks.scoring import scores
from tests import fake_artifacts
from tests.tiny_detector import Tiny, pictures

FILE = '''"""Nearness to the mean feature.

More words.
"""
import helper


def fit(training, *, power):
    assert training.labels is not None and training.head.out_features == 3
    return {"mean": training.features.mean(0)}


def score(outputs, state, *, power):
    return -helper.length(outputs.features - state["mean"]) ** power
'''


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def file(tmp_path):
    (tmp_path / "helper.py").write_text("def length(rows):\n    return rows.norm(dim=1)\n")
    (tmp_path / "mean.py").write_text(FILE)
    return tmp_path / "mean.py"


def planned(file, **block):
    """The plan of the smallest preset with the score in the row `ce`."""
    files = [planning.Path("config.yaml"), planning.Path("workflow/presets/smoke.yaml")]
    root = planning.Path(bood_tasks.PROJECT)
    base, preset = (yaml.safe_load((root / name).read_text()) for name in files)
    overlay = {"scores": {"Mean": {"module": str(file), "settings": {"power": 2}}}}
    overlay |= {"rows": {"ce": {"method": "ce", "scores": ["energy", "Mean"]}}}
    given = merged(merged(base, preset), overlay)
    given["only"]["rows"] = ["ce"]
    return planning.make(load(merged(given, block)))


def test_the_plan_knows_the_file_and_what_it_fits(file):
    specs = planned(file).specs
    (own,) = [s for s in specs.values() if s.settings.get("score") == "Mean"]
    assert (own.stage, own.source) == ("scores", str(file))
    assert own.settings["content"] == code_digest(file)
    assert set(own.inputs) == {"outputs", "training", "detector"}
    (report,) = [s for s in specs.values() if s.stage == "report"]
    assert report.settings["told"] == {"Mean": "Nearness to the mean feature."}
    file.with_name("helper.py").write_text("def length(rows):\n    return rows.abs().sum(1)\n")
    new = [s for s in planned(file).specs.values() if s.digest not in specs]
    assert {s.stage for s in new} <= {
        "best",
        "comparison",
        "scores",
        "metrics",
        "tables",
        "figures",
        "examples",
        "report",
    }
    assert {s.name for s in new if s.stage == "scores"} == {own.name}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"scores": {"energy": {"module": "x.py"}}}, "scores.energy must have another name"),
        ({"rows": {"ce": {"scores": ["Meen"]}}}, "got 'Meen'; did you mean 'Mean'"),
        ({"scores": {"Mean": {"module": "none.py"}}}, "scores.Mean.module must name something"),
    ],
)
def test_mistakes_are_refused_while_planning(file, block, message):
    with pytest.raises((ConfigError, ValueError, OSError), match=message):
        planned(file, **block)


def made_by(tiny, file, **more):
    settings = {"score": "Mean", "id": "pets", "content": code_digest(file)}
    settings |= {"score_settings": {"power": 2}}
    given = {"outputs": tiny.outputs("cross_entropy"), "detector": tiny.detectors["cross_entropy"]}
    given["training"] = tiny.outputs("cross_entropy", training=True)
    return fake_artifacts.run_stage(
        tiny.root, scores.main, "scores", settings | more, given, source=str(file)
    )


def test_it_is_fitted_scored_and_deployed_as_all_others(tiny, file):
    made, outputs = made_by(tiny, file), tiny.outputs("cross_entropy")
    training = tiny.outputs("cross_entropy", training=True)["pets/train/features"][:]
    features = outputs["far/test/features"][:]
    expected = -((features - training.mean(0)) ** 2).sum(1)
    np.testing.assert_allclose(made["far/test/score"][:], expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"score Mean is a Python file .* --score-file FILE"):
        bood_tasks.load_detector(made.folder)
    detector = bood_tasks.load_detector(made.folder, score_file=file)
    found = detector(pictures("far/test")).scores
    np.testing.assert_allclose(found, made["far/test/score"][:], rtol=1e-4)
    file.write_text(FILE.replace("** power", "** 3"))
    with pytest.raises(ValueError, match="must be the file that Mean was made with"):
        bood_tasks.load_detector(made.folder, score_file=file)
    with pytest.raises(ValueError, match="has changed since the plan was made"):
        made_by(tiny, file, content="0" * 16)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def scores(outputs, state):\n    pass\n", "must define score.outputs, state., got None"),
        ("def score(outputs, state, power):\n    return outputs.logits\n", "fit at its top level"),
        (FILE.replace("helper.length", "").replace("** power", ""), "one number a sample"),
    ],
)
def test_a_file_that_is_no_score_is_refused(tiny, file, code, message):
    file.write_text(code)
    with pytest.raises(ValueError, match=message):
        made_by(tiny, file)


def test_what_a_file_defines_is_found_without_running_it(tmp_path):
    path = tmp_path / "x.py"
    for code, found in (
        ("def fit(training): ...", True), ("from other import fit", True), ("fit = None", True),
        ("def score():\n    def fit(): ...", False), ("import fit.more as other", False),
    ):  # fmt: skip
        path.write_text(f"raise SystemExit\n{code}\n")
        assert defines(path, "fit") is found, code
    assert says(path) == ""
    path.write_text("def score(:\n")
    with pytest.raises(ValueError, match="must be Python"):
        defines(path, "fit")
