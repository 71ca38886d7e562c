"""Which devices are found, with stand-ins for nvidia-smi and for torch: none of the machines that
these tests describe was at hand."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch

from bood_tasks.jobs import devices, environment
from bood_tasks.jobs.devices import Device, allowed_devices, ask_torch, find, parse_list
from bood_tasks.jobs.gpu import prepare

TWO = """\
GPU 0: NVIDIA GeForce RTX 2060 (UUID: GPU-slow)
GPU 1: NVIDIA H100 PCIe (UUID: GPU-fast)
"""
SLICED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-a)
  MIG 3g.20gb     Device  0: (UUID: MIG-a1)
  MIG 1c.2g.10gb  Device  1: (UUID: MIG-GPU-a/7/0)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-b)
"""
TORCH = """
class cuda:
    is_available = staticmethod(lambda: {count} > 0)
    device_count = staticmethod(lambda: {count})
    @staticmethod
    def get_device_properties(number):
        return type("Facts", (), {{"name": "Card", "uuid": {uuids}[number]}})
class version:
    cuda, hip = {versions}
class backends:
    class mps:
        is_available = staticmethod(lambda: {mps})
        is_built = staticmethod(lambda: {mps})
__version__ = "9.9"
"""


@pytest.fixture(autouse=True)
def _visible(monkeypatch):
    for name in (devices.CUDA, devices.HIP, devices.ROCR, devices.DEVICE, devices.FAKE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Stand-in for the driver's tool: it prints a text, or fails."""

    def write(text, status=0):
        script = tmp_path / "bin/nvidia-smi"
        script.parent.mkdir(exist_ok=True)
        script.with_name("said").write_text(text)
        script.write_text(f"#!/bin/sh\n/bin/cat {script.with_name('said')}\nexit {status}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(script.parent))

    monkeypatch.setenv("PATH", str(tmp_path))
    return write


@pytest.fixture
def torch_of(tmp_path, monkeypatch):
    """Stand-in for the torch that is asked: how many devices, of which build."""

    def write(count=0, versions=("13.0", None), mps=False, uuids=("aa", "bb")):
        package = tmp_path / "path/torch.py"
        package.parent.mkdir(exist_ok=True)
        package.write_text(
            TORCH.format(count=count, versions=tuple(versions), mps=mps, uuids=tuple(uuids))
        )
        monkeypatch.setattr(devices, "may_have_devices", lambda: True)
        return {"PYTHONPATH": str(package.parent)}

    return write


def values(found):
    return [device.value for device in found]


def gpus(*uuids):
    return [Device(uuid, uuid, "Card", uuid) for uuid in uuids]


def test_slices_stand_in_the_place_of_their_gpu():
    found = parse_list(SLICED)
    assert values(found) == ["MIG-a1", "MIG-GPU-a/7/0", "GPU-b"]
    assert [device.gpu for device in found] == ["GPU-a", "GPU-a", "GPU-b"]
    assert found[1].name == "NVIDIA A100-SXM4-40GB, MIG 1c.2g.10gb"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-a1", "GPU-b2", "GPU-b3"]),
        ("", []),
        ("-1", []),
        ("2,0", ["GPU-b3", "GPU-a1"]),
        ("GPU-a", ["GPU-a1"]),
        (" 1 , GPU-b2", ["GPU-b2"]),
        ("MIG-c4", ["MIG-c4"]),
        ("0,-1,1", ["GPU-a1"]),
    ],
)
def test_visible_devices_narrow_the_choice(visible, expected):
    assert values(allowed_devices(gpus("GPU-a1", "GPU-b2", "GPU-b3"), visible)) == expected


@pytest.mark.parametrize("entry", ["7", "GPU-x", "GPU-b"])
def test_visible_device_unknown_or_ambiguous_is_refused(entry):
    with pytest.raises(ValueError, match=f"must name GPUs of this machine, got '{entry}'"):
        allowed_devices(gpus("GPU-a1", "GPU-b2", "GPU-b3"), entry)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0", ["MIG-a1", "MIG-GPU-a/7/0"]),
        ("GPU-a", ["MIG-a1", "MIG-GPU-a/7/0"]),
        ("1", ["GPU-b"]),
        ("MIG-a", ["MIG-a1"]),
        ("MIG-GPU-a/7/0,1", ["MIG-GPU-a/7/0", "GPU-b"]),
    ],
)
def test_a_gpu_means_its_slices(visible, expected):
    assert values(allowed_devices(parse_list(SLICED), visible)) == expected


def test_each_slice_is_leased_by_one_job(nvidia_smi, tmp_path):
    nvidia_smi(SLICED)
    given = {"BOOD_LEASE_DIR": str(tmp_path / "leases")}
    leased = [prepare(1, ["true"], given)[devices.CUDA] for _ in range(3)]
    assert leased == ["MIG-a1", "MIG-GPU-a/7/0", "GPU-b"]


def test_an_index_counts_as_cuda_counts(nvidia_smi, torch_of, capsys):
    """CUDA counts the fastest first unless CUDA_DEVICE_ORDER says otherwise."""
    nvidia_smi(TWO)
    here = torch_of(2, uuids=("fast", "slow")) | {devices.CUDA: "0"}
    assert values(find(here).devices) == ["GPU-fast"]
    assert values(find(here | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).devices) == ["GPU-slow"]
    assert capsys.readouterr().err == ""
    silent = torch_of(0) | {devices.CUDA: "0"}
    assert values(find(silent).devices) == ["GPU-slow"]
    assert "name them by UUID" in capsys.readouterr().err
    nvidia_smi(TWO.replace("GeForce RTX 2060", "H100 PCIe"))  # alike: nobody need be asked
    assert values(find(silent).devices) == ["GPU-slow"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("broken", [False, True])
def test_without_nvidia_smi_torch_is_asked(nvidia_smi, torch_of, broken, tmp_path, capsys):
    if broken:
        nvidia_smi("driver mismatch", 9)
    here = torch_of(2) | {"BOOD_LEASE_DIR": str(tmp_path / "leases")}
    found = find(here)
    assert values(found.devices) == ["0", "1"]
    assert [device.key for device in found.devices] == ["GPU-aa", "GPU-bb"]
    assert ("driver mismatch" if broken else "nvidia-smi is not here") in found.said
    leased = [prepare(1, ["true"], here) for _ in range(2)]
    assert [item[devices.CUDA] for item in leased] == ["0", "1"]
    assert {item[devices.DEVICE] for item in leased} == {"cuda"}
    assert "gpu: Card (GPU-aa) works, found by torch 9.9, nvidia-smi" in capsys.readouterr().err


def test_a_device_that_the_user_names_is_kept_without_nvidia_smi(nvidia_smi, torch_of, tmp_path):
    here = torch_of(1) | {"BOOD_LEASE_DIR": str(tmp_path), devices.CUDA: "3"}
    assert prepare(1, ["true"], here)[devices.CUDA] == "3"


def test_what_nobody_can_list_is_not_hidden(nvidia_smi, tmp_path, capsys, monkeypatch):
    """Torch breaks, or no driver is here: the command sees what the user named; a line tells."""
    given = {devices.CUDA: "0", "BOOD_LEASE_DIR": str(tmp_path / "leases")}
    monkeypatch.setattr(devices, "may_have_devices", lambda: False)
    assert prepare(1, ["true"], given) == given
    said = capsys.readouterr().err
    assert said == "gpu: the CPU works: nvidia-smi is not here, and no driver of a GPU is here\n"
    (tmp_path / "torch.py").write_text("raise OSError('broken')")
    monkeypatch.setattr(devices, "may_have_devices", lambda: True)
    given |= {"PYTHONPATH": str(tmp_path)}
    assert prepare(1, ["true"], given) == given
    said = capsys.readouterr().err
    assert "nothing is leased, the command looks for itself: torch does not answer" in said
    assert "broken" in said


def test_amds_devices_are_handed_on_by_their_own_variable(nvidia_smi, torch_of, tmp_path):
    here = torch_of(2, versions=(None, "7.1")) | {"BOOD_LEASE_DIR": str(tmp_path / "leases")}
    first, second = (prepare(1, ["true"], here) for _ in range(2))
    assert (first[devices.HIP], second[devices.HIP]) == ("0", "1")
    assert devices.CUDA not in first
    assert first[devices.DEVICE] == "cuda"  # torch's name of ROCm's devices as well
    named = here | {devices.CUDA: "5,6", "BOOD_LEASE_DIR": str(tmp_path / "others")}
    assert prepare(1, ["true"], named)[devices.CUDA] == "5"  # ROCm reads that one, too
    both = named | {devices.HIP: "2,3", "BOOD_LEASE_DIR": str(tmp_path / "more")}
    assert prepare(1, ["true"], both)[devices.HIP] == "2"


def test_an_apple_has_one_lease_and_no_variable(nvidia_smi, torch_of, tmp_path, capsys):
    here = torch_of(versions=(None, None), mps=True) | {"BOOD_LEASE_DIR": str(tmp_path)}
    assert prepare(1, ["true"], here) == here | {devices.DEVICE: "mps"}
    assert "gpu: Apple MPS (mps) works" in capsys.readouterr().err
    with pytest.raises(ValueError, match="at most the 1 devices"):
        prepare(2, ["true"], here)


def test_a_build_for_the_cpu_is_told(nvidia_smi, torch_of):
    assert find(torch_of(versions=(None, None))).said.startswith(
        "torch 9.9 is built for the CPU alone"
    )
    assert find(torch_of()).said.startswith("torch 9.9 finds no device")


def test_torch_is_asked_once_in_ten_minutes(torch_of, tmp_path):
    here = torch_of(1)
    assert ask_torch(here, tmp_path).kind == "cuda"
    Path(here["PYTHONPATH"], "torch.py").write_text("raise OSError('asked again')")
    assert ask_torch(here, tmp_path).kind == "cuda"
    assert ask_torch(here | {devices.CUDA: "1"}, tmp_path).kind == ""  # another question
    (memory,) = tmp_path.glob("torch-*.json")
    os.utime(memory, (0, 0))
    assert "asked again" in ask_torch(here, tmp_path).torch


def test_the_user_may_hide_all_devices(torch_of, tmp_path):
    here = torch_of(1) | {devices.DEVICE: "cpu"}
    assert find(here).devices == []
    assert (
        find(torch_of(1) | {devices.CUDA: "-1"}).said == "CUDA_VISIBLE_DEVICES='-1' hides all GPUs"
    )
    hidden = prepare(0, ["true"], {})
    assert hidden == {devices.CUDA: "", devices.HIP: "-1", devices.DEVICE: "cpu"}


@pytest.mark.parametrize("variable", [devices.CUDA, devices.HIP, devices.ROCR])
def test_a_batch_system_hands_out_its_own(variable):
    given = {"SLURM_JOB_ID": "7", variable: "4"}
    assert prepare(1, ["true"], given) == given


@pytest.mark.parametrize(
    ("leased", "cuda", "mps", "expected"),
    [
        ("", True, False, "cuda"),
        ("", False, True, "mps"),
        ("", False, False, "cpu"),
        ("cpu", True, True, "cpu"),
        ("cuda", True, False, "cuda"),
        ("cuda", False, False, "cpu"),
        ("mps", False, True, "mps"),
    ],
)
def test_a_job_takes_what_it_was_leased(monkeypatch, capsys, leased, cuda, mps, expected):
    monkeypatch.setenv(devices.DEVICE, leased)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert environment.pick_device() == expected
    told = "the CPU works, though" in capsys.readouterr().err
    assert told == (leased == "cuda" and not cuda)


def test_memory_that_ran_out_is_known_by_its_kind_or_its_words():
    for error in (
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    ):
        assert environment.out_of_memory(error)
    assert not environment.out_of_memory(RuntimeError("shapes differ"))
    assert not environment.out_of_memory(ValueError("MPS backend out of memory"))


def test_the_question_is_one_that_this_torch_understands():
    answer = ask_torch({devices.CUDA: ""})
    assert answer.kind == ("mps" if torch.backends.mps.is_available() else "cpu")
    assert answer.torch.startswith(f"torch {torch.__version__}")
    assert json.dumps(vars(answer))
    assert sys.executable
