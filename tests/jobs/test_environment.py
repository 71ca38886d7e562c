import os
import subprocess
import sys
from pathlib import Path

import torch

from bood_tasks import PACKAGE, PROJECT
from bood_tasks.config.root import Run
from bood_tasks.jobs import environment
from bood_tasks.jobs.environment import (
    COMPILED,
    DEFAULTS,
    inference_batch,
    pick_device,
    prepare,
    run_setting,
)
from bood_tasks.jobs.gpu import prepare as prepare_lease
from tests.conftest import HIDDEN


def test_jobs_find_this_python_this_package_and_idle_threads(monkeypatch):
    monkeypatch.setattr(os, "environ", {"PATH": "/usr/bin", "OMP_WAIT_POLICY": "active"})
    prepare({"inference_batch": 7})
    assert os.environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert os.environ["PYTHONPATH"] == str(PROJECT)
    assert os.environ["OMP_WAIT_POLICY"] == "active"  # the user's own choice stands
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert inference_batch() == 7
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(Path.cwd() / COMPILED / "torch")


def test_jobs_of_an_installed_package_import_it_and_nothing_else_of_its_environment(
    tmp_path, monkeypatch
):
    """As those in a conda environment, which has libraries of its own."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(environment, "PACKED", True)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second run finds the link
        monkeypatch.delenv("PYTHONPATH", raising=False)
        prepare({})
    folder = Path(os.environ["PYTHONPATH"])
    assert [path.name for path in folder.iterdir()] == ["bood_tasks"]
    assert (folder / "bood_tasks").samefile(PACKAGE)


def test_no_test_of_the_cpu_sees_a_device(monkeypatch):
    """Whatever the machine has: conftest.py hides it from this process and from its children."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device() == "cpu"
    given = prepare_lease(1, ["true"], os.environ)
    assert {name: given[name] for name in HIDDEN} == HIDDEN


def test_stage_run_by_hand_finds_the_defaults_of_the_configuration(monkeypatch):
    monkeypatch.delenv("BOOD_RUN", raising=False)
    assert {name: run_setting(name) for name in DEFAULTS} == Run().model_dump()


def test_a_file_of_the_working_folder_is_no_module_of_a_job(tmp_path, monkeypatch):
    for name in ("json", "argparse"):
        (tmp_path / f"{name}.py").write_text('raise SystemExit("this file was run")')
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    prepare({})
    job = [sys.executable, "-m", "bood_tasks.jobs", "--help"]
    done = subprocess.run(job, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert "this file was run" not in done.stderr
    assert done.returncode == 0
