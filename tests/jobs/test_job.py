"""The command line that every stage shares."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Artifact
from bood_tasks.jobs.__main__ import main as order
from bood_tasks.jobs.job import read_job, run
from tests import fake_artifacts


@pytest.fixture
def parts(tmp_path: Path) -> list[Artifact]:
    """Three upstream artifacts."""
    return [
        fake_artifacts.make(tmp_path, "outputs", files={"n": str(n)}, settings={"n": n})
        for n in range(3)
    ]


def arguments(root: Path, identity: dict, given: list[Artifact]) -> list[str]:
    out = root / "artifacts" / "scores" / "x" / digest_of(identity) / "manifest.json"
    inputs = [str(item.manifest) for item in given]
    return ["--in", *inputs, "--out", str(out), "--spec", json.dumps(identity)]


def test_inputs_find_their_roles_in_any_order(tmp_path, parts):
    one, two, three = parts
    identity = fake_artifacts.identity("scores", {"k": 2}, {"single": two, "many": [three, one]})
    job = read_job(arguments(tmp_path, identity, parts))
    assert job.inputs["single"].settings == {"n": 1}
    assert [item.settings["n"] for item in job.inputs["many"]] == [2, 0]
    assert job.settings == {"k": 2}
    assert job.source == ""


def test_job_without_inputs_writes_its_artifact(tmp_path):
    identity = fake_artifacts.identity("scores")
    out = tmp_path / digest_of(identity) / "manifest.json"
    job = read_job(["--out", str(out), "--spec", json.dumps(identity), "--source", "a b.npz"])
    with job.draft() as draft:
        draft.finish(rows={"x": 0})
    assert Artifact(out).spec == identity
    assert job.source == "a b.npz"


def test_input_that_the_spec_names_but_nobody_gave_is_refused(tmp_path, parts, capsys):
    identity = fake_artifacts.identity("scores", {}, {"single": parts[1]})
    with pytest.raises(SystemExit):
        read_job(arguments(tmp_path, identity, parts[:1]))
    assert f"--in lacks the artifact {parts[1].digest} that --spec names" in capsys.readouterr().err


def test_a_file_stands_for_a_long_command_line(tmp_path, parts):
    identity = fake_artifacts.identity("scores", {"k": "a b"}, {"many": parts})
    argv = arguments(tmp_path, identity, parts)
    cut = argv.index("--out")
    rest, argv[cut : cut + 2] = argv[cut : cut + 2], []
    (tmp_path / "list").write_text("\n".join(argv))
    job = read_job(["--arguments", str(tmp_path / "list"), *rest])
    assert [item.digest for item in job.inputs["many"]] == [item.digest for item in parts]
    assert job.settings == {"k": "a b"}


def test_damaged_input_is_refused_before_work_starts(tmp_path, parts):
    (parts[0].folder / "n").write_text("longer")
    identity = fake_artifacts.identity("scores", {}, {"single": parts[0]})
    with pytest.raises(ValueError, match="n has 6 bytes, should have 1"):
        read_job(arguments(tmp_path, identity, parts[:1]))


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, PermissionError])
def test_user_mistake_ends_with_its_message_alone(error, monkeypatch):
    monkeypatch.delenv("BOOD_TRACEBACK", raising=False)

    def fails():
        raise error("alpha must be positive")

    with pytest.raises(SystemExit, match=r"^error: alpha must be positive$"):
        run(fails)


def test_traceback_comes_when_asked_for(monkeypatch):
    monkeypatch.setenv("BOOD_TRACEBACK", "1")

    def fails():
        raise ValueError("alpha")

    with pytest.raises(ValueError, match="alpha"):
        run(fails)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_ends_with_the_file_and_the_cure(number):
    def fails():
        raise OSError(number, os.strerror(number), "artifacts/x")

    with pytest.raises(SystemExit, match=r"artifacts/x'; free some space and run again"):
        run(fails)


def test_other_system_errors_keep_their_traceback():
    def fails():
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        run(fails)


def test_bug_keeps_its_traceback():
    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fails)


def test_stage_import_is_light():
    code = "import sys, bood_tasks.jobs.job; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_order_whose_file_is_gone_ends_with_its_name(tmp_path):
    with pytest.raises(SystemExit, match=r"error: .*gone\.arguments"):
        order(["--arguments", str(tmp_path / "gone.arguments")])
