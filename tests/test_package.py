"""The package: what it needs, what it says where that is missing, what it brings along."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from bood_tasks import PROJECT, __version__
from bood_tasks.catalogue import extras
from bood_tasks.cli import commands

NAMES = [name.replace("_", "-") for name in commands.NAMES]
# Python with nothing but the standard library, this package, and what is named: as if no more was
# installed. `load_detector` and commands run in a process of their own.
HIDING = """
import importlib.abc, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in {hidden!r} or ({shown!r} is not None and top not in {shown!r}
                                 and top not in sys.stdlib_module_names and top != "bood_tasks"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""


def alone(code: str, shown: set[str] | None = frozenset(), hidden: set[str] = frozenset()):
    """Run Python code where only `shown` modules can be imported (None: all), less `hidden`."""
    hiding = HIDING.format(shown=None if shown is None else set(shown), hidden=set(hidden))
    return subprocess.run(
        [sys.executable, "-c", hiding + code], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )  # fmt: skip


def said(done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_plain_package_imports_and_helps_with_python_alone():
    asked = [["--version"], ["--help"], *([name, "--help"] for name in NAMES)]
    code = f"""
import bood_tasks
from bood_tasks.cli.main import main
for words in {asked!r}:
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""
    shown = said(alone(code))
    assert f"bood {__version__}" in shown
    assert all(f"usage: bood {name}" in shown for name in NAMES)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("from bood_tasks.cli.main import main; main(['plan'])", "[workflow]'"),
        ("from bood_tasks.cli.main import main; main(['run', '--preset', 'x'])", "[workflow]'"),
        ("from bood_tasks.cli.main import main; main(['config', '--preset', 'x'])", "[workflow]'"),
        ("from bood_tasks.cli.main import main; main(['score', 'x', '--detector', 'y'])",
         "[score]'"),
        ("from bood_tasks import load_detector", "[generate]'"),
        ("from bood_tasks import Method", "[generate]'"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_with_the_extra_that_brings_it(code, message):
    done = alone(code)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "is not installed" in last
    assert last.endswith(message)


LINES = [
    'numpy<3,>=2.0; extra == "score"',
    'bood-tasks[score]; extra == "serve"',
    'python-multipart>=0.0.20; extra == "serve"',
    'torch>=2; extra == "generate"',
    'numpy>=2; extra == "generate"',
    'bood-tasks[generate]; extra == "workflow"',
    'PyYAML>=6; extra == "workflow"',
    'bood-tasks[serve,workflow]; extra == "all"',
]


@pytest.mark.parametrize(
    ("module", "wanted", "extra"),
    [
        ("numpy.linalg", "workflow", "workflow"),
        ("numpy", "score", "score"),
        ("torch", "score", "generate"),  # a detector of the workflow, not a bundle
        ("yaml", "generate", "workflow"),
        ("multipart", "serve", "serve"),
        ("unheard_of", "workflow", "workflow"),
    ],
)
def test_the_smallest_extra_is_named_that_brings_a_module(module, wanted, extra, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: LINES)
    assert extras.cure(ModuleNotFoundError(name=module), wanted).endswith(f"[{extra}]'")


def test_a_mistake_of_our_own_is_no_missing_extra():
    assert extras.cure(ModuleNotFoundError(name="bood_tasks.nowhere")) == ""


@pytest.mark.long
def test_a_detector_is_loaded_with_what_generate_brings_alone():
    """Nothing of the workflow: whoever has the artifacts and torch can use a detector."""
    workflow = {"pydantic", "snakemake", "pandas", "matplotlib", "shtab", "onnxruntime"}
    code = "from bood_tasks import load_detector, Method; import bood_tasks.generators.pixels"
    said(alone(code, shown=None, hidden=workflow))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source distribution of the tracked files."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (PROJECT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(PROJECT / name, source / name)
    build(source, made, "sdist", "wheel")
    return made


def build(source: Path, made: Path, *kinds: str) -> None:
    """Build distributions of a folder into another, as pip does, without a network."""
    calls = [f"build_meta.build_{kind}({str(made)!r})" for kind in kinds]
    code = "\n".join(["from setuptools import build_meta", *calls])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def tracked(*folders: str) -> set[str]:
    command = ["git", "ls-files", "-co", "--exclude-standard", *folders]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


@pytest.mark.long
def test_wheel_and_source_hold_package_and_workflow_once(built):
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    workflow = tracked("Snakefile", "config.yaml", "workflow", "profiles")
    package = tracked("bood_tasks")
    assert {f"bood_tasks/project/{name}" for name in workflow} | package <= names
    assert "bood_tasks/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "benchmarks/"))]
    assert not [name for name in names if "__pycache__" in name]
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert workflow | package | {"setup.py", "pyproject.toml", "LICENSE"} <= inside


@pytest.mark.long
def test_what_an_image_copies_makes_the_same_wheel(built, tmp_path):
    """The Dockerfile's steps, less Docker: what it copies is all that the package is made from."""
    text = (PROJECT / "envs/Dockerfile").read_text()
    copies = re.findall(r"^COPY (.+) /opt/bood-tasks/(\S*)$", text, re.MULTILINE)
    source = tmp_path / "bood-tasks"
    source.mkdir()
    for names, place in copies:
        for name in names.split():
            if (PROJECT / name).is_dir():
                shutil.copytree(PROJECT / name, source / place)
            else:
                shutil.copy(PROJECT / name, source)
    build(source, tmp_path, "wheel")
    (ours,), (theirs,) = tmp_path.glob("*.whl"), built.glob("*.whl")
    assert set(zipfile.ZipFile(ours).namelist()) >= set(zipfile.ZipFile(theirs).namelist())


@pytest.mark.long
def test_installed_it_starts_asks_nothing_and_finds_its_workflow(built, tmp_path):
    """Without dependencies of its own, in a venv that sees those of this one."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    (wheel,) = built.glob("*.whl")
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True
    )
    places = json.dumps([path for path in sys.path if path.endswith("site-packages")])
    code = "import json, sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    Path(own.strip(), "shared.pth").write_text("\n".join(json.loads(places)))
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def bood(*words: str) -> str:
        done = subprocess.run(
            [tmp_path / "venv/bin/bood", *words], cwd=home, env=environment, text=True,
            capture_output=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert bood("--version").strip() == f"bood {__version__}"
    where = [python, "-c", "import bood_tasks; print(bood_tasks.PROJECT)"]
    found = subprocess.run(
        where, cwd=home, env=environment, capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).is_relative_to(tmp_path / "venv")
    assert "total" in bood("run", "--preset", "smoke", "-n")
    assert "detector" in bood("plan", "--configfile", "workflow/presets/smoke.yaml")
    bood("init", "--profile", "slurm")
    assert (home / "profiles/slurm/config.yaml").is_file()
    assert "bood run" in bood("init")
    assert (home / "config.yaml").read_text().startswith("# Written by `bood init`")
