"""The commands of `bood`, one module a command.

A module `a_b` is the command `a-b`. The first line of its docstring is the command's help.
`EXAMPLES` are command lines, `arguments(command)` declares what it takes, `run(arguments)` does it
and returns None or an exit code (or a message, exit code 1); ValueError and OSError become
messages. A module imports the standard library, the catalogue, cli/arguments.py and cli/loading.py;
everything else in `run`: whoever asks for one command waits for no other's imports, and needs no
extra that only another one needs. `EXTRA` names the extra that it does with, where that is not
`workflow`: what is missing is said with it.
"""

NAMES = (
    "init", "run", "ls", "best", "status", "verify", "gc", "doctor", "fetch", "words", "summary",
    "config", "plan", "cost", "score", "bundle", "serve", "monitor", "export", "export_scores",
    "judge_scores", "schema", "completion",
)  # fmt: skip
