"""`bood doctor`: each check passes on a sound machine and fails, with a cure, on another."""

import importlib.metadata
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from bood_tasks import EMBEDDED
from bood_tasks.cli import doctor
from bood_tasks.cli.cost import planned
from bood_tasks.cli.main import main
from bood_tasks.config.fields import merged
from bood_tasks.config.load import load
from bood_tasks.plan.datasets import content
from bood_tasks.plan.plan import make

ROOT = Path(__file__).parents[2]


def config(**overlay):
    return load(merged(yaml.safe_load((ROOT / "config.yaml").read_text()), overlay))


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOOD_LEASE_DIR", str(tmp_path / "leases"))
    monkeypatch.setenv("BOOD_FAKE_GPUS", "")
    monkeypatch.delenv("BOOD_DEVICE")


def test_versions_other_than_the_pins_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: [])  # as in a clone
    assert doctor.check_python()[0]
    pins = tmp_path / "requirements.txt"
    pins.write_text("# pins\nnumpy==0.1\nzarr==" + importlib.metadata.version("zarr") + "\n")
    monkeypatch.setattr(doctor, "PINS", pins)
    fine, finding = doctor.check_python()
    assert not fine
    assert f"numpy {importlib.metadata.version('numpy')}, pinned 0.1" in finding
    assert "zarr" not in finding
    assert "install envs/requirements.txt" in finding


def test_a_version_within_the_package_s_bounds_is_fit_though_not_pinned(tmp_path, monkeypatch):
    """What pip installs by the extras is newer than the pins one day."""
    found = importlib.metadata.version("numpy")
    (tmp_path / "requirements.txt").write_text("numpy==0.1\n")
    monkeypatch.setattr(doctor, "PINS", tmp_path / "requirements.txt")
    for lines, fit in (
        (['numpy<99,>=0.1; extra == "score"', 'bood-tasks[score]; extra == "all"'], True),
        (['numpy<0.2,>=0.1; extra == "score"'], False),
        (['zarr<99,>=0.1; extra == "generate"'], False),
    ):
        monkeypatch.setattr(importlib.metadata, "requires", lambda name, lines=lines: lines)
        fine, finding = doctor.check_python()
        assert fine == fit
        assert f"numpy {found}, pinned 0.1" in finding


def test_a_driver_whose_gpus_pytorch_cannot_use_is_no_cpu_machine(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert doctor.check_devices() == (True, "no GPU, the CPU will work (no device is here)")
    monkeypatch.setenv("BOOD_FAKE_GPUS", "GPU-a,GPU-b")
    fine, finding = doctor.check_devices()
    assert not fine
    assert "BOOD_FAKE_GPUS lists 2 GPUs" in finding
    assert torch.__version__ in finding
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    assert doctor.check_devices()[0]


def test_space_is_compared_with_what_the_plan_writes(tmp_path, monkeypatch):
    few, many = (config(seeds=[0], images={"per_class": n, "shard": n}) for n in (100, 10_000))
    needed = [
        sum(cost.disk for cost in planned(make(each), "cpu").values()) for each in (few, many)
    ]
    assert needed[0] < needed[1]
    usage = type("Usage", (), {"free": needed[0] + 1e9 * doctor.SPARE_GB + 1})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert doctor.check_space(tmp_path, few)[0]
    fine, finding = doctor.check_space(tmp_path, many)
    assert not fine
    assert f"this run writes {needed[1] / 1e9:.1f} GB; `bood plan` says which stage" in finding


def test_this_file_system_renames_and_locks(tmp_path):
    assert doctor.check_rename(tmp_path)[0]
    assert doctor.check_locks(tmp_path)[0]
    assert list(tmp_path.iterdir()) == []  # the checks clean up


def test_locks_that_keep_nobody_out_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "try_lock", lambda _: True)
    fine, finding = doctor.check_locks(tmp_path)
    assert not fine
    assert "two processes hold one lock" in finding


def test_locks_that_outlive_their_process_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "try_lock", lambda _: False)
    fine, finding = doctor.check_locks(tmp_path)
    assert not fine
    assert "a lock outlives its process" in finding


def test_a_file_system_without_locks_is_found(tmp_path, monkeypatch):
    def unknown(_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(doctor, "try_lock", unknown)
    fine, finding = doctor.check_locks(tmp_path)
    assert not fine
    assert "flock" in finding


@pytest.mark.parametrize(
    ("script", "fine"), [("echo gpu up 2 nodes gpu:4", True), ("exit 1", False)]
)
def test_the_batch_system_answers(tmp_path, monkeypatch, script, fine):
    for name, text in (("sbatch", "true"), ("sinfo", script)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found, finding = doctor.check_batch_system()
    assert found is fine
    assert "gpu up 2 nodes" in finding or "sinfo fails" in finding


def test_a_model_that_must_be_fetched_is_named():
    assert doctor.check_generator(config())[0]
    fine, finding = doctor.check_generator(config(generator={"source": "hub"}))
    assert not fine
    assert "bood fetch" in finding


def test_a_generators_folder_that_would_not_load_is_named(tmp_path):
    shutil.copytree(EMBEDDED / "generator", tmp_path / "sd")
    given = config(generator={"source": "local", "path": str(tmp_path / "sd")})
    assert doctor.check_generator(given) == (True, str(tmp_path / "sd"))
    (tmp_path / "sd/vae/diffusion_pytorch_model.safetensors").unlink()
    content.cache_clear()
    with pytest.raises(FileNotFoundError, match="must hold weights of every part"):
        doctor.check_generator(given)  # which `doctor` prints as a finding


def test_a_data_set_that_is_not_here_is_named():
    assert doctor.check_data(config())[0]
    fine, finding = doctor.check_data(
        config(test=["near", "svhn"], datasets={"svhn": {"kind": "svhn"}})
    )
    assert not fine
    assert "svhn" in finding


def test_doctor_goes_on_after_a_check_that_breaks(monkeypatch, capsys):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e15))
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)  # no Slurm
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert doctor.doctor(config)
    assert "FAIL" not in capsys.readouterr().out

    def broken():
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(doctor, "check_leases", broken)
    assert not doctor.doctor(config)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("FAIL leases: [Errno 5]") for line in lines)
    assert lines[-1].startswith("ok   data")


def test_doctor_checks_the_machine_where_the_configuration_cannot_be_read(capsys):
    Path("config.yaml").write_text("id: mine\ndatasets: {mine: {kind: folder, path: gone}}\n")
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    (said,) = [line for line in lines if line.startswith("FAIL configuration: ")]
    assert "datasets.mine.path must name something that exists, got 'gone'" in said
    assert any(line.startswith("ok   python: ") for line in lines)
    assert [line.split(":")[0].strip() for line in lines[-3:]] == ["space", "generator", "data"]
