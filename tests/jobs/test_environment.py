import os
import sys
from pathlib import Path

from bood_tasks.config.root import Run
from bood_tasks.jobs.environment import COMPILED, DEFAULTS, inference_batch, prepare, run_setting


def test_jobs_find_this_python_this_package_and_idle_threads(monkeypatch):
    monkeypatch.setattr(os, "environ", {"PATH": "/usr/bin", "OMP_WAIT_POLICY": "active"})
    prepare("/repo", {"inference_batch": 7})
    assert os.environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert os.environ["PYTHONPATH"] == "/repo"
    assert os.environ["OMP_WAIT_POLICY"] == "active"  # the user's own choice stands
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert inference_batch() == 7
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(Path.cwd() / COMPILED / "torch")


def test_stage_run_by_hand_finds_the_defaults_of_the_configuration(monkeypatch):
    monkeypatch.delenv("BOOD_RUN", raising=False)
    assert {name: run_setting(name) for name in DEFAULTS} == Run().model_dump()
