"""Which devices this machine has, how they were found, and how one of them is handed to a job.

nvidia-smi is asked first: it takes a tenth of a second and lists MIG slices. Where it is missing,
fails or lists nothing (AMD's GPUs, Apple's, containers without it), torch is asked, in a process of
its own: importing it takes seconds. What the user made visible is all that is ever found, and a
device that cannot be listed is never hidden.
"""

import ctypes
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

DEVICE = "BOOD_DEVICE"  # of a job: cpu, cuda (ROCm as well) or mps; a user's `cpu` hides all others
CUDA, HIP, ROCR = "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"
FAKE = "BOOD_FAKE_GPUS"
SECONDS_TO_ANSWER = 120  # of nvidia-smi or torch, on a busy machine
SECONDS_TO_REMEMBER = 600  # what torch answered
LISTED = re.compile(r"^(?:GPU \d+: (?P<gpu>.*?)|\s+MIG (?P<mig>\S+).*?) \(UUID: (?P<uuid>\S+)\)$")


@dataclass(frozen=True)
class Device:
    """One device, or one MIG slice of one.

    `value` in the variable that Found names makes a process see this device alone; `key` names it
    on this machine whatever the variables say; `gpu` is its UUID, or that of the GPU that it is a
    slice of.
    """

    key: str
    value: str
    name: str
    gpu: str


@dataclass(frozen=True)
class Found:
    """The devices that a job may use, of one kind (a value of BOOD_DEVICE), and in a few words how
    they were found, or why there are none. `variable`: the one that hands them on, "" for MPS.
    `sure`: without devices there are none; else nobody could tell."""

    devices: Sequence[Device]
    said: str
    kind: str = "cuda"
    variable: str = CUDA
    sure: bool = True


@dataclass(frozen=True)
class Answer:
    """What torch says: the kind of its devices, (name, UUID) of each, and itself in a few words.
    Kind "" is no answer, `torch` is then the reason."""

    torch: str
    kind: str = ""
    devices: Sequence[Sequence[str]] = field(default_factory=tuple)


# Run by the jobs' own Python, in the environment that a job would have.
_ASK_TORCH = """
import json, torch
kind, devices, about = "cpu", [], f"torch {torch.__version__}"
if torch.cuda.is_available():
    kind = "rocm" if torch.version.hip else "cuda"
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        devices.append([facts.name, str(getattr(facts, "uuid", ""))])
elif torch.backends.mps.is_available():
    kind, devices = "mps", [["Apple MPS", ""]]
elif not (torch.version.cuda or torch.version.hip or torch.backends.mps.is_built()):
    about += " is built for the CPU alone"
else:
    about += " finds no device"
print(json.dumps({"torch": about, "kind": kind, "devices": devices}))
"""


def parse_list(text: str) -> list[Device]:
    """Return the devices that `nvidia-smi -L` printed; the slices of a GPU that has some.

    >>> [item.value for item in parse_list("GPU 0: NVIDIA H100 (UUID: GPU-a)")]
    ['GPU-a']
    """
    found: list[list[Device]] = []
    for match in filter(None, map(LISTED.match, text.splitlines())):
        uuid = match["uuid"]
        if match["gpu"] is not None:
            found.append([Device(uuid, uuid, match["gpu"], uuid)])
        elif found:
            first = found[-1][0]
            if first.value == first.gpu:  # the GPU itself: CUDA runs on its slices alone
                found[-1].clear()
            name = f"{first.name.partition(', MIG ')[0]}, MIG {match['mig']}"
            found[-1].append(Device(uuid, uuid, name, first.gpu))
    return [device for gpu in found for device in gpu]


def by_nvidia_smi() -> tuple[list[Device], str]:
    """Return what nvidia-smi lists, or nothing and why."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=SECONDS_TO_ANSWER
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        missing = isinstance(error, FileNotFoundError)
        return [], "nvidia-smi is not here" if missing else f"nvidia-smi fails ({error})"
    said = " ".join((answer.stdout + answer.stderr).split())
    if answer.returncode != 0:
        return [], f"nvidia-smi fails ({said[:200]})"
    devices = parse_list(answer.stdout)
    return devices, "nvidia-smi" if devices else f"nvidia-smi lists none ({said[:200]})"


def may_have_devices() -> bool:
    """Whether torch could find any device here, without asking it.

    CUDA's runtime loads the driver's library by this name, ROCm's opens one of these files.
    """
    if sys.platform == "darwin" or any(Path(f"/dev/{name}").exists() for name in ("kfd", "dxg")):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def ask_torch(environment: Mapping[str, str], folder: Path | None = None) -> Answer:
    """Return what torch finds in an environment; remembered for ten minutes in a folder that is
    there."""
    variables = (CUDA, HIP, ROCR, "CUDA_DEVICE_ORDER", "PYTHONPATH")
    given = {name: environment[name] for name in variables if name in environment}
    kept = {name: value for name, value in os.environ.items() if name not in variables}
    memory = None
    if folder is not None:
        spec = find_spec("torch")
        about = [platform.node(), sys.executable, str(spec and spec.origin), given]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        memory = folder / f"torch-{os.getuid()}-{digest}.json"
        answer = _remembered(memory)
        if answer is not None:
            return answer
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH],
            env={**kept, **environment}, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER,
        )  # fmt: skip
        answer = Answer(**json.loads(done.stdout.strip().splitlines()[-1]))
    except (OSError, subprocess.TimeoutExpired) as error:
        return Answer(f"torch does not answer ({error})")
    except (IndexError, TypeError, ValueError):
        why = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Answer(f"torch does not answer ({why[-1][:200]})")
    if memory is not None and folder.is_dir():
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as scratch:
            json.dump(vars(answer), scratch)
        os.replace(scratch.name, memory)
    return answer


def _remembered(memory: Path) -> Answer | None:
    """Return an answer of this user's that is fresh, None without one."""
    try:
        state = memory.lstat()
        fresh = 0 <= time.time() - state.st_mtime < SECONDS_TO_REMEMBER
        if state.st_uid == os.getuid() and fresh:
            return Answer(**json.loads(memory.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        pass
    return None


def entries(visible: str | None) -> list[str]:
    """Return the devices that a variable names, up to the first that cannot be one."""
    found = []
    for entry in filter(None, (part.strip() for part in (visible or "").split(","))):
        if entry.startswith("-"):
            break  # CUDA sees nothing from the first invalid entry on; -1 is the usual one
        found.append(entry)
    return found


def allowed_devices(
    devices: Sequence[Device], visible: str | None, numbered: Sequence[str] | None = None
) -> list[Device]:
    """Return those of `devices` that CUDA_VISIBLE_DEVICES names by index, UUID or its start.

    An index or a UUID of a GPU means its slices, if it has some. `numbered`: the GPUs' UUIDs in the
    order that indices count them, if not that of `devices`. Raises ValueError for a name of none.
    """
    if visible is None:
        return list(devices)
    gpus = list(numbered or dict.fromkeys(device.gpu for device in devices))
    chosen: list[Device] = []
    for entry in entries(visible):
        if entry.isdigit():
            meant = gpus[int(entry) : int(entry) + 1]
        else:
            meant = [gpu for gpu in gpus if gpu.startswith(entry)]
        named = [device for device in devices if device.gpu in meant]
        if not meant:
            named = [device for device in devices if device.value.startswith(entry)]
            meant = [device.value for device in named]
        if entry.startswith("MIG-") and not named:  # in a container nvidia-smi may list no slices
            meant, named = [entry], [Device(entry, entry, entry, entry)]
        if len(meant) != 1:
            raise ValueError(
                f"{CUDA} must name GPUs of this machine, got {entry!r}; "
                f"it has {', '.join(device.value for device in devices) or 'none'}"
            )
        chosen += named
    return list(dict.fromkeys(chosen))


def _cuda_order(
    devices: Sequence[Device], environment: Mapping[str, str], folder: Path | None
) -> list[str] | None:
    """Return the GPUs' UUIDs as CUDA counts them, None where that is nvidia-smi's order.

    Unless CUDA_DEVICE_ORDER is PCI_BUS_ID, CUDA counts the fastest GPU first, by a rule of its
    own: it matters where indices are given and GPUs differ, and then torch is asked.
    """
    indices = any(entry.isdigit() for entry in entries(environment.get(CUDA)))
    alike = len({device.name for device in devices}) == 1
    sliced = any(device.value != device.gpu for device in devices)
    if not indices or alike or sliced or environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return None
    whole = {name: value for name, value in environment.items() if name != CUDA}
    answer = ask_torch(whole, folder)
    uuids = [f"GPU-{uuid.removeprefix('GPU-')}" for _, uuid in answer.devices]
    if sorted(uuids) == sorted(device.value for device in devices):
        return uuids
    print(
        f"gpu: {CUDA}={environment[CUDA]} counts as nvidia-smi does, since {answer.torch} does not "
        "say how CUDA counts these different GPUs; name them by UUID (nvidia-smi -L)",
        file=sys.stderr,
    )
    return None


def _by_torch(answer: Answer, environment: Mapping[str, str], why: str) -> Found:
    """Return the devices that torch found in an environment."""
    if answer.kind == "mps":
        one = Device("mps", "", "Apple MPS", "mps")
        return Found([one], f"{answer.torch}, {why}", "mps", "")
    variable = CUDA
    if answer.kind == "rocm" and (HIP in environment or CUDA not in environment):
        variable = HIP
    named = entries(environment.get(variable))
    if len(named) < len(answer.devices):
        named = [str(number) for number in range(len(answer.devices))]
    prefix = {"cuda": "GPU-", "rocm": "rocm-"}.get(answer.kind, "")
    devices = []
    for value, (name, uuid) in zip(named, answer.devices, strict=False):
        key = prefix + (uuid.removeprefix("GPU-") or value)
        devices.append(Device(key, value, name, key))
    said = f"{answer.torch}, {why}"
    return Found(devices, said, variable=variable, sure=bool(answer.kind))


def find(environment: Mapping[str, str], folder: Path | None = None) -> Found:
    """Return the devices that a job in this environment may use; `folder` keeps torch's answer.

    Raises ValueError if CUDA_VISIBLE_DEVICES names what is not there.
    """
    visible = environment.get(CUDA)
    if environment.get(DEVICE) == "cpu":
        return Found([], f"{DEVICE}=cpu asks for it")
    fake = environment.get(FAKE)
    if fake is not None:
        names = [name for name in fake.split(",") if name]
        devices = [Device(name, name, name, name) for name in names]
        said = FAKE if devices else "no device is here"
        return Found(allowed_devices(devices, visible) if devices else [], said)
    if visible is not None and not entries(visible):
        return Found([], f"{CUDA}={visible!r} hides all GPUs")
    devices, why = by_nvidia_smi()
    if devices:
        numbered = _cuda_order(devices, environment, folder)
        return Found(allowed_devices(devices, visible, numbered), why)
    if not may_have_devices():
        return Found([], f"{why}, and no driver of a GPU is here")
    return _by_torch(ask_torch(environment, folder), environment, why)
