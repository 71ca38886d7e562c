"""Write a trained detector as an ONNX file."""

import argparse
from pathlib import Path

from bood_tasks.cli.arguments import detector_of, take_detector

EXAMPLES = ["bood export --row bood --out model.onnx"]


def arguments(command: argparse.ArgumentParser) -> None:
    take_detector(command)
    command.add_argument(
        "--out", type=Path, required=True, help="file that is written, e.g. model.onnx"
    )


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.deploy.export import export

    folder, method, score_file = detector_of(arguments)
    export(folder, arguments.out, score=arguments.score, method=method, score_file=score_file)
