"""gc and repair leave alone what somebody is making."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bood_tasks.artifacts.locks import try_hold
from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Draft
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
    (kept,) = Path("artifacts/.trash").glob(f"*/scores/fake/{two.name}/manifest.json")
    assert f"artifacts are in {kept.parents[3]}" in capsys.readouterr().out
    gc([config], delete=True, now=True)
    assert not Path("artifacts/.trash").exists()


def test_gc_touches_nothing_that_it_did_not_make(tmp_path, config, capsys):
    """Folders of others in an artifact's place, links, and what a person put into an artifact."""
    home = tmp_path / "home/me/thesis"
    home.mkdir(parents=True)
    (home / "text").write_text("ten years")
    made = [fake_artifacts.make(tmp_path, "features", files={"x": k}, settings={"k": k}).folder
            for k in "abcde"]  # fmt: skip
    Path("artifacts/old_store").symlink_to(tmp_path / "home")
    Path("artifacts/features/linked").symlink_to(tmp_path / "home/me")
    Path("artifacts/features/fake/0123456789abcdef").symlink_to(home)
    shutil.copytree(home, "artifacts/mine/of/mine")
    shutil.copytree(home, "artifacts/mine/of/0123456789abcdef/.progress")
    (made[0] / "notes.txt").write_text("mine")
    (made[1] / "manifest.json").write_text("{")
    (made[2] / "link").symlink_to(home)
    made[3].rename(made[3].with_name("f" * 16))
    gone = gc([config], delete=True, now=True)
    assert gone == [made[4].relative_to(tmp_path)]
    assert (home / "text").read_text() == "ten years"
    assert len(list(tmp_path.rglob("text"))) >= 3
    said = capsys.readouterr().out
    for reason in (
        "stays, it holds notes.txt, which its manifest does not list",
        "stays, it has no manifest that can be read",
        "stays, it holds the link link",
        "stays, its manifest is that of another artifact",
    ):
        assert reason in said


def test_gc_removes_unfinished_work_of_its_own(tmp_path, config):
    identity = fake_artifacts.identity("features")
    folder = tmp_path / "artifacts/features/fake" / digest_of(identity)
    with Draft(folder / "manifest.json", identity) as draft:
        (draft.folder / "half").write_text("a block")
    assert gc([config], delete=True) == [folder.relative_to(tmp_path)]
    assert not folder.exists()


def test_gc_leaves_what_a_running_job_reads(tmp_path, config, capsys, monkeypatch):
    read = fake_artifacts.make(tmp_path, "features", files={"x": "y"})
    code = (
        "import sys; from pathlib import Path; from bood_tasks.artifacts import locks;"
        "locks.hold(Path('artifacts/scores/fake/0123'), sys.argv[1:]); print('held', flush=True);"
        "sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, read.digest]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as job:
        assert job.stdout.readline() == "held\n"
        assert gc([config], delete=True, now=True) == []
        assert "stays, a job reads it now" in capsys.readouterr().out
        job.communicate()
    assert gc([config], delete=True, now=True) == [read.folder.relative_to(tmp_path)]


def test_gc_without_locks_lists_and_says_what_it_cannot_do(tmp_path, config, monkeypatch):
    def unknown(*_):
        raise OSError(37, "No locks available")

    made = fake_artifacts.make(tmp_path, "features", files={"x": "y"}).folder
    monkeypatch.setattr("bood_tasks.artifacts.locks.fcntl.flock", unknown)
    assert gc([config], delete=False) == [made.relative_to(tmp_path)]
    with pytest.raises(ValueError, match="add --no-jobs"):
        gc([config], delete=True)
    assert made.is_dir()
    gc([config], delete=True, no_jobs=True)
    assert not made.exists()


def test_a_person_is_asked_after_the_count(tmp_path, config, monkeypatch, capsys):
    made = fake_artifacts.make(tmp_path, "features", files={"x": "y"}).folder
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda text: "")
    assert gc([config], delete=True) == []
    assert made.is_dir()
    assert "1 artifacts" in capsys.readouterr().out


def damaged_features(config, *, whole):
    """A features artifact of the configuration with a damaged manifest, or a damaged file."""
    spec = stages.features(config, 0)
    manifest = Path(spec.manifest)
    with Draft(manifest, spec.identity()) as draft:
        (draft.folder / "x").write_text("y")
        draft.finish()
    (manifest if whole else manifest.with_name("x")).write_text("z")
    return manifest


@pytest.mark.parametrize("linked", [False, True])
def test_a_manifest_damaged_beside_whole_files_is_put_back(tmp_path, config, linked):
    if linked:  # a store on another disk
        (tmp_path / "disk").mkdir()
        Path("artifacts").symlink_to(tmp_path / "disk")
    manifest = damaged_features(config, whole=True)
    before = manifest.with_name(".finished.json").read_text()
    assert repair(verify([Path("artifacts")], 1), [], config, []) == 0
    assert manifest.read_text() == before


def test_what_snakemake_refuses_to_make_again_comes_back(config, monkeypatch):
    manifest = damaged_features(config, whole=False)
    monkeypatch.setattr(
        "bood_tasks.cli.upkeep.subprocess.run", lambda command: subprocess.CompletedProcess([], 1)
    )
    assert repair(verify([Path("artifacts")], 1), [], config, []) == 1
    assert manifest.is_file()
    assert verify([Path("artifacts")], 1)
    assert not Path("artifacts/.trash").exists()


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
