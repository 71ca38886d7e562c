"""Print what the artifacts of a configuration did cost."""

import argparse

from bood_tasks.cli.arguments import take_files, with_overlays

EXAMPLES = ["bood cost --configfile workflow/presets/demo.yaml"]


def arguments(command: argparse.ArgumentParser) -> None:
    take_files(command)


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli.cost import show_cost

    files = [*arguments.files, *arguments.configfile]
    show_cost(with_overlays(files), ", ".join(map(str, files)) or "config.yaml")
