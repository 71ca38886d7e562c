"""Check whether this machine is fit for a run."""

import argparse

from bood_tasks.cli.arguments import take_overlays, with_overlays

EXAMPLES = ["bood doctor --configfile workflow/presets/demo.yaml"]


def arguments(command: argparse.ArgumentParser) -> None:
    take_overlays(command)


def run(arguments: argparse.Namespace) -> int:
    from bood_tasks.cli.doctor import doctor

    return 0 if doctor(lambda: with_overlays(arguments.configfile)) else 1
