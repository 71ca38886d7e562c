"""gpu.py: every part at tiny size, and what becomes of parts that hang, die or leave children."""

import json
import os
import runpy
import sys
import time
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"
GPU = runpy.run_path(str(FOLDER / "gpu.py"))


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "gpu_parts", raising=False)
    import gpu_parts

    return gpu_parts


def test_the_parts_are_those_that_run_in_order_and_each_goal_is_one_s(parts):
    assert list(GPU["PARTS"]) == list(parts.PARTS)
    assert {part for part, *_ in GPU["GOALS"]} <= set(GPU["PARTS"])
    assert next(iter(GPU["PARTS"])) == "device"


@pytest.mark.parametrize("name", GPU["PARTS"])
def test_a_part_prints_its_goals_figures_at_tiny_size(name, parts, capsys, monkeypatch):
    from bood_tasks.jobs import compiling

    monkeypatch.setattr(compiling, "choose", compiling.choose)  # parts force a way
    parts.run(name, tiny=True, on="cpu")
    found = {}
    for line in capsys.readouterr().out.splitlines():
        found |= json.loads(line)
    wanted = {key for part, key, *_ in GPU["GOALS"] if part == name}
    assert wanted <= set(found)
    assert found
    assert "skipped" not in found
    assert all(value > 0 for value in found.values() if isinstance(value, int | float))


@pytest.mark.gpu
@pytest.mark.parametrize("name", GPU["PARTS"])
def test_a_part_runs_on_a_gpu_at_tiny_size(name, parts, capsys, monkeypatch):
    from bood_tasks.jobs import compiling

    monkeypatch.setattr(compiling, "choose", compiling.choose)
    parts.run(name, tiny=True, on="cuda")
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert name != "device" or first["device"] == torch.cuda.get_device_name()


def test_a_missing_package_is_named_and_its_part_left_out(parts, capsys, monkeypatch):
    real = parts.importlib.util.find_spec
    monkeypatch.setattr(
        parts.importlib.util, "find_spec", lambda name: None if name == "diffusers" else real(name)
    )
    parts.run("generation", tiny=True, on="cpu")
    assert json.loads(capsys.readouterr().out) == {"skipped": "needs diffusers"}


def test_stand_ins_serve_where_names_stand_in_annotations_alone(parts, monkeypatch):
    monkeypatch.setattr(parts.importlib.util, "find_spec", lambda name: None)
    kept = {name: sys.modules.get(name) for name in parts.STAND_INS}
    try:
        parts.stand_in()
        made = {}
        exec(  # what our modules do with them
            "from jaxtyping import Float\nfrom torch import Tensor\nimport zarr\n"
            "from rich.progress import Progress\n"
            "def f(x: Float[Tensor, 'n d'] | zarr.Array): return x\n", made
        )  # fmt: skip
        assert made["f"](3) == 3
    finally:
        sys.modules.update({name: item for name, item in kept.items() if item is not None})


def script(tmp_path, text):
    path = tmp_path / "part.py"
    path.write_text("import json, os, signal, subprocess, sys, time\n" + text)
    return [sys.executable, "-S", str(path)]


def gone(pid):
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


HANGS = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-S", "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"])
print("a library's own line", flush=True)
print(json.dumps({"rate": 3, "child": child.pid}), flush=True)
time.sleep(600)
"""


def test_a_part_that_hangs_is_ended_with_its_children_and_keeps_its_figures(tmp_path, monkeypatch):
    monkeypatch.setitem(GPU["end_group"].__globals__, "GRACE", 0.3)
    shown, began = [], time.monotonic()
    found = GPU["run_part"](script(tmp_path, HANGS), 1.5, shown.append)
    assert time.monotonic() - began < 10
    assert found["rate"] == 3
    assert found["error"].startswith("cut off after 2 s")
    assert shown == [{"rate": 3, "child": found["child"]}]
    assert gone(found["child"])


def test_a_part_that_fails_says_why_beside_what_it_has(tmp_path):
    text = "print(json.dumps({'rate': 3}), flush=True)\nraise RuntimeError('no kernel image')\n"
    found = GPU["run_part"](script(tmp_path, text), 30, lambda figures: None)
    assert found["rate"] == 3
    assert found["error"].startswith("ended with status 1")
    assert "no kernel image" in found["error"]


def test_a_child_that_a_finished_part_leaves_is_ended(tmp_path, monkeypatch):
    monkeypatch.setitem(GPU["end_group"].__globals__, "GRACE", 0.3)
    text = HANGS.rpartition("time.sleep")[0]
    found = GPU["run_part"](script(tmp_path, text), 30, lambda figures: None)
    assert "error" not in found
    assert gone(found["child"])


def test_goals_say_what_was_met_missed_and_not_measured():
    found = {"generation": {"images_per_second": 5.4, "first_batch_seconds": 88.0}}
    said = {tuple(line.split()[:2]): line for line in GPU["goal_lines"](found)}
    assert said["generation", "images_per_second"].endswith("met")
    assert said["generation", "first_batch_seconds"].endswith("NOT MET")
    assert said["gan", "seconds_of_50000_pictures"].endswith("not measured")
