"""One source of versions: envs/requirements.txt. Every other way to install holds the same."""

import re
from pathlib import Path

import yaml

ENVS = Path(__file__).parents[1] / "envs"


def pins() -> list[str]:
    lines = (ENVS / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_every_requirement_names_one_version():
    assert len(pins()) > 50
    for line in pins():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.+]+( ; .+)?", line), line


def test_the_conda_environment_holds_the_same_pins():
    *_, packages = yaml.safe_load((ENVS / "environment.yaml").read_text())["dependencies"]
    assert packages == {"pip": pins()}


def test_images_install_nothing_but_the_pins():
    for name in ("Dockerfile", "apptainer.def"):
        installs = re.findall(r"pip install (.+)", (ENVS / name).read_text())
        assert installs == [
            "--no-cache-dir -r /opt/requirements.txt",
            "--no-cache-dir --no-deps --no-build-isolation /opt/bood-tasks",
        ]


def test_what_an_image_copies_is_there():
    root = ENVS.parent
    copied = re.findall(r"^COPY (.+) \S+$", (ENVS / "Dockerfile").read_text(), re.MULTILINE)
    found = {name for line in copied for name in line.split()}
    listed = (ENVS / "apptainer.def").read_text().split("%files")[1].split("%post")[0]
    assert found == {line.split()[0] for line in listed.strip().splitlines()}
    assert all((root / name).exists() for name in found)
