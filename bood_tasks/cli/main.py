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
from bood_tasks.config.load import ConfigError, effective_config
from bood_tasks.config.root import Config

DEFAULT = Path("config.yaml")


def with_overlays(files: list[Path]) -> Config:
    """Return config.yaml with overlays, as `snakemake --configfile` makes it."""
    return effective_config([DEFAULT, *files], look)


def _whole(files: list[Path]) -> Config:
    """Return the configuration of a whole file and those laid over it."""
    try:
        return effective_config(files)
    except ConfigError as error:
        if "is missing" not in str(error) or files[0] == DEFAULT:
            raise
        raise ValueError(
            f"{error}\nthe first FILE must be a whole configuration, got {files[0]}; to lay it "
            f"over {DEFAULT} write --configfile {files[0]}"
        ) from None


def cost(files: list[Path], device: str | None) -> None:
    """Print what a configuration will cost on a device, or (None) what its artifacts did cost."""
    from bood_tasks.cli import cost as costs
    from bood_tasks.plan import plan as planning
    from bood_tasks.plan.resources import DEVICES, REACHED, REACHED_BY_OTHERS

    config = _whole(files)
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


PLACE = "artifacts/STAGE/NAME/DIGEST"
EXAMPLES = {
    "ls": ["bood ls artifacts/detector"],
    "verify": ["bood verify", "bood verify --repair --configfile workflow/presets/demo.yaml"],
    "gc": ["bood gc workflow/presets/demo.yaml", "bood gc --delete demo.yaml+mine.yaml"],
    "doctor": ["bood doctor --configfile workflow/presets/demo.yaml"],
    "fetch": ["bood fetch --configfile workflow/presets/bood-cifar100.yaml"],
    "words": ["bood words sneaker", "bood words --configfile mine.yaml"],
    "status": ["bood status", "bood status --configfile workflow/presets/demo.yaml"],
    "summary": ["bood summary artifacts/images artifacts/detector"],
    "config": ["bood config --configfile workflow/presets/demo.yaml mine.yaml"],
    "plan": ["bood plan --device a100 --configfile workflow/presets/bood-cifar100.yaml"],
    "cost": ["bood cost --configfile workflow/presets/demo.yaml"],
    "score": [
        "bood score photos/ one.png --row bood --configfile workflow/presets/demo.yaml",
        f"bood score photos/ --detector {PLACE.replace('STAGE', 'scores')}",
    ],
    "export": ["bood export --row bood --out model.onnx"],
    "schema": ["bood schema > config.schema.json"],
}  # fmt: skip


def _take_overlays(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--configfile",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="YAML files laid over config.yaml, as Snakemake's; without it config.yaml alone",
    )


def _take_files(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files",
        nargs="*",
        type=Path,
        default=[DEFAULT],
        metavar="FILE",
        help="a whole configuration and YAML files laid over it, merged as Snakemake does",
    )
    _take_overlays(command)


def _take_artifacts(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[ROOT],
        metavar="PATH",
        help=f"an artifact's folder ({PLACE}), its manifest.json, or a folder above",
    )


def _take_detector(command: argparse.ArgumentParser) -> None:
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--row", help="row of the configuration, as `rows` names it, e.g. bood")
    which.add_argument(
        "--detector",
        type=Path,
        metavar="FOLDER",
        help=f"or a folder {PLACE} of stage scores or detector",
    )
    command.add_argument(
        "--seed", type=int, help="with --row: which seed; without it the first that is finished"
    )
    _take_overlays(command)
    command.add_argument(
        "--score", help="which score; without it the row's first, or that of the method's paper"
    )
    for option, what in (("--method", "method"), ("--score-file", "score")):
        help = f"with --detector: the Python file of the {what}, if it is your own"
        command.add_argument(option, type=Path, metavar="FILE", help=help)


class Parser(argparse.ArgumentParser):
    """As argparse's, but an argument that is the name of a file stays one, also behind an @."""

    def _read_args_from_files(self, arg_strings: list[str]) -> list[str]:
        found: list[str] = []
        for item in arg_strings:
            found += [item] if os.path.lexists(item) else super()._read_args_from_files([item])
        return found


class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps an example's lines, and adds to each argument the default that it has."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        empty = action.default in (None, False, "") or action.default == []
        if isinstance(action.default, list) and not empty:
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        return action.help if empty else super()._get_help_string(action)


def parser() -> argparse.ArgumentParser:
    """Return the parser of `bood` and its subcommands."""
    bood = Parser(
        prog="bood",
        description=__doc__.splitlines()[0],
        fromfile_prefix_chars="@",
        epilog="`bood COMMAND --help` shows a command's arguments, each with its default, and an "
        "example. `@FILE` in place of arguments reads them from a file, one per line, where a "
        "command line would be too long.",
    )
    commands = bood.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", formatter_class=Help,
            epilog="\n".join(["example:", *(f"  {line}" for line in EXAMPLES[name])]),
        )  # fmt: skip

    command = add("ls", "list artifacts: the row that they serve, their date, size and time")
    _take_overlays(command)
    _take_artifacts(command)

    command = add("status", "tell how far a run is that another terminal or a cluster makes")
    command.add_argument(
        "--configfile", nargs="+", type=Path, metavar="FILE",
        help="tell of config.yaml with these YAML files laid over it; without it of the run that "
        "began last in this folder",
    )  # fmt: skip

    command = add("verify", "hash artifacts again and name damaged files")
    command.add_argument("--jobs", type=int, help="files read at once; without it, one per CPU")
    command.add_argument("--repair", action="store_true", help="make damaged artifacts again")
    _take_overlays(command)
    command.add_argument(
        "--snakemake", default="", help="Snakemake's arguments for --repair, as one text"
    )
    _take_artifacts(command)

    command = add("gc", "list artifacts that no configuration reaches")
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
        help="YAML files over config.yaml whose artifacts are kept, too; a.yaml+b.yaml stands for "
        "both at once. What config.yaml alone reaches is always kept",
    )

    for name, text in (
        ("doctor", "check whether this machine is fit for a run"),
        ("fetch", "fetch the weights and data of a run, for nodes without a network"),
    ):
        _take_overlays(add(name, text))

    command = add("words", "list the words that a configuration's generator knows as class anchors")
    command.add_argument("like", nargs="*", help="only the words nearest to these")
    _take_overlays(command)

    command = add("summary", "print the time of each stage, and the files in results/")
    command.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    _take_artifacts(command)

    _take_files(add("config", "check a configuration and print it with all defaults"))
    for name, text in (
        ("plan", "estimate what a configuration will cost"),
        ("cost", "print what the artifacts of a configuration did cost"),
    ):
        command = add(name, text)
        _take_files(command)
        if name == "plan":
            command.add_argument(
                "--device",
                choices=("h200", "h100", "a100", "cpu"),
                default="h200",
                help="device that the hours are estimated for",
            )

    command = add("score", "score pictures with a trained detector")
    _take_detector(command)
    command.add_argument(
        "--tpr", type=float, default=LEVEL, help="share of ID pictures that are accepted"
    )
    command.add_argument(
        "--out", type=Path, default=Path("scores.csv"), help="CSV file that is written"
    )
    command.add_argument(
        "images", nargs="+", type=Path, metavar="PICTURE",
        help="pictures, and folders of pictures, which are searched with all folders below",
    )  # fmt: skip

    command = add("export", "write a trained detector as an ONNX file")
    _take_detector(command)
    command.add_argument(
        "--out", type=Path, required=True, help="file that is written, e.g. model.onnx"
    )

    add("schema", "print the JSON schema of the settings")
    return bood


def _rows(files: list[Path]) -> dict[str, list[str]]:
    """Return the rows that each artifact of a configuration serves, by its digest."""
    from bood_tasks.cli.rows import served

    try:
        return served(with_overlays(files))
    except (ValueError, OSError) as error:  # artifacts can be listed where nobody configures
        if files:
            raise
        print(f"rows are not shown: {error}", file=sys.stderr)
        return {}


def _meant(arguments: argparse.Namespace) -> tuple[Path, Path | None, Path | None]:
    """Return the folder of the detector that is meant, and the files of its method and of its score
    if they are one's own."""
    if arguments.row is None:
        return arguments.detector, arguments.method, arguments.score_file
    from bood_tasks.cli.rows import find

    config = with_overlays(arguments.configfile)
    folder, method, score = find(config, arguments.row, arguments.seed, arguments.score)
    print(f"row {arguments.row}: {folder}", file=sys.stderr)
    return folder, arguments.method or method, arguments.score_file or score


def main(argv: list[str] | None = None) -> None:
    """Run one command; exit 1 for damage or a mistake, with its message."""
    arguments = parser().parse_args(argv)
    try:
        match arguments.command:
            case "ls":
                ls(arguments.paths, _rows(arguments.configfile))
            case "status":
                from bood_tasks.cli.status import status

                files = arguments.configfile
                status(None if files is None else with_overlays(files))
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
                files = [*arguments.files, *arguments.configfile]
                config = _whole(files)
                content = config.model_dump(mode="json")
                print("".join(f"# auto, as {line}\n" for line in config.reasons()), end="")
                print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), end="")
            case "plan":
                cost([*arguments.files, *arguments.configfile], arguments.device)
            case "cost":
                cost([*arguments.files, *arguments.configfile], None)
            case "score":
                from bood_tasks.deploy.score_pictures import score_pictures

                folder, method, score_file = _meant(arguments)
                unreadable = score_pictures(
                    folder, arguments.images, arguments.out, tpr=arguments.tpr,
                    score=arguments.score, method=method, score_file=score_file,
                )  # fmt: skip
                reasons = "\n  ".join([f"{len(unreadable)} pictures are unreadable:", *unreadable])
                sys.exit(f"error: {reasons}" if unreadable else 0)
            case "export":
                from bood_tasks.deploy.export import export

                folder, method, score_file = _meant(arguments)
                export(
                    folder, arguments.out, score=arguments.score, method=method,
                    score_file=score_file,
                )  # fmt: skip
            case "schema":
                print(schema())
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
