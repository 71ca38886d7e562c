"""One source of versions: envs/requirements.txt. Every other way to install holds the same."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bood_tasks import __version__

ROOT = Path(__file__).parents[1]
ENVS = ROOT / "envs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


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


def pinned() -> dict[str, Version]:
    names = (line.split(" ;")[0].split("==") for line in pins())
    return {canonicalize_name(name): Version(version) for name, version in names}


def needed(extra: str) -> dict[str, Requirement]:
    """The libraries of an extra and of those that it includes, by name."""
    found = {}
    for item in map(Requirement, EXTRAS[extra]):
        if item.name == PROJECT["name"]:
            for other in item.extras:
                found |= needed(other)
        else:
            found[canonicalize_name(item.name)] = item
    return found


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_bounds_of_each_extra_hold_its_pin_and_end_after_it(extra):
    """From a lower bound to the next version that nobody has tried: of the first number, or of the
    second where the first is 0 (and of PyTorch, whose second number breaks things)."""
    for name, requirement in needed(extra).items():
        pin, bounds = pinned()[name], {item.operator: item for item in requirement.specifier}
        assert set(bounds) == {">=", "<"}, requirement
        assert pin in requirement.specifier, requirement
        minor = pin.major == 0 or name == "torch"
        after = f"{pin.major}.{pin.minor + 1}" if minor else f"{pin.major + 1}"
        assert Version(bounds["<"].version) <= Version(after), requirement


def test_a_library_has_the_same_bounds_in_every_extra():
    bounds = {}
    for extra in EXTRAS:
        for name, item in needed(extra).items():
            assert bounds.setdefault(name, item.specifier) == item.specifier, name


def test_extras_hold_what_they_are_for():
    assert set(needed("score")) == {"numpy", "onnxruntime", "pillow"}
    assert set(needed("score")) < set(needed("serve"))
    assert set(needed("score")) < set(needed("workflow"))  # `bood bundle` tries what it has written
    assert set(needed("generate")) < set(needed("workflow"))
    assert set(needed("all")) == {name for extra in EXTRAS for name in needed(extra)}
    assert PROJECT["dependencies"] == []


def test_every_library_that_the_package_imports_is_in_an_extra():
    called = {"PIL": "pillow", "multipart": "python-multipart", "sklearn": "scikit-learn",
              "yaml": "pyyaml", "snakemake_interface_logger_plugins": "snakemake",
              "starlette": "fastapi", "packaging": "snakemake"}  # fmt: skip
    found = set()
    for path in (ROOT / "bood_tasks").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
    others = found - set(sys.stdlib_module_names) - {"bood_tasks"}
    assert {canonicalize_name(called.get(name, name)) for name in others} <= set(needed("all"))


def test_the_snakefile_asks_for_the_snakemake_that_the_extra_asks_for():
    wanted = re.search(r'min_version\("(.+)"\)', (ROOT / "Snakefile").read_text())[1]
    assert f">={wanted}" in str(needed("workflow")["snakemake"].specifier)


def test_there_is_one_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == __version__


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
