"""The workflows of GitHub's CI, as far as can be told without it: YAML, actions, make's targets."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github/workflows").glob("*.yaml"))
ACTIONS = {"actions/checkout": "v4", "actions/setup-python": "v5"}


def steps(path: Path) -> list[dict]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["permissions"] == {"contents": "read"}
    assert content[True] == ["push", "pull_request"]  # YAML 1.1 reads `on` so
    return [step for job in content["jobs"].values() for step in job["steps"]]


def test_lint_tests_and_docs_run():
    assert [path.stem for path in FILES] == ["docs", "lint", "tests"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_by_their_major_version(path):
    used = [step["uses"].split("@") for step in steps(path) if "uses" in step]
    assert used
    assert all(ACTIONS[name] == version for name, version in used)


def test_they_run_targets_that_the_makefile_has():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    commands = [step["run"] for path in FILES for step in steps(path) if "run" in step]
    called = [word for line in commands for text in re.findall(r"\bmake ([\w -]+)", line)
              for word in text.split()]  # fmt: skip
    assert {"check-format", "check-tests", "check-long", "docs"} <= set(called) <= targets


def test_python_is_that_of_the_project():
    wanted = re.search(r'requires-python = ">=(.+)"', (ROOT / "pyproject.toml").read_text())[1]
    given = [step["with"]["python-version"] for path in FILES for step in steps(path)
             if step.get("uses", "").startswith("actions/setup-python")]  # fmt: skip
    assert set(given) == {wanted}
