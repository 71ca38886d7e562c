"""How far artifacts are, told from the store and the logs; the runs that say what they make."""

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from bood_tasks.artifacts.locks import holder, lock_path, try_hold
from bood_tasks.artifacts.spec import Spec
from bood_tasks.cli import runs
from bood_tasks.cli.look import look
from bood_tasks.cli.main import main
from bood_tasks.cli.rows import find, scores_of, served
from bood_tasks.cli.standing import SECONDS_TO_START, blocked, last_words, log_of, standing
from bood_tasks.config.load import load
from bood_tasks.plan import plan as planning
from tests import fake_artifacts

SPEC = Spec("metrics", "fake", {})
LATER = Spec("tables", "fake", {}, {"metrics": SPEC})


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_log(text: str, age: float = 0.0):
    log = log_of(SPEC)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    moment = time.time() - age
    os.utime(log, (moment, moment))


def test_what_nobody_began_waits(tmp_path):
    assert standing(SPEC).state == "waiting"


def test_what_has_a_manifest_is_finished(tmp_path):
    made = fake_artifacts.make(tmp_path, "metrics")
    assert made.digest == SPEC.digest
    write_log("error: of an earlier try\n")
    assert standing(SPEC).state == "finished"


def test_what_somebody_holds_is_running_and_says_where_and_how_far(tmp_path):
    folder = (tmp_path / SPEC.manifest).parent
    with try_hold(folder):
        found = standing(SPEC)
        assert (found.state, found.now) == ("running", None)
        assert found.where == f"process {os.getpid()} on {os.uname().nodename}"
        (folder / ".progress").mkdir(parents=True)
        note = folder / ".progress" / "now"
        note.write_text('{"done": 3, "total": 9, "unit": "rows", "rate": 1.5}')
        assert standing(SPEC).now.seconds_left == 4.0
        os.utime(note, (1e9, 1e9))  # left by a try before this one
        assert standing(SPEC).now is None
        note.write_text('{"done": "3"}')
        assert standing(SPEC).now is None
    assert holder(folder) == ""
    assert lock_path(folder).is_file()


@pytest.mark.parametrize(
    ("text", "state", "said"),
    [
        ("a\nerror: k must be 1, got 2;\nlower it\n", "failed", "k must be 1, got 2;\nlower it"),
        ("Traceback\n  x\nRuntimeError: no\n", "failed", "RuntimeError: no"),
        ("Traceback\n  x\ntorch.cuda.OutOfMemoryError: no\n", "failed", "torch.cuda.OutOf"),
        ("Traceback (most recent call last):\n  x\nKeyboardInterrupt\n", "stopped", "Keyboard"),
        ("images: 3/9 images\n", "stopped", "images: 3/9 images"),
    ],
)  # fmt: skip
def test_a_job_that_ended_without_a_manifest_is_told_by_its_log(text, state, said):
    write_log(text, age=2 * SECONDS_TO_START)
    assert standing(SPEC).state == state
    assert last_words(log_of(SPEC))[1].startswith(said)


def test_a_job_that_has_just_begun_is_no_stopped_one():
    write_log("gpu: NVIDIA works\n")
    assert standing(SPEC).state == "running"
    write_log("gpu: NVIDIA works\nerror: x\n")
    assert standing(SPEC).state == "failed"


def test_what_failed_blocks_all_that_is_made_from_it():
    specs = {spec.digest: spec for spec in (SPEC, LATER, Spec("tables", "other", {"n": 1}))}
    assert blocked(specs, [SPEC.digest]) == {LATER.digest}


CONFIG = """
id: a
test: [b]
datasets:
  a: {kind: npz, file: f.npz, train: [x, y], test: [x, y]}
  b: {kind: digits}
  n: {kind: noise, count: 9}
rows: {oe: {method: oe, outliers: {n: 1}}, ce: {method: ce}}
seeds: [4, 5]
"""


def test_status_without_a_run_says_how_to_ask():
    with pytest.raises(SystemExit, match=r"no run has begun here: .* --configfile"):
        main(["status"])


def begun(tmp_path, text):
    """Note a run of a configuration, of a data set and all that is made from it."""
    (tmp_path / "config.yaml").write_text(text)
    raw = yaml.safe_load(text)
    config = load(raw, look)
    plan = planning.make(config)
    return runs.note(
        raw, config, plan, files=["mine.yaml"], overrides={"seeds": [4]}, log="a.log",
        outputs=[*(spec.manifest for spec in plan.specs.values() if spec.stage != "dataset"),
                 "results/.published/metrics-0.json"],
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run that has begun; nobody is at work."""
    (tmp_path / "f.npz").touch()
    return begun(tmp_path, CONFIG)


def test_status_of_a_run_by_auto_looks_at_the_pictures_again(tmp_path, capsys):
    np.savez(tmp_path / "f.npz", x=np.zeros((20, 32, 32), np.uint8), y=np.arange(20) % 2)
    few = CONFIG.replace("f.npz, ", "f.npz, validation_per_class: 2, ")
    run = begun(tmp_path, few + "encoder: {epochs: auto}\n")
    main(["status"])
    assert f"0 of {len(run.makes)} artifacts are finished" in capsys.readouterr().out


def test_a_run_of_another_version_is_passed_over():
    runs.FOLDER.mkdir(parents=True)
    (runs.FOLDER / "run-0.json").write_text('{"of": "another version"}')
    assert runs.last() is None


def test_status_tells_of_the_last_run_what_it_makes_alone(run, capsys):
    plan = planning.make(load(json.loads(run.config)))
    assert runs.last() == run
    assert set(run.makes) == {d for d, spec in plan.specs.items() if spec.stage != "dataset"}
    detectors = [spec for spec in plan.specs.values() if spec.stage == "detector"]
    log_of(detectors[0]).parent.mkdir(parents=True)
    log_of(detectors[0]).write_text("error: lr must be lower\n")
    with try_hold(Path(detectors[1].manifest).parent):
        main(["status"])
    said = capsys.readouterr().out
    assert "mine.yaml: began" in said
    assert "no run is at work now; to go on: snakemake" in said
    assert f"0 of {len(run.makes)} artifacts are finished, 1 running, 1 failed" in said
    assert (
        f"detector {detectors[0].name}: lr must be lower\n    log: {log_of(detectors[0])}" in said
    )
    assert f"process {os.getpid()} on" in said
    assert "2 detector, " in said
    assert "dataset" not in said


def test_status_of_a_configuration_tells_of_all_of_it(run, capsys, tmp_path):
    (tmp_path / "one.yaml").write_text("seeds: [4]")
    main(["status", "--configfile", "one.yaml"])
    said = capsys.readouterr().out
    assert "began" not in said
    assert "2 detector" in said
    assert "dataset" in said


def test_results_name_each_row_s_folder_and_the_command_that_finds_it(run):
    text = run.readme
    assert "config.yaml, mine.yaml, `--config seeds=[4]`" in text
    assert "bood score PICTURES --row oe --configfile mine.yaml" in text
    config = load(json.loads(run.config))
    for row in ("ce", "oe"):
        for seed in (4, 5):
            folder = Path(scores_of(config, row, seed).manifest).parent
            assert re.search(rf"\| {row} \| .* \| {seed} \| `{folder}` \|", text)


def test_a_row_s_detector_is_that_of_the_first_seed_that_is_finished(run):
    config = load(json.loads(run.config))
    with pytest.raises(FileNotFoundError, match="row ce is not finished in this configuration"):
        find(config, "ce")
    second = Path(scores_of(config, "ce", 5).manifest)
    second.parent.mkdir(parents=True)
    second.touch()
    assert find(config, "ce") == (second.parent, None, None)
    with pytest.raises(FileNotFoundError):
        find(config, "ce", seed=4)
    first = Path(scores_of(config, "ce", 4).manifest)
    first.parent.mkdir(parents=True)
    first.touch()
    assert find(config, "ce")[0] == first.parent
    assert find(config, "ce", seed=5)[0] == second.parent


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("cc",), "--row must be one of the rows, got 'cc'; known: ce, oe"),
        (("ce", 7), "--seed must be one of 4, 5, got 7"),
        (("ce", 4, "knn"), "--score must be one of row ce, .*, got 'knn'"),
    ],
)
def test_a_row_that_is_not_there_is_refused(run, given, message):
    with pytest.raises(ValueError, match=message):
        find(load(json.loads(run.config)), *given)


def test_rows_that_an_artifact_serves_are_found(run):
    config = load(json.loads(run.config))
    rows = served(config)
    spec = scores_of(config, "oe", 4)
    assert rows[spec.digest] == ["oe"]
    shared = [s for s in planning.make(config).specs.values() if s.settings.get("name") == "a"]
    assert rows[shared[0].digest] == ["oe", "ce"]


def test_names_in_the_readme_of_results_stay_text(run):
    given = json.loads(run.config)
    given["rows"]["ce"]["variant"] = "a|b <img src=x>"
    text = runs.readme(load(given), [], {}, 0.0)
    assert "<img" not in text
    assert "· a\\|b &lt;img src=x> | 4 |" in text
