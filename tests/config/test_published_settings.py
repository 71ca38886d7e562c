"""embedded/published/settings.csv: every paper-scale preset has the values that it says, each with
its source, and sets nothing that it does not say."""

import csv
import re
from collections.abc import Iterator
from functools import cache

import pytest
import yaml

from bood_tasks.config.load import effective_config
from bood_tasks.config.root import OVERRIDDEN, Config
from bood_tasks.config.study import REFERENCE, study
from bood_tasks.plan.departures import (
    PRESETS,
    SETTINGS,
    alike,
    published_settings,
    settings_of,
    value_of,
)
from tests.config.test_config import ROOT

FOLDER = ROOT / "workflow/presets"
LINES = published_settings()
STACKS = list(dict.fromkeys(line.preset for line in LINES))
NO_PAPERS = {  # presets without published values
    "cifar10-laptop", "cifar10-laptop-bood", "cifar10-laptop-choice", "cifar10-laptop-helpful",
    "demo", "embedded-choice", "embedded-controls", "embedded-generator", "embedded-helpful",
    "embedded-published-since", "embedded-samplers", "goe-embedded", "goe-embedded-choice",
    "goe-embedded-weights", "goe-smoke", "more-scores", "natural-generator", "own-pictures",
    "own-texts", "paper-smoke", "scale-free", "smoke",
    # on top of a paper's preset, another generator or sampler
    "fast-dpmsolver", "fast-unipc", "lcm", "lcm-lora", "one-run", "sd-turbo", "sdxl", "sdxl-turbo",
}  # fmt: skip
NO_PAPER_SAYS = re.compile(  # where files lie, labels, sizes of jobs, what pictures are looked at
    r"only\..*|control|datasets\.\w+\.(kind|of|size|path|pictures|lists\.\w+)"
    r"|.*\.(shard|path|layout|pretrained)"
    r"|generator\.(source|revision)|anchors\.aliases|distances\.rows|rows\.\w+\.variant"
    r"|(rows\.\w+\.set\.)?detector\.snapshots|ablations\.set"
)
PAPER = r"(BOOD|GOE) (section|table|figure|appendix) [\w.]+( and (table|appendix) \w+)?"
CODE = r"(?P<repository>[\w./-]+) [\w./-]+:\d+(-\d+)?"
SOURCE = re.compile(rf"({PAPER}|{CODE})(, .+)?")


@cache
def config_of(preset: str) -> Config:
    """A preset as it runs, with a row for each of its ablations."""
    config = effective_config(
        [ROOT / "config.yaml", *(FOLDER / f"{name}.yaml" for name in preset.split("+"))]
    )
    return study(config).config if config.ablations else config


def wrong(config: Config, preset: str) -> list[str]:
    """What a configuration has otherwise than settings.csv says of a preset, a line each."""
    found = []
    for line in settings_of(preset):
        try:
            value = value_of(config.for_row(line.row) if line.row else config, line.setting)
        except (KeyError, ValueError) as error:
            value = f"no such setting ({error})"
        if not alike(value, line.expected):
            why = f"; published {line.published}, ours for: {line.reason}" if line.reason else ""
            found.append(
                f"{preset}: {line.name} must be {line.expected} ({line.source}{why}), got {value}"
            )
    return found


@pytest.mark.parametrize("preset", STACKS)
def test_a_preset_has_the_values_of_its_paper(preset):
    assert not wrong(config_of(preset), preset)


@pytest.mark.parametrize("preset", STACKS)
def test_ablations_vary_the_row_as_it_is(preset):
    """No settings of the default's ablations are left in it: few images, few epochs."""
    config = config_of(preset)
    if config.ablations:
        rows = (REFERENCE, config.ablations.row)
        reference, row = (config.for_row(name).model_dump(include={*OVERRIDDEN}) for name in rows)
        assert reference == row


def test_a_changed_preset_is_named_with_setting_values_and_source():
    good = config_of("goe-cifar10")
    before = wrong(good, "goe-cifar10")
    detector = good.detector.model_copy(update={"lr": 0.25})
    (found,) = set(wrong(good.model_copy(update={"detector": detector}), "goe-cifar10")) - set(
        before
    )
    assert found == "goe-cifar10: detector.lr must be 0.001 (GOE appendix A), got 0.25"


def leaves(value: object, path: str = "") -> Iterator[str]:
    """The dotted names of what a file sets."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    else:
        yield path


def line_of(path: str) -> tuple[str, str]:
    """The row and the setting of a name in a file, as settings.csv has them."""
    for pattern, row in (
        (r"rows\.(\w+)\.set\.(.+)", "{}"),
        (r"ablations\.variants\.([\w.-]+?)\.((?:encoder|detector|distances|ood_features)\..+)",
         "ablations/{}"),
        (r"ablations\.(sweep)_set\.(.+)", "ablations/swept"),
        (r"ablations\.()(seeds)", ""),
    ):  # fmt: skip
        if match := re.fullmatch(pattern, path):
            return row.format(match[1]), match[2]
    return "", path


def unsourced(preset: str) -> list[str]:
    """What the last file of a preset sets without a line in settings.csv. A setting that one row
    alone reads may stand at the top of the file."""
    known = {(line.row, line.setting) for line in settings_of(preset)}
    everywhere = {setting for _, setting in known}
    text = (FOLDER / f"{preset.split('+')[-1]}.yaml").read_text(encoding="utf-8")
    return [
        path
        for path in leaves(yaml.safe_load(text))
        if line_of(path) not in known
        and path not in everywhere
        and not NO_PAPER_SAYS.fullmatch(path)
    ]


@pytest.mark.parametrize("preset", STACKS)
def test_whatever_a_preset_sets_has_a_source(preset):
    assert not unsourced(preset), f"{SETTINGS.name} lacks a line, with its source, for each"


def test_every_preset_is_of_a_paper_or_known_not_to_be():
    presets = {path.stem for path in FOLDER.glob("*.yaml")}
    of_papers = {name for preset in STACKS for name in preset.split("+")}
    assert presets - of_papers <= NO_PAPERS
    assert not of_papers & NO_PAPERS
    assert {name for names in PRESETS.values() for name in names} <= set(STACKS)


def test_the_lines_stand_in_order():
    """By presets, row and setting: where a new one goes is clear, and so is what is there."""
    with SETTINGS.open(encoding="utf-8", newline="") as handle:
        lines = [(x["presets"], x["row"], x["setting"]) for x in csv.DictReader(handle)]
    assert lines == sorted(lines)


def test_every_line_is_whole():
    repositories = re.findall(
        r"^\| `(\S+)` \| https", SETTINGS.with_name("README.md").read_text(), re.M
    )
    seen = set()
    for line in LINES:
        found = SOURCE.fullmatch(line.source)
        assert found, line
        assert found["repository"] is None or found["repository"] in repositories, line
        assert bool(line.ours) == bool(line.reason), line
        assert not line.reason or not alike(yaml.safe_load(line.ours), line.published), line
        assert (line.preset, line.row, line.setting) not in seen, line
        seen.add((line.preset, line.row, line.setting))
    assert len(seen) >= 150


@pytest.mark.parametrize("preset", STACKS)
def test_a_preset_holds_a_calibration_split_out_or_says_that_it_gives_no_threshold(preset):
    config = config_of(preset)
    item = config.datasets[config.id]
    held_out = getattr(item, "validation_per_class", 0) or getattr(item, "validation", 0)
    text = (FOLDER / f"{preset.split('+')[0]}.yaml").read_text(encoding="utf-8")
    assert bool(held_out) != (": no threshold" in text)
