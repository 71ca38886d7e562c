"""Check a configuration and print it with all defaults."""

import argparse

from bood_tasks.cli.arguments import take_files, with_overlays

EXAMPLES = ["bood config --configfile workflow/presets/demo.yaml mine.yaml"]


def arguments(command: argparse.ArgumentParser) -> None:
    take_files(command)


def run(arguments: argparse.Namespace) -> None:
    import yaml

    config = with_overlays([*arguments.files, *arguments.configfile])
    print("".join(f"# auto, as {line}\n" for line in config.reasons()), end="")
    content = config.model_dump(mode="json")
    print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="")
