"""`bood` and Snakemake see one configuration: the same values, and keys in the same order."""

import itertools
import json
import re
import subprocess
import sys

import pytest
import yaml

from bood_tasks.config.load import effective_config, laid_over
from bood_tasks.plan import plan as planning
from tests.config.test_config import ROOT

PRESETS = sorted((ROOT / "workflow/presets").glob("*.yaml"))
# Snakemake itself, as its command line starts it; a Snakefile hands out the configuration it sees.
SEEN_BY_SNAKEMAKE = """
import contextlib, json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

seen, folder = [], Path.cwd()
bases = "\\n".join(f"configfile: {base!r}" for base in sys.argv[1:])
folder.joinpath("Snakefile").write_text(
    f"import json\\n{bases}\\nPath('seen.json').write_text(json.dumps(config))"
)
for overlays in json.load(sys.stdin):
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        api.workflow(
            ResourceSettings(),
            config_settings=ConfigSettings(configfiles=list(map(Path, overlays))),
            snakefile=folder / "Snakefile",
            workdir=folder,
        ).list_rules()
    seen.append(json.loads(folder.joinpath("seen.json").read_text()))
folder.joinpath("all.json").write_text(json.dumps(seen))
"""


def seen_by_snakemake(folder, base, stacks, own=()) -> list[str]:
    """Return, as JSON, the configuration of each stack of overlays on a base, and the folder's."""
    named = json.dumps([list(map(str, stack)) for stack in stacks])
    subprocess.run(
        [sys.executable, "-c", SEEN_BY_SNAKEMAKE, str(base), *map(str, own)],
        input=named, cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [json.dumps(seen) for seen in json.loads((folder / "all.json").read_text())]


def test_every_preset_and_every_ordered_pair_of_them_is_seen_alike(tmp_path):
    """Pairs as JSON, which Snakemake reads first: parsing YAML 1,300 times takes a minute."""
    base, stacks, in_json = ROOT / "config.yaml", [[path] for path in PRESETS], []
    for path in (base, *PRESETS):
        in_json.append(tmp_path / f"{path.stem}.json")
        in_json[-1].write_text(json.dumps(yaml.safe_load(path.read_text())))
    seen = seen_by_snakemake(tmp_path, base, stacks)
    for stack, theirs in zip(stacks, seen, strict=True):
        assert json.dumps(laid_over(base, stack)) == theirs, stack
    pairs = list(itertools.permutations(in_json[1:], 2))
    seen = seen_by_snakemake(tmp_path, in_json[0], pairs)
    for pair, theirs in zip(pairs, seen, strict=True):
        assert json.dumps(laid_over(in_json[0], list(pair))) == theirs, pair


TRAPS = [
    "a: null",
    "a: {}",
    "a: {b: {}}",
    "a: {b: null, e: 2}",
    "a: {b: [3]}",
    "a: {b: {c: 4, d: 5}}",
    "a: 7",
    '{"a": 1e-3}',
    "{c: 9, a: {d: 1, b: {z: 1}, e: null}}",
]  # the last is the base


def test_null_lists_and_empty_mappings_are_seen_alike(tmp_path):
    files = []
    for number, text in enumerate(TRAPS):
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_text(text)
    *overlays, base = files
    stacks = list(itertools.permutations(overlays, 2))
    seen = seen_by_snakemake(tmp_path, base, stacks)
    for stack, theirs in zip(stacks, seen, strict=True):
        texts = [path.read_text() for path in (base, *stack)]
        assert json.dumps(laid_over(base, list(stack))) == theirs, texts


@pytest.mark.parametrize("lies_between", range(len(TRAPS) - 1), ids=TRAPS[:-1])
def test_the_folder_s_own_file_lies_between_alike(tmp_path, lies_between):
    files = []
    for number, text in enumerate(TRAPS):
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_text(text)
    *overlays, base = files
    own = overlays.pop(lies_between)
    stacks = [[], *([path] for path in overlays)]
    seen = seen_by_snakemake(tmp_path, base, stacks, [own])
    for stack, theirs in zip(stacks, seen, strict=True):
        assert json.dumps(laid_over(base, stack, own)) == theirs, [
            path.read_text() for path in stack
        ]


def test_a_file_that_holds_nothing_is_refused_as_snakemake_does(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(ValueError, match=r"empty\.yaml must hold a mapping, got NoneType"):
        effective_config([ROOT / "config.yaml", tmp_path / "empty.yaml"])


def test_a_dry_run_asks_for_what_the_plan_holds(tmp_path):
    """File by file, `null` and `{set: {}}` would take away all ablations but the row."""
    (tmp_path / "null.yaml").write_text("ablations: null")
    (tmp_path / "set.yaml").write_text("ablations: {set: {}}")
    overlays = [ROOT / "workflow/presets/embedded-controls.yaml"]
    overlays += [tmp_path / "null.yaml", tmp_path / "set.yaml"]
    said = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(ROOT / "Snakefile"),
         "--directory", str(tmp_path), "--configfile", *map(str, overlays)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    plan = planning.make(effective_config([ROOT / "config.yaml", *overlays]))
    asked = set(re.findall(r"output: results/\.published/(\S+)\.json", said.stdout + said.stderr))
    assert asked == {f"{kind}-{spec.digest}" for kind, spec in plan.targets.items()}
