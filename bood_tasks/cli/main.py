"""The console command `bood`: look after artifacts, check settings, use a trained detector.

Each command is a module of commands/. The Snakefile imports parts of this room, so zarr (by
`store`) and rich are imported where they are used.
"""

import argparse
import importlib
import os
import sys

from bood_tasks import __version__
from bood_tasks.catalogue.extras import cure
from bood_tasks.cli import commands


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
    bood.add_argument("--version", action="version", version=f"bood {__version__}")
    named = bood.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in commands.NAMES:
        module = importlib.import_module(f"bood_tasks.cli.commands.{name}")
        text = module.__doc__.splitlines()[0].rstrip(".")
        command = named.add_parser(
            name.replace("_", "-"),
            help=f"{text[0].lower()}{text[1:]}",
            description=f"{text}.",
            formatter_class=Help,
            epilog="\n".join(["example:", *(f"  {line}" for line in module.EXAMPLES)]),
        )
        module.arguments(command)
        extra = getattr(module, "EXTRA", "workflow")
        command.set_defaults(run=module.run, examples=module.EXAMPLES, extra=extra, bood=bood)
    return bood


def main(argv: list[str] | None = None) -> None:
    """Run one command; exit 1 for damage or a mistake, with its message."""
    arguments = argparse.Namespace(extra="workflow")
    try:
        arguments = parser().parse_args(argv)
        ended = arguments.run(arguments)
    except ModuleNotFoundError as error:
        if not (text := cure(error, arguments.extra)):
            raise
        sys.exit(f"error: {text}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    if ended is not None:
        sys.exit(ended)


if __name__ == "__main__":
    main()
