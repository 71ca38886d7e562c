"""README.md and docs/ as they stand: commands run dry, paths exist, links lead somewhere."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from bood_tasks.catalogue.scores import SCORES
from bood_tasks.catalogue.stages import STAGES
from bood_tasks.cli.main import parser

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = ("bood_tasks", "workflow", "profiles", "docs", "tests", "envs", "benchmarks")
# One process for all: importing Snakemake and planning costs more than each dry run.
DRY_RUNS = """
import contextlib, io, json, sys
from snakemake.cli import main
for command in json.load(sys.stdin):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            code = main(command)
        except SystemExit as end:
            code = end.code
    if code:
        print(command, text.getvalue())
"""


def pages():
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(page: Path, program: str) -> list[list[str]]:
    """Return the words of each of a program's commands in a page's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", text_of(page), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = []
    for line in lines:
        for part in line.removeprefix("$ ").split("&&"):
            words = shlex.split(part.partition(" > ")[0], comments=True)
            if words[:1] == [program]:
                found.append(words[1:])
    return found


def alternatives(path: str) -> list[str]:
    match = re.search(r"\{([^}]+)\}", path)
    return [path.replace(match[0], part) for part in match[1].split(",")] if match else [path]


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and mkdocs make them."""
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short():
    assert len(text_of(README).splitlines()) <= 200


def test_the_readme_names_every_score_of_the_catalogue():
    (line,) = re.findall(r"^- \*\*Scores\*\*: (.*?):", text_of(README), re.MULTILINE | re.DOTALL)
    named = {name.strip() for name in line.replace("\n", " ").split(",")}
    assert named == {e.title.split(",")[0] for e in SCORES.values() if e.module}


@pages()
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        other = page.parent / name if name else page
        assert other.exists(), target
        assert not anchor or anchor in headings(other), target


@pages()
def test_tables_have_rows(page):
    lines = text_of(page).splitlines()
    rules = [n for n, line in enumerate(lines) if re.fullmatch(r"\|( ?:?-+:? ?\|)+", line)]
    for n in rules:
        assert "".join(lines[n + 1 : n + 2]).startswith("|"), f"no row: {lines[n - 1]}"


@pages()
def test_paths_are_there(page):
    """`<room>` stands for any of several names, `{a,b}` for each; a recipe marks its own as new."""
    text, new = text_of(page), re.findall(r"^# (\S+) \(new\)", text_of(page), re.MULTILINE)
    pattern = rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./<>{{}},*-]*[\w/>}}*]"
    for path in set(re.findall(pattern, text)):
        if any(name.startswith(path) for name in new):
            continue
        for each in alternatives(re.sub(r"<\w+>", "*", path)):
            assert any(ROOT.glob(each.rstrip("/"))), path
    presets = {path.name for path in (ROOT / "workflow/presets").iterdir()}
    for name in re.findall(r"`([\w-]+\.yaml)`", text):
        assert name in presets | {"config.yaml", "my.yaml"}, name


@pages()
def test_bood_takes_its_commands(page):
    """Each is parsed; what it then does has tests of its own."""
    for words in commands(page, "bood"):
        if words != ["--version"]:
            parser().parse_args(words)  # exits if it cannot


@pages()
def test_make_has_its_targets(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w./-]+):", makefile, re.MULTILINE))
    named = {word for words in commands(page, "make") for word in words}
    named |= set(re.findall(r"`make ([\w-]+)`", text_of(page)))
    assert named <= targets


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the README's my.yaml and pictures where that expects them."""
    block = re.search(r"```yaml\n(# my\.yaml.*?)```", text_of(README), re.DOTALL).group(1)
    (tmp_path / "my.yaml").write_text(block.replace("/data/", f"{tmp_path}/"))
    picture = PIL.Image.fromarray(np.zeros((28, 28), np.uint8))
    for name in ("mine/boot", "mine/sneaker", "photos/below"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(10 if name == "photos/below" else 1000):  # VOS fills its queue
            picture.save(tmp_path / name / f"{number}.png")
    for name in ("config.yaml", "workflow", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize(
    "several",
    [
        pytest.param([README], id="README"),
        pytest.param(PAGES[1:], id="docs", marks=pytest.mark.long),
    ],
)
def test_snakemake_commands_run_dry(several, folder):
    found = {
        tuple(words)
        for page in several
        for words in commands(page, "snakemake")
        if "--report" not in words  # it tells of a run
    }
    assert len(found) > 3
    fixed = ["-n", "--quiet", "all", "--snakefile", str(ROOT / "Snakefile"), "--directory", "."]
    lines = [[*words, *fixed] for words in sorted(found)]
    done = subprocess.run(
        [sys.executable, "-c", DRY_RUNS],
        cwd=folder, input=json.dumps(lines), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_the_drawing_shows_every_stage():
    done = subprocess.run(
        [sys.executable, "-c", "import chain; print(chain.draw(), end='')"],
        cwd=ROOT / "docs", capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'docs'}:{ROOT}"},
    )  # fmt: skip
    assert (ROOT / "docs/chain.svg").read_text() == done.stdout, "run `python docs/chain.py`"
    page = text_of(ROOT / "docs/architecture.md")
    assert [name for name in STAGES if f"`{name}`" not in page] == []
