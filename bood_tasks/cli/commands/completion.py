"""Print a shell's completion of `bood`: commands, options, presets and files."""

import argparse
from pathlib import Path

EXAMPLES = [
    "bood completion bash > ~/.local/share/bash-completion/completions/bood",
    "bood completion zsh > ~/.zfunc/_bood",
]
SHELLS = ("bash", "zsh", "tcsh")


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("shell", choices=SHELLS, help="shell that is to complete")


def run(arguments: argparse.Namespace) -> None:
    import shtab

    from bood_tasks.config.files import presets

    bood = arguments.bood  # the parser that main made
    for command in bood._subparsers._group_actions[0].choices.values():
        for action in command._actions:
            if "--preset" in action.option_strings:
                action.choices = presets()
            elif action.type is Path or action.dest == "words":
                action.complete = shtab.FILE
    print(shtab.complete(bood, arguments.shell))
