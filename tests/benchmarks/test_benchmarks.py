"""Every script of benchmarks/ runs, at tiny size. How fast it is, nobody looks at here."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from bood_tasks.generators.text_to_image.diffusion import load_pipeline

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
SHIPPED = ROOT / "bood_tasks/embedded"
GPU = runpy.run_path(str(FOLDER / "gpu.py"))
COMMANDS = [
    "artifacts.py --rows 50 --picked 5",
    "metrics.py --count 200 --repeats 1",
    "scores.py --rows 100 --fit-rows 1500 --pictures 2 --repeats 1",
    "goe.py --channels 4 --pictures 2 --batch 2 --vocabulary 100 --texts 2",
    f"generator_probe.py {SHIPPED}/generator {SHIPPED}/fashion_mnist.npz out --count 16 --steps 2 "
    "--per-class 16",
    "generation.py --images 2 --peer-images 1 --steps 2",
    "training.py --rows 16 --batch 8 --width 4 --epochs 1",
    "training.py --rows 16 --batch 8 --width 4 --epochs 1 --outliers",
    "distances.py --rows 64 --dim 32 --classes 4 --single-rows 4",
    "natural_generator.py classes out --also others --tiny --steps 1",
    "choice.py out --tiny",
]
IN_PROCESSES = [  # they start others
    "imports.py --stages metrics --repeats 1",
    "serving.py --width 4 --rate 40 --seconds 1 --starts 1",
    "gpu.py --tiny",
    "samplers.py {out} --tiny",
    "real_networks.py resnet20 {out}/pictures {out} {out}/run --id 20 --ood 10 --train 120 "
    "--held-out 0.5 --sets svhn --scores msp energy --finetune none noise --outliers 20 "
    "--seeds 0 1",
    "rebuild.py --repeat 1 --configfile workflow/presets/smoke.yaml",
]


def test_every_script_is_tried():
    tried = {command.split()[0] for command in COMMANDS + IN_PROCESSES}
    assert tried == {path.name for path in FOLDER.glob("*.py")} - {"machine.py", "gpu_parts.py"}


def write_classes(folder, *names):
    """Write two small pictures of each class."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for k in range(2):
            picture = np.random.default_rng([number, k]).integers(0, 256, (40, 40, 3), np.uint8)
            PIL.Image.fromarray(picture).save(folder / name / f"{k}.png")


def write_stand_ins(folder):
    """Write what real_networks.py reads: numbered pictures of ten classes, and weights."""
    for part, count in (("cifar10/train", 12), ("cifar10/test", 2), ("ood/svhn", 1)):
        for number in range(10 * count):
            place = folder / "pictures" / part / f"class{number % 10}"
            place.mkdir(parents=True, exist_ok=True)
            picture = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
            PIL.Image.fromarray(picture).save(place / f"{number:04}.png")
    net = runpy.run_path(str(ROOT / "docs/examples/cifar_resnet.py"))["resnet20"](10)
    torch.save(net.state_dict(), folder / "cifar10_resnet20-12fca82f.th")


@pytest.fixture
def said(command, monkeypatch, tmp_path, capsys) -> str:
    """What a script prints that this process runs in an empty folder."""
    script, *arguments = command.split()
    monkeypatch.chdir(tmp_path)
    if script == "natural_generator.py":
        write_classes(tmp_path / "classes", "cat", "dog")
        write_classes(tmp_path / "others", "n01443537")
    monkeypatch.syspath_prepend(FOLDER)  # for machine.py
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    runpy.run_path(str(FOLDER / script), run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_it_runs(command, said, tmp_path):
    script = command.split()[0]
    if script == "goe.py":
        assert "pictures/s" in said
        assert "words/s" in said
    elif script == "generator_probe.py":
        assert "median_confidence" in json.loads(said)
        assert len(list(tmp_path.glob("out/*.png"))) == 6 * 3 + 2
    elif script == "natural_generator.py":
        record = json.loads(said.splitlines()[-1])
        assert (record["words"], record["pictures"]) == (3, 6)
        assert record["megabytes"] < 12
        assert len(list(tmp_path.glob("out/classes-*.png"))) == 3
        load_pipeline(tmp_path / "out/pipeline")
    elif script == "choice.py":
        record = json.loads(said.splitlines()[-1])
        assert record["made_up"]
        assert record["regret"]["best in hindsight, auroc"][0] == "0.0 ± 0.0"
        assert set(record["correlation"]) == {"mean", "corrupted", "held-out"}
        assert (tmp_path / "out/regret.png").is_file()
    else:
        record = json.loads(said.splitlines()[-1])
        assert record["ratio"] > 0
        assert record["machine"]["cores"] >= 1


@pytest.mark.long
@pytest.mark.parametrize("command", IN_PROCESSES, ids=lambda command: command.split()[0])
def test_it_runs_in_processes(command, tmp_path):
    script, *arguments = command.format(out=tmp_path).split()
    if script == "real_networks.py":
        write_stand_ins(tmp_path)
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    if script == "gpu.py":
        assert set(record["parts"]) == set(GPU["PARTS"])
        assert not any("error" in part for part in record["parts"].values())
    elif script == "imports.py":
        assert 0 < record["seconds"] < record["peer_seconds"]  # metrics needs no torch
    elif script == "samplers.py":
        reference, default = record["rows"]["ddim100"], record["rows"]["bood"]
        assert reference["difference"] == [0] != default["difference"]
        assert all(0 < row["auroc"][0] < 100 for row in (reference, default))
    elif script == "real_networks.py":
        found = record["found"]
        assert {"-", "msp", "energy", "none energy", "noise energy"} <= set(found)
        assert all(0 <= value <= 1 for value in found["energy"]["svhn"]["auroc"])
        assert len(found["noise energy"]["svhn"]["auroc"]) == 2  # a seed each
    elif script == "serving.py":
        assert record["statuses"] == {"200": 40}
        assert 0 < record["peer_seconds"] < record["seconds"]
    else:
        assert record["scores"] == 4
