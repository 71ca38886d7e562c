"""gc and repair leave alone what somebody is making."""

import shutil
from pathlib import Path

import pytest
import yaml

from bood_tasks.artifacts.locks import try_hold
from bood_tasks.cli.upkeep import gc, manifests_below, repair, unreached, verify
from bood_tasks.config.load import load
from bood_tasks.jobs.environment import COMPILED
from bood_tasks.plan import synthesis as stages
from tests import fake_artifacts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    return load(yaml.safe_load((ROOT / "config.yaml").read_text()))


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_a_configuration_reaches_is_kept_finished_or_not(tmp_path, config):
    stranger = fake_artifacts.make(tmp_path, "features", files={"x": "y"})
    reached = Path(stages.features(config, 0).manifest).parent
    (reached / ".progress").mkdir(parents=True)
    assert unreached([config]) == [stranger.folder.relative_to(tmp_path)]
    assert reached in unreached([])


def test_gc_removes_only_when_told_and_nothing_that_is_being_made(tmp_path, config, capsys):
    one = fake_artifacts.make(tmp_path, "features", files={"x": "y"}).folder
    two = fake_artifacts.make(tmp_path, "scores", files={"x": "y"}).folder
    assert len(gc([config], delete=False)) == 2
    assert one.is_dir()
    with try_hold(Path("artifacts/scores/fake") / two.name):
        gc([config], delete=True)
    assert not one.parent.exists()
    assert two.is_dir()
    assert "stays, a job makes it now" in capsys.readouterr().out
    gc([config], delete=True)
    assert not two.exists()


def test_what_the_compiler_keeps_is_no_artifact_and_stays(tmp_path, config, capsys):
    kept = tmp_path / COMPILED / "torch" / "fxgraph" / "ab" / "manifest.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    assert verify([Path("artifacts")], 1) == {}
    assert list(manifests_below([Path("artifacts")])) == []
    assert gc([config], delete=True) == []
    assert kept.is_file()
    assert "compiled networks; rm -r is safe" in capsys.readouterr().out


def test_repair_refuses_what_is_being_made(config):
    manifest = Path(stages.features(config, 0).manifest)
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    (damaged,) = verify([Path("artifacts")], 1)
    with (
        try_hold(manifest.parent),
        pytest.raises(ValueError, match="is being made right now"),
    ):
        repair([damaged], [], config, [])
    assert manifest.exists()


def test_repair_refuses_strangers_before_it_removes_anything(tmp_path, config):
    known = Path(stages.features(config, 0).manifest)
    known.parent.mkdir(parents=True)
    known.write_text("{}")
    stranger = fake_artifacts.make(tmp_path, "scores", files={"x": "y"})
    with pytest.raises(ValueError, match=f"no artifact of this configuration: .*{stranger.digest}"):
        repair([known, stranger.manifest], [], config, [])
    assert known.exists()


def test_manifests_are_found_in_order_and_drafts_are_none(tmp_path):
    made = [
        fake_artifacts.make(tmp_path, stage, files={"x": "y"}) for stage in ("scores", "metrics")
    ]
    draft = tmp_path / "artifacts/tables/fake/0123"
    (draft / ".progress").mkdir(parents=True)
    (draft / "manifest.json.tmp").touch()
    found = list(manifests_below([tmp_path / "artifacts"]))
    assert found == sorted(item.manifest for item in made)
    shutil.rmtree(tmp_path / "artifacts")
    with pytest.raises(FileNotFoundError, match="no such artifact or folder"):
        list(manifests_below([tmp_path / "artifacts"]))
