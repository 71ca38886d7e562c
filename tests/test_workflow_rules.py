"""The Snakefile's rules and the package's stages are one list."""

import re
from pathlib import Path

import bood_tasks
from bood_tasks.catalogue.methods import PACKAGED

ROOT = Path(__file__).parents[1]
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))
PACKAGE = Path(bood_tasks.__file__).parent
VERSIONED = {
    p.stem for p in PACKAGE.glob("*.py") if re.search(r"^VERSION = \d+$", p.read_text(), re.M)
}
STAGES = VERSIONED - PACKAGED  # a method is a part of the stage `detector` with its own version


def rules():
    for file in RULES:
        for block in re.split(r"^rule ", file.read_text(), flags=re.M)[1:]:
            yield file.stem, block.split(":")[0], block


def test_each_stage_has_one_rule_file_of_its_name_and_the_other_way_round():
    assert {stem for stem, _, _ in rules()} == STAGES | {"publish"}


def test_each_method_is_a_module_with_a_version():
    assert PACKAGED <= VERSIONED


def test_each_rule_runs_the_module_of_its_name():
    for stem, name, block in rules():
        assert name in (stem, f"{stem}_artifact")
        assert f"python -m bood_tasks.{stem} " in block
        if stem != "publish":
            assert f'"artifacts/{stem}/{{name}}/{{digest}}/manifest.json"' in block


def test_each_rule_has_log_environment_threads_and_resources():
    for stem, _, block in rules():
        for directive in ("log:", "conda:", "threads:", "mem_mb=", "runtime="):
            assert directive in block, (stem, directive)
        assert "benchmark:" in block or stem == "publish"
        assert ("gpu=1" in block) == ("bood_tasks.jobs.gpu {resources.gpu}" in block), stem


def test_every_rule_file_is_included():
    snakefile = (ROOT / "Snakefile").read_text()
    assert set(re.findall(r'include: "workflow/rules/(\w+)\.smk"', snakefile)) == {
        file.stem for file in RULES
    }
