"""Write a detector's score of every test sample, in the layout of OpenOOD or of pytorch-ood."""

import argparse
import sys
from pathlib import Path

from bood_tasks.cli.arguments import PLACE, detector_of, take_detector

EXAMPLES = [
    "bood export-scores scores/ --row ce --score energy "
    "--configfile workflow/presets/openood-cifar10.yaml",
    f"bood export-scores scores/ --detector {PLACE.replace('STAGE', 'scores')}",
]


def arguments(command: argparse.ArgumentParser) -> None:
    take_detector(command)
    command.add_argument(
        "--convention",
        choices=("openood", "pytorch-ood"),
        default="openood",
        help="openood: conf, larger is more ID; pytorch-ood: scores, larger is more OOD",
    )
    command.add_argument("folder", type=Path, help="folder of the .npz files, one a data set")


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.deploy.exchange import export_scores
    from bood_tasks.deploy.lineage import trace

    folder, _, _ = detector_of(arguments)
    scores = trace(folder, arguments.score).scores
    written = export_scores(scores, arguments.folder, arguments.convention)
    turned = arguments.convention == "pytorch-ood"
    print(
        f"{scores.settings['score']}: "
        + ("sign turned, larger is more OOD (y below 0)" if turned else "larger is more ID (conf)"),
        file=sys.stderr,
    )
    own = scores.settings["id"]
    for name, count in written.items():
        print(f"{arguments.folder / f'{name}.npz'}: {count:,} {'ID' if name == own else 'OOD'}")
