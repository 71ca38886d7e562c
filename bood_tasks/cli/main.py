"""The console command `bood`: list, re-hash and sum up artifacts, check and explain settings.

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
from bood_tasks.cli.listing import RESULTS, ls, print_table, summary
from bood_tasks.cli.upkeep import gc, manifests_below, repair, verify
from bood_tasks.config.load import effective_config
from bood_tasks.config.root import Config

DEFAULT = Path("config.yaml")


def with_overlays(files: list[Path]) -> Config:
    """Return config.yaml with overlays, as `snakemake --configfile` makes it."""
    return effective_config([DEFAULT, *files])


def cost(files: list[Path], device: str | None) -> None:
    """Print what a configuration will cost on a device, or (None) what its artifacts did cost."""
    from bood_tasks.cli import cost as costs
    from bood_tasks.plan import plan as planning
    from bood_tasks.plan.resources import DEVICES, REACHED, REACHED_BY_OTHERS

    config = effective_config(files)
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
        for message in planning.absent(config):
            print(f"missing: {message}")


def schema() -> str:
    """Return the configuration's JSON schema, as workflow/schemas/config.schema.json holds it."""
    return json.dumps(Config.model_json_schema(), indent=2)


def _take_overlays(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--configfile", nargs="+", type=Path, default=[], help="overlays, as Snakemake's"
    )


def _take_detector(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--detector", type=Path, required=True, help="folder of a scores or detector artifact"
    )
    command.add_argument("--score", help="of a detector with several: which one")
    command.add_argument("--method", type=Path, help="file of the detector's method, if your own")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bood",
        description=__doc__.splitlines()[0],
        fromfile_prefix_chars="@",
        epilog="@FILE: read arguments",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    command = commands.add_parser("ls", help="list artifacts")
    command.add_argument("paths", nargs="*", type=Path, default=[ROOT])

    command = commands.add_parser("verify", help="re-hash artifacts, name damaged files")
    command.add_argument("--jobs", type=int, default=os.cpu_count(), help="files read at once")
    command.add_argument("--repair", action="store_true", help="remake what is damaged")
    _take_overlays(command)
    command.add_argument("--snakemake", default="", help="further arguments for --repair, one text")
    command.add_argument("paths", nargs="*", type=Path, default=[ROOT])

    command = commands.add_parser("gc", help="list artifacts that no configuration reaches")
    command.add_argument("--delete", action="store_true", help="and remove them")
    command.add_argument(
        "overlays",
        nargs="*",
        help="keep what these reach, too: overlays on config.yaml, a.yaml+b.yaml for both at once",
    )

    for name, text in (
        ("doctor", "is this machine fit for a run?"),
        ("fetch", "fetch weights and data that a run needs, before nodes without a network run it"),
    ):
        _take_overlays(commands.add_parser(name, help=text))

    command = commands.add_parser("summary", help="time of each stage, and the outputs")
    command.add_argument("--results", type=Path, default=RESULTS)
    command.add_argument("paths", nargs="*", type=Path, default=[ROOT])

    command = commands.add_parser("config", help="check settings and print them with defaults")
    command.add_argument("files", nargs="*", type=Path, default=[DEFAULT], help="later ones win")

    for name, text in (("plan", "what a configuration will cost"), ("cost", "what it did cost")):
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "files", nargs="*", type=Path, default=[DEFAULT], help="later ones win"
        )
        _take_overlays(command)
        if name == "plan":
            devices = ("h200", "h100", "a100", "cpu")
            command.add_argument("--device", choices=devices, default="h200")

    command = commands.add_parser("score", help="is a picture ID or OOD? a trained detector's say")
    _take_detector(command)
    command.add_argument("--tpr", type=float, default=0.95, help="share of ID pictures to accept")
    command.add_argument("--out", type=Path, default=Path("scores.csv"))
    command.add_argument("images", nargs="+", type=Path, help="pictures, and folders of such")

    command = commands.add_parser("export", help="write a trained detector as one ONNX file")
    _take_detector(command)
    command.add_argument("--out", type=Path, required=True, help="model.onnx")

    commands.add_parser("schema", help="print the JSON schema of the settings")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run one command; exit 1 for damage or a mistake, with its message."""
    arguments = _parser().parse_args(argv)
    try:
        match arguments.command:
            case "ls":
                ls(arguments.paths)
            case "verify":
                damaged = verify(arguments.paths, max(1, arguments.jobs))
                if damaged and arguments.repair:
                    files = arguments.configfile
                    config = with_overlays(files)
                    sys.exit(repair(damaged, files, config, shlex.split(arguments.snakemake)))
                sys.exit(1 if damaged else 0)
            case "gc":
                overlays = [[Path(f) for f in item.split("+")] for item in arguments.overlays]
                gc(
                    [with_overlays(o) for o in ([], *overlays)],
                    delete=arguments.delete,
                )
            case "doctor":
                from bood_tasks.cli.doctor import doctor

                sys.exit(0 if doctor(with_overlays(arguments.configfile)) else 1)
            case "fetch":
                from bood_tasks.cli.fetch import fetch

                by_hand = fetch(with_overlays(arguments.configfile))
                sys.exit("\n".join(by_hand) if by_hand else 0)
            case "summary":
                summary(manifests_below(arguments.paths), arguments.results)
            case "config":
                content = effective_config(arguments.files).model_dump(mode="json")
                print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="")
            case "plan":
                cost([*arguments.files, *arguments.configfile], arguments.device)
            case "cost":
                cost([*arguments.files, *arguments.configfile], None)
            case "score":
                from bood_tasks.deploy.score_pictures import score_pictures

                unreadable = score_pictures(
                    arguments.detector, arguments.images, arguments.out, tpr=arguments.tpr,
                    score=arguments.score, method=arguments.method,
                )  # fmt: skip
                reasons = "\n  ".join([f"{len(unreadable)} pictures are unreadable:", *unreadable])
                sys.exit(f"error: {reasons}" if unreadable else 0)
            case "export":
                from bood_tasks.deploy.export import export

                export(
                    arguments.detector, arguments.out, score=arguments.score,
                    method=arguments.method,
                )  # fmt: skip
            case "schema":
                print(schema())
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
