"""Write docs/configuration.md from the settings' schema, docs/commands.md from bood's parser, and
in docs/paper-scale.md what `bood plan` says of the papers' presets.

python -m bood_tasks.cli.pages
"""

import argparse
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import chdir
from tempfile import TemporaryDirectory
from typing import Any

from bood_tasks import PROJECT
from bood_tasks.cli import cost
from bood_tasks.cli.main import parser
from bood_tasks.config.load import effective_config
from bood_tasks.config.root import Config
from bood_tasks.plan import plan as planning
from bood_tasks.plan.departures import published_settings

CONFIGURATION = """# Configuration

Every setting, generated from the schema by `python -m bood_tasks.cli.pages`. The defaults are those
of the schema: `config.yaml` sets many of them otherwise, and `bood config` prints what holds.
Overlays (`bood run a.yaml b.yaml`, `snakemake --configfile a.yaml b.yaml`) are merged with each
other and then laid over `config.yaml`: the package's, and over it that of the working folder, if it
has one. Mappings merge, lists and values replace, an empty mapping changes nothing.
"""
COMMANDS = """# Commands

Every command of `bood`, generated from its parser by `python -m bood_tasks.cli.pages`.
"""
FASTER = ("fast-dpmsolver", "fast-unipc", "sd-turbo", "lcm", "lcm-lora", "sdxl", "sdxl-turbo")
ONE_RUN = "bood-cifar100+one-run"  # with each of these on top, one table's run
PAPER_SCALE = PROJECT / "docs" / "paper-scale.md"
PLANS = re.compile(r"(<!-- plans -->\n).*?(<!-- /plans -->)", re.DOTALL)
DEVICE = "h200"
BOUNDS = {
    "ge": "≥",
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(headings), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# --- settings ---


def _kind(item: dict[str, Any]) -> str:
    """Return in words what values a setting takes."""
    if "$ref" in item or "oneOf" in item:
        return "section"
    if "anyOf" in item:
        return " or ".join(dict.fromkeys(map(_kind, item["anyOf"])))
    if "const" in item or "enum" in item:
        return ", ".join(f"`{value}`" for value in item.get("enum", [item.get("const")]))
    match item.get("type"):
        case "array":
            return f"list: {_kind(item['items'])}"
        case "object":
            values = [*item.get("patternProperties", {}).values(), item.get("additionalProperties")]
            return f"mapping: {_kind(values[0])}" if isinstance(values[0], dict) else "mapping"
    limits = [f"{sign} {item[key]:g}" for key, sign in BOUNDS.items() if key in item]
    return " ".join([item.get("type", "any"), ", ".join(limits)]).strip()


def _below(path: str, item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the path and the reference of each section that a setting holds."""
    for value in (item, *item.get("anyOf", ())):
        if "$ref" in value:
            yield path, value["$ref"].removeprefix("#/$defs/")
    for value in item.get("patternProperties", {}).values():
        for each in value.get("oneOf", [value]):
            yield from _below(f"{path}.<name>", each)


def _section(path: str, section: dict[str, Any], sections: dict[str, Any]) -> Iterator[str]:
    """Yield the Markdown of a section and of those below it."""
    kind = section["properties"].get("kind", {})
    kinds = [kind["const"]] if "const" in kind else kind.get("enum", [])[:1] + ["…"] * bool(kind)
    of_kind = f", kind {', '.join(kinds)}" if kinds else ""
    yield f"\n## {f'`{path}`{of_kind}' if path else 'Top level'}\n\n{section['description']}\n\n"
    inner = {name: item for name, item in section["properties"].items() if "$ref" not in item}
    yield (
        _table(
            ("setting", "values", "default", "meaning"),
            (
                (
                    f"`{name}`",
                    _kind(item),
                    f"`{json.dumps(item['default'])}`" if "default" in item else "required",
                    item["description"],
                )
                for name, item in inner.items()
            ),
        )
        if inner
        else "Its settings are in the sections below.\n"
    )
    for name, item in section["properties"].items():
        for below, reference in _below(f"{path}.{name}".lstrip("."), item):
            yield from _section(below, sections[reference], sections)


def configuration() -> str:
    """Return the page of all settings."""
    schema = Config.model_json_schema()
    return CONFIGURATION + "".join(_section("", schema, schema["$defs"]))


# --- commands ---


def _argument(action: argparse.Action) -> str:
    """Return an argument as it is typed."""
    name = action.metavar or (action.option_strings or [action.dest])[-1].lstrip("-").upper()
    if action.choices:
        name = "{" + ",".join(action.choices) + "}"
    value = "" if action.nargs == 0 else name + " ..." * (action.nargs in ("+", "*"))
    return " ".join([*action.option_strings[-1:], value]).strip()


def _default(action: argparse.Action) -> str:
    """Return the value that an argument has if it is not typed."""
    if action.required:
        return "required"
    values = action.default if isinstance(action.default, list) else [action.default]
    return " ".join(f"`{value}`" for value in values if value not in (None, False, ""))


def _commands(
    bood: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, list[str], list[argparse.Action]]]:
    """Yield each subcommand's name, help, examples and arguments."""
    for action in bood._actions:
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._choices_actions:
                inner = action.choices[listed.dest]
                given = [item for item in inner._actions if item.dest != "help"]
                yield listed.dest, listed.help, inner.get_default("examples"), given


def commands() -> str:
    """Return the page of all commands."""
    bood = parser()
    text = f"{COMMANDS}\n{bood.epilog}\n"
    for name, summary, examples, actions in _commands(bood):
        typed = (
            _argument(action) if action.required else f"[{_argument(action)}]" for action in actions
        )
        text += f"\n## bood {name}\n\n{summary[0].upper()}{summary[1:]}.\n\n"
        text += f"```\n{' '.join(['bood', name, *typed])}\n```\n"
        text += "\nFor example:\n\n```\n" + "\n".join(examples) + "\n```\n"
        if actions:
            rows = ((f"`{_argument(item)}`", _default(item), item.help) for item in actions)
            text += "\n" + _table(("argument", "default", "meaning"), rows)
    return text


# --- plans ---


def _config(preset: str) -> Config:
    files = [PROJECT / "workflow" / "presets" / f"{name}.yaml" for name in preset.split("+")]
    return effective_config([PROJECT / "config.yaml", *files])


def of_papers() -> list[str]:
    """Return the presets with published settings that can be planned where there are no data: list
    files, as in OpenOOD's, are read while planning."""
    presets = dict.fromkeys(item.preset for item in published_settings())
    return [
        name
        for name in presets
        if all(item.kind != "imglist" for item in _config(name).datasets.values())
    ]


def _planned(preset: str) -> tuple[str, ...]:
    """Return a preset's line: what `bood plan` sums up where there are no data and no results."""
    names, config = preset.split("+"), _config(preset)
    with TemporaryDirectory() as folder, chdir(folder):
        stages = cost.planned(planning.make(config), DEVICE)
    _, jobs, _, flops, hours, disk, unknown = cost.lines(stages)[-1]
    made = sum(stages[name].items or 0 for name in ("images", "gan_images") if name in stages)
    return f"`{'` + `'.join(names)}`", jobs, f"{made:,}", flops, hours, disk, unknown


def paper_scale() -> str:
    """Return docs/paper-scale.md with its table of plans made again."""
    presets = dict.fromkeys(of_papers())
    presets |= dict.fromkeys((ONE_RUN, *(f"{ONE_RUN}+{name}" for name in FASTER)))
    headings = ("preset", "jobs", "pictures", "TFLOP", f"{DEVICE} hours", "disk GB", "sums")
    table = _table(headings, map(_planned, presets))
    text, found = PLANS.subn(
        lambda match: f"{match[1]}\n{table}\n{match[2]}", PAPER_SCALE.read_text(encoding="utf-8")
    )
    if found != 1:
        raise ValueError(f"{PAPER_SCALE} must have <!-- plans --> and <!-- /plans --> once")
    return text


PAGES = {
    PROJECT / "docs" / "configuration.md": configuration,
    PROJECT / "docs" / "commands.md": commands,
    PAPER_SCALE: paper_scale,
}


def main() -> None:
    """Write the pages."""
    for path, page in PAGES.items():
        path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
