"""The console command `bood`: look after artifacts, check settings, use a trained detector.

The Snakefile imports this module, so zarr (by `store`) and rich are imported where they are used.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import yaml

from bood_tasks.artifacts import usage
from bood_tasks.artifacts.spec import ROOT
from bood_tasks.catalogue.scores import LEVEL
from bood_tasks.cli.listing import RESULTS, ls, print_table, summary
from bood_tasks.cli.look import look
from bood_tasks.cli.upkeep import gc, manifests_below, repair, verify
from bood_tasks.config.load import effective_config
from bood_tasks.config.root import Config

DEFAULT = Path("config.yaml")


def with_overlays(files: list[Path]) -> Config:
    """Return config.yaml with overlays, as `snakemake --configfile` makes it."""
    return effective_config([DEFAULT, *files], look)


def cost(files: list[Path], device: str | None) -> None:
    """Print what a configuration will cost on a device, or (None) what its artifacts did cost."""
    from bood_tasks.cli import cost as costs
    from bood_tasks.plan import plan as planning
    from bood_tasks.plan.resources import DEVICES, REACHED, REACHED_BY_OTHERS

    config = effective_config(files, look)
    plan = planning.make(config)
    if device is None:
        stages = usage.measured((spec.stage, Path(spec.manifest)) for spec in plan.specs.values())
    else:
        stages = costs.planned(plan, device)
    if not stages:
        raise ValueError(f"no artifact of {', '.join(map(str, files))} is here; run it first")
    hours = "hours" if device is None else f"{device} hours"
    sides = dict.fromkeys(("jobs", "items", "TFLOP", hours, "disk GB"), "right")
    print_table(costs.lines(stages), {"stage": "left", **sides, "notes": "left"})
    if device is not None:
        half, full = DEVICES[device]
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in REACHED.items())
        print(
            f"Hours on one {device}, assumed to sustain {half:g} TFLOP/s in half and {full:g} in "
            f"full precision, of which reach: {shares}, others "
            f"{REACHED_BY_OTHERS:.0%}. Not measured; `bood cost` "
            "says what a run took."
        )
        for line in config.reasons():
            print(f"auto, as {line}")
        for message in planning.absent(config):
            print(f"missing: {message}")


def schema() -> str:
    """Return the configuration's JSON schema, as workflow/schemas/config.schema.json holds it."""
    return json.dumps(Config.model_json_schema(), indent=2)


def _take_overlays(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--configfile",
        nargs="+",
        type=Path,
        default=[],
        help="overlays on config.yaml, as Snakemake's",
    )


def _take_files(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files",
        nargs="*",
        type=Path,
        default=[DEFAULT],
        help="the base, and overlays on it, merged as Snakemake does",
    )


def _take_artifacts(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "paths", nargs="*", type=Path, default=[ROOT], help="artifacts, and folders of artifacts"
    )


def _take_detector(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--detector",
        type=Path,
        required=True,
        help="folder of an artifact of stage scores or detector",
    )
    command.add_argument("--score", help="which score, if the detector has several")
    for option, what in (("--method", "method"), ("--score-file", "score")):
        help = f"Python file of the {what}, if it is your own"
        command.add_argument(option, type=Path, help=help)


class Parser(argparse.ArgumentParser):
    """As argparse's, but an argument that is the name of a file stays one, also behind an @."""

    def _read_args_from_files(self, arg_strings: list[str]) -> list[str]:
        found: list[str] = []
        for item in arg_strings:
            found += [item] if os.path.lexists(item) else super()._read_args_from_files([item])
        return found


def parser() -> argparse.ArgumentParser:
    """Return the parser of `bood` and its subcommands."""
    bood = Parser(
        prog="bood",
        description=__doc__.splitlines()[0],
        fromfile_prefix_chars="@",
        epilog="`@FILE` reads further arguments from a file, one per line.",
    )
    commands = bood.add_subparsers(dest="command", required=True)

    command = commands.add_parser("ls", help="list artifacts with their size and time")
    _take_artifacts(command)

    command = commands.add_parser("verify", help="hash artifacts again and name damaged files")
    command.add_argument("--jobs", type=int, help="files read at once; without it, one per CPU")
    command.add_argument("--repair", action="store_true", help="make damaged artifacts again")
    _take_overlays(command)
    command.add_argument(
        "--snakemake", default="", help="Snakemake's arguments for --repair, as one text"
    )
    _take_artifacts(command)

    command = commands.add_parser("gc", help="list artifacts that no configuration reaches")
    command.add_argument("--delete", action="store_true", help="move them to artifacts/.trash, too")
    command.add_argument(
        "--now", action="store_true", help="with --delete: remove them and the trash for good"
    )
    command.add_argument(
        "--no-jobs",
        action="store_true",
        help="no job runs: remove also where the file system knows no locks",
    )
    command.add_argument(
        "overlays",
        nargs="*",
        default=[],
        help="overlays whose artifacts are kept, too; a.yaml+b.yaml stands for both at once",
    )

    for name, text in (
        ("doctor", "check whether this machine is fit for a run"),
        ("fetch", "fetch the weights and data of a run, for nodes without a network"),
    ):
        _take_overlays(commands.add_parser(name, help=text))

    command = commands.add_parser(
        "words", help="list the words that a configuration's generator knows as class anchors"
    )
    command.add_argument("like", nargs="*", help="only the words nearest to these")
    _take_overlays(command)

    command = commands.add_parser(
        "summary", help="print the time of each stage, and the files in results/"
    )
    command.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    _take_artifacts(command)

    command = commands.add_parser(
        "config", help="check a configuration and print it with all defaults"
    )
    _take_files(command)

    for name, text in (
        ("plan", "estimate what a configuration will cost"),
        ("cost", "print what the artifacts of a configuration did cost"),
    ):
        command = commands.add_parser(name, help=text)
        _take_files(command)
        _take_overlays(command)
        if name == "plan":
            command.add_argument(
                "--device",
                choices=("h200", "h100", "a100", "cpu"),
                default="h200",
                help="device that the hours are estimated for",
            )

    command = commands.add_parser("score", help="score pictures with a trained detector")
    _take_detector(command)
    command.add_argument(
        "--tpr", type=float, default=LEVEL, help="share of ID pictures that are accepted"
    )
    command.add_argument(
        "--out", type=Path, default=Path("scores.csv"), help="file that is written"
    )
    command.add_argument("images", nargs="+", type=Path, help="pictures, and folders of pictures")

    command = commands.add_parser("export", help="write a trained detector as an ONNX file")
    _take_detector(command)
    command.add_argument(
        "--out", type=Path, required=True, help="file that is written, e.g. model.onnx"
    )

    commands.add_parser("schema", help="print the JSON schema of the settings")
    return bood


def main(argv: list[str] | None = None) -> None:
    """Run one command; exit 1 for damage or a mistake, with its message."""
    arguments = parser().parse_args(argv)
    try:
        match arguments.command:
            case "ls":
                ls(arguments.paths)
            case "verify":
                damaged = verify(arguments.paths, max(1, arguments.jobs or os.cpu_count()))
                if damaged and arguments.repair:
                    files = arguments.configfile
                    config = with_overlays(files)
                    sys.exit(repair(damaged, files, config, shlex.split(arguments.snakemake)))
                sys.exit(1 if damaged else 0)
            case "gc":
                overlays = [
                    [Path(item)] if Path(item).is_file() else [Path(f) for f in item.split("+")]
                    for item in arguments.overlays
                ]
                gc(
                    [with_overlays(o) for o in ([], *overlays)],
                    delete=arguments.delete,
                    now=arguments.now,
                    no_jobs=arguments.no_jobs,
                )
            case "doctor":
                from bood_tasks.cli.doctor import doctor

                sys.exit(0 if doctor(with_overlays(arguments.configfile)) else 1)
            case "fetch":
                from bood_tasks.cli.fetch import fetch

                by_hand = fetch(with_overlays(arguments.configfile))
                sys.exit("\n".join(by_hand) if by_hand else 0)
            case "words":
                from bood_tasks.cli.words import words

                words(with_overlays(arguments.configfile), arguments.like)
            case "summary":
                summary(manifests_below(arguments.paths), arguments.results)
            case "config":
                config = effective_config(arguments.files, look)
                content = config.model_dump(mode="json")
                print("".join(f"# auto, as {line}\n" for line in config.reasons()), end="")
                print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="")
            case "plan":
                cost([*arguments.files, *arguments.configfile], arguments.device)
            case "cost":
                cost([*arguments.files, *arguments.configfile], None)
            case "score":
                from bood_tasks.deploy.score_pictures import score_pictures

                unreadable = score_pictures(
                    arguments.detector, arguments.images, arguments.out, tpr=arguments.tpr,
                    score=arguments.score, method=arguments.method, score_file=arguments.score_file,
                )  # fmt: skip
                reasons = "\n  ".join([f"{len(unreadable)} pictures are unreadable:", *unreadable])
                sys.exit(f"error: {reasons}" if unreadable else 0)
            case "export":
                from bood_tasks.deploy.export import export

                export(
                    arguments.detector, arguments.out, score=arguments.score,
                    method=arguments.method, score_file=arguments.score_file,
                )  # fmt: skip
            case "schema":
                print(schema())
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
