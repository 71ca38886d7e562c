"""Run the workflow with the packaged Snakefile, presets and profiles."""

import argparse
import importlib.util
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = [
    "bood run",
    "bood run --preset demo table1",
    "bood run my.yaml -n",
    "bood run --preset bood-cifar100 --workflow-profile slurm",
]
SUFFIXES = (".yaml", ".yml")  # a bare .json is a target: artifacts/.../manifest.json
HOW_MANY = ("-c", "--cores", "-j", "--jobs", "-e", "--executor", "--profile", "--workflow-profile")


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="--preset NAME, --configfile FILE and names of YAML files are laid over config.yaml "
        "in their order; all else is Snakemake's: targets (table1, report), options (-n, --cores "
        "4, --resources gpu=2), a profile of the package by its name (--workflow-profile slurm). "
        "Without --cores: all",
    )
    command.parse_known_args = _all_words(command)  # options that argparse does not know, too


def _all_words(command: argparse.ArgumentParser):
    """Return a parser that takes every word as it is, but for --help alone."""

    def parse(words: Sequence[str], _: argparse.Namespace | None):
        if list(words) in (["-h"], ["--help"]):
            command.print_help()
            command.exit()
        told = {name: command.get_default(name) for name in ("run", "examples", "extra")}
        return argparse.Namespace(words=list(words), **told), []

    return parse


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli.runs import TYPED

    if importlib.util.find_spec("snakemake") is None:
        raise ModuleNotFoundError("snakemake is not installed", name="snakemake")
    command = snakemake(arguments.words)
    os.environ[TYPED] = shlex.join(["bood", "run", *arguments.words])
    sys.stdout.flush()
    os.execv(command[0], command)


def snakemake(words: Sequence[str]) -> list[str]:
    """Return Snakemake's command line for the words after `bood run`.

    Raises ValueError for an unknown preset or a file that is no YAML (Snakemake would name neither
    file nor line), FileNotFoundError for a file that is not there.
    """
    from bood_tasks import PROJECT
    from bood_tasks.config.load import require_plain

    overlays, rest = split(words)
    require_plain(overlays)
    command = [sys.executable, "-P", "-m", "snakemake"]
    if overlays:
        command += ["--configfile", *map(str, overlays)]
    command += ["--snakefile", str(PROJECT / "Snakefile")]
    if not any(word.partition("=")[0] in HOW_MANY or word[:2] in HOW_MANY for word in rest):
        command += ["--cores", "all"]
    return [*command, *rest]


def split(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the files that are laid over config.yaml, and the words for Snakemake.

    >>> split(["-n", "--preset", "smoke", "table1", "--resources", "gpu=2"])[1]
    ['-n', 'table1', '--resources', 'gpu=2']
    """
    from bood_tasks.config import files

    overlays: list[Path] = []
    rest: list[str] = []
    before = ""
    for number, word in enumerate(words):
        option, _, value = word.partition("=")
        if word == "--":
            rest += words[number:]
            break
        if option in ("--preset", "--configfile", "--configfiles"):
            before = option
            if not value:
                continue
            word = value
        if before == "--preset" or (before == "presets" and word in files.presets()):
            overlays.append(files.preset(word))
            before = "presets"  # more of them may follow
        elif before == "--configfile" or (word.endswith(SUFFIXES) and option == word):
            overlays.append(files.found(word))
            before = ""
        else:
            rest.append(word)
            before = ""
    return files.overlays(overlays), rest
